//! A client of OpenAI-compatible servers that notes when each piece of an answer comes.
//!
//! `bench` puts servers under load with [`Client::stream`]; `tier0-eval` asks tickets with
//! [`Client::complete`] and reads the `support` object that a tier0 server adds. A leaf: it uses no
//! other crate of the workspace.
//!
//! ```no_run
//! # async fn ask() -> Result<(), tier0_client::ClientError> {
//! use tier0_client::{ChatRequest, Client, Patience};
//!
//! let client = Client::new("http://localhost:8080", None, Patience::DEFAULT)?;
//! let answer = client.stream(&ChatRequest::new("tiny", "Where is my order?")).await?;
//! println!("the first piece came after {:?}", answer.first);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod address;
mod chat;
mod client;
mod error;
mod stream;

pub use chat::{ChatRequest, Completion};
pub use client::{Client, Patience};
pub use error::ClientError;
pub use reqwest::StatusCode;
pub use stream::{TimedAnswer, TokenCounts};
