//! Whoever answers tickets: a server over HTTP, the pipeline in this process, or a fake in tests.

use async_trait::async_trait;
use tier0_client::{ClientError, StatusCode};

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
    /// The server gave none that can be read.
    #[error("{source}{}", advice(source))]
    Server {
        /// What the client says.
        #[from]
        source: ClientError,
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

/// What to do about it, where the error itself does not say.
fn advice(error: &ClientError) -> String {
    match error {
        ClientError::TimedOut { .. } => "; allow more time or ask fewer tickets at the same time".to_owned(),
        ClientError::Refused { status, .. } => format!("; {}", hint(*status)),
        _ => String::new(),
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "give a key that the server accepts",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "is this the address of a tier0 server?",
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            "ask fewer tickets at the same time, and run it again to ask this one once more"
        }
        status if status.is_client_error() => "the server does not take this ticket, see what it says",
        _ => "look into the server's log, and run it again to ask this ticket once more",
    }
}
