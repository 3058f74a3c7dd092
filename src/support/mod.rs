//! Answers tickets: understand → decide → respond → verify.
//!
//! Place in the path: `api` and the command line hand a [`Ticket`] to [`Support`]. The playbook
//! decides what is done, the store's data and articles state it, and the model only phrases it: it
//! gets a short list of statements ([`respond`]'s brief), and the verifier lets its draft pass only if
//! everything in it is licensed by them and nothing that must be said is missing. Otherwise the
//! statements go out as they are, or a person takes over.
//!
//! | wing | stages |
//! |---|---|
//! | [`understand`] | translate, triage, lookup, extract |
//! | [`decide`] | rule |
//! | [`respond`] | state, retrieve, compose |
//! | [`verify`] | verify |

mod assemble;
mod case;
mod decide;
mod llm;
mod payment_method;
mod pipeline;
mod prompts;
mod report;
mod respond;
mod stop;
mod texts;
mod ticket;
mod understand;
mod verify;

pub use pipeline::{Components, Settings, Support};
pub use report::*;
pub use respond::retrieve::{PassageMatch, SentenceMatch};
pub use ticket::*;
pub use understand::extract::ChoiceClassifiers;

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
