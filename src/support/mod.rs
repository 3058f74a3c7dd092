//! Answers tickets: triage → lookup → retrieve → compose → verify → decide.

pub mod types;
