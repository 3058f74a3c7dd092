//! tier0 answers the support tickets that never need a person, on the customer's own machine.
//!
//! A request runs down through the rooms, and imports point the same way only
//! (`tests/it/layers.rs` checks it):
//!
//! ```text
//! api → support → engine, intent, retrieval, actions → model, embed → ops → tier0-kernels
//! ```
//!
//! `config` is a leaf: it knows nothing of the rooms above or beside it. The crates under `crates/` know
//! nothing of any room. `cli` wires all together. `ARCHITECTURE.md` tells the whole story.
#![forbid(unsafe_code)]

pub mod actions;
pub mod api;
pub mod bench;
pub mod cli;
pub mod config;
pub mod embed;
pub mod engine;
pub mod intent;
pub mod model;
pub mod ops;
pub mod retrieval;
pub mod support;
pub mod telemetry;
