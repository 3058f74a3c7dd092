//! Forwards an engine's load and latencies to the metrics.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    engine::{FinishReason, Observe, Usage, scheduler::Stats},
    telemetry::{EngineLoad, EngineMetrics},
};

/// Observes one engine for the `/metrics` page.
#[derive(Debug)]
pub struct EngineObserver {
    metrics: EngineMetrics,
    last: Mutex<EngineLoad>,
}

impl EngineObserver {
    /// An observer that reports to `metrics`.
    #[must_use]
    pub fn new(metrics: EngineMetrics) -> Self {
        Self { metrics, last: Mutex::default() }
    }
}

impl Observe for EngineObserver {
    fn step(&self, stats: &Stats) {
        let now = EngineLoad {
            n_running: stats.n_running,
            n_waiting: stats.n_waiting,
            cache_usage: stats.n_used_blocks as f64 / stats.n_blocks.max(1) as f64,
            n_prefix_queries: stats.n_queried_tokens,
            n_prefix_hits: stats.n_hit_tokens,
            n_preemptions: stats.n_preemptions,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.load(&last, &now);
        *last = now;
    }

    fn first_token(&self, after: Duration) {
        self.metrics.first_token(after);
    }

    fn next_token(&self, after: Duration) {
        self.metrics.next_token(after);
    }

    fn finished(&self, reason: FinishReason, usage: Usage, after: Duration) {
        let reason = match reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        };
        self.metrics.finished(reason, usage.prompt_tokens, usage.completion_tokens, after);
    }
}
