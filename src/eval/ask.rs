//! Whoever answers tickets: a server over HTTP, the pipeline in this process, or a fake in tests.

use std::time::Duration;

use async_trait::async_trait;

use super::{Ticket, TicketAnswer};

/// Something that answers tickets.
#[async_trait]
pub trait AskSupport: Send + Sync {
    /// Asks for the answer to one ticket.
    ///
    /// # Errors
    /// [`AskError`] when there is none. An escalation is an answer.
    async fn ask(&self, ticket: &Ticket) -> Result<TicketAnswer, AskError>;
}

/// Why a ticket got no answer. It counts as failed, and is asked again when the run is resumed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there, or the connection broke.
    #[error("no answer from {url}: {reason}; is the server running, and is that its address?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What kept it from answering, down to the first cause.
        reason: String,
        /// What the client said.
        source: reqwest::Error,
    },
    /// It took too long.
    #[error(
        "no answer from {url} within {} s; allow more time or ask fewer tickets at the same time",
        timeout.as_secs_f64()
    )]
    TimedOut {
        /// What was asked.
        url: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}: {message}; {hint}")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: reqwest::StatusCode,
        /// What the server said.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// The answer has not the form of one.
    #[error("the answer of {url} cannot be read: {reason}; it begins with `{start}`")]
    Unreadable {
        /// What was asked.
        url: String,
        /// Where and why.
        reason: String,
        /// Its first characters.
        start: String,
    },
    /// It is a chat completion, but not one of the ticket pipeline.
    #[error("the answer of {url} has no `support` object; is it a tier0 server that answers tickets?")]
    NoSupport {
        /// What was asked.
        url: String,
    },
    /// A target other than HTTP failed.
    #[error("{0}")]
    Other(String),
}
