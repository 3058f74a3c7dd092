//! Why a server gave no answer.

use std::time::Duration;

use reqwest::StatusCode;

/// Characters of a server's answer that an error message shows.
const N_CHARS_SHOWN: usize = 200;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is none.
    #[error("`{url}` is not an address to ask: {reason}; write it like http://localhost:8080")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The key cannot be sent.
    #[error("the API key holds characters that no HTTP header can carry; check it for line breaks")]
    BadKey,
    /// The HTTP client could not be set up.
    #[error("could not set up the HTTP client: {0}")]
    Setup(#[source] reqwest::Error),
    /// Nobody listens there, or the connection broke.
    #[error("no answer from {url}: {reason}; is the server running, and is that its address?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What kept it from answering, down to the first cause.
        reason: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },
    /// It took too long.
    #[error("no answer from {url} within {} s", timeout.as_secs_f64())]
    TimedOut {
        /// What was asked.
        url: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What the server said.
        message: String,
    },
    /// The server began to answer and ended with an error.
    #[error("{url} broke its answer off: {message}")]
    BrokenOff {
        /// What was asked.
        url: String,
        /// What the server said.
        message: String,
    },
    /// The answer has not the form of an OpenAI-compatible server's.
    #[error("the answer of {url} cannot be read: {reason}")]
    Unreadable {
        /// What was asked.
        url: String,
        /// Where and why.
        reason: String,
    },
}

/// The client wraps the system's reason several times; only the innermost says something.
pub(crate) fn first_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What the server says in OpenAI's error object, or in plain text.
pub(crate) fn message(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match value["error"]["message"].as_str() {
        Some(message) => message.to_owned(),
        None if body.trim_ascii().is_empty() => "no message".to_owned(),
        None => start(body),
    }
}

/// The first characters of an answer.
pub(crate) fn start(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().chars().take(N_CHARS_SHOWN).collect()
}
