//! Answers tickets: triage → lookup → rule → retrieve → write → verify → decide.
//!
//! Place in the path: `api` and the command line hand a [`Ticket`] to [`Support`]. The playbook
//! decides what is done, the store's data and articles state it, and the model only phrases it: it
//! gets a short list of points ([`brief`]), and the verifier lets its draft pass only if everything
//! in it is licensed by them and nothing that must be said is missing. Otherwise the points say it
//! themselves, or a person takes over.

mod articles;
mod brief;
mod case;
mod case_facts;
mod conversation;
mod form_of_reply;
mod handling;
mod language;
mod lookup;
mod phrases;
mod pipeline;
mod products;
mod prompts;
mod signals;
mod slots;
mod standing;
mod statements;
mod triage;
mod types;
mod verify;
mod words;
mod writer;

pub use articles::{Quoted, QuotedSentence};
pub use pipeline::{Parts, Settings, Support};
pub use slots::Choices;
pub use types::*;

/// Runs work that computes for milliseconds beside the async threads.
async fn run_blocking<T, E>(
    stage: &'static str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, SupportError>
where
    T: Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let fail = |reason: String| SupportError::Stage { stage, reason };
    let done = tokio::task::spawn_blocking(work).await.map_err(|e| fail(e.to_string()))?;
    done.map_err(|e| fail(e.to_string()))
}
