//! What an engine reports to its observer: its load after each step, and the latencies of requests.

use std::time::Duration;

use super::{
    event::{FinishReason, Usage},
    scheduler::Stats,
};

/// Observes an engine. The worker calls it between steps, so it has to be quick.
pub trait Observe: Send + Sync {
    /// A step has ended.
    fn step(&self, stats: &Stats);
    /// A request has its first token; `after` is the time since its arrival.
    fn first_token(&self, after: Duration);
    /// A request has its next token; `after` is the time since the token before.
    fn next_token(&self, after: Duration);
    /// A request has ended; `after` is the time since its arrival. Not called for cancelled or failed
    /// requests.
    fn finished(&self, reason: FinishReason, usage: Usage, after: Duration);
}

/// An observer that ignores everything.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observe for Unobserved {
    fn step(&self, _: &Stats) {}
    fn first_token(&self, _: Duration) {}
    fn next_token(&self, _: Duration) {}
    fn finished(&self, _: FinishReason, _: Usage, _: Duration) {}
}
