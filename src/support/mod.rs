//! Answers tickets: triage → lookup → rule → retrieve → compose → verify → decide.
//!
//! Place in the path: `api` and the command line hand a [`Ticket`] to [`Support`]. Rules decide
//! what is said, the store's data and articles state it, and the model only phrases it: it gets a
//! short list of points, and the verifier lets its draft pass only if every
//! number in it stands in them and nothing that must be said is missing.

mod compose;
mod facts;
mod lookup;
mod pipeline;
mod prompts;
mod retrieve;
mod ruling;
mod triage;
mod types;
mod verify;

pub use pipeline::{Parts, Settings, Support};
pub use retrieve::{Quoted, QuotedSentence};
pub use types::*;
