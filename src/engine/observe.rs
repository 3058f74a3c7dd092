//! What an engine tells whoever watches it: its load after each step, and how long requests took.

use std::time::Duration;

use super::{FinishReason, Usage, scheduler::Stats};

/// Watches an engine. Called from its worker between steps, so it has to be quick.
pub trait Observe: Send + Sync {
    /// A step has ended.
    fn step(&self, stats: &Stats);
    /// A request has its first token, so long after it came.
    fn first_token(&self, after: Duration);
    /// A request has its next token, so long after the one before.
    fn next_token(&self, after: Duration);
    /// A request has ended by itself, so long after it came. Cancelled ones do not tell.
    fn finished(&self, reason: FinishReason, usage: Usage, after: Duration);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observe for Unobserved {
    fn step(&self, _: &Stats) {}
    fn first_token(&self, _: Duration) {}
    fn next_token(&self, _: Duration) {}
    fn finished(&self, _: FinishReason, _: Usage, _: Duration) {}
}
