//! Decides what each step computes: which sequences, which of their tokens, in which blocks.
//!
//! Place in the path: the worker submits sequences, asks for a [`StepPlan`], lets the model run it,
//! and commits what was sampled. There are no tensors here, no clock and no randomness: the same
//! calls give the same plans.
//!
//! - **One flat step** takes one token of every decoding sequence, with drafts to verify, and fills
//!   the rest of the token budget with chunks of prefill ([`plan`](Scheduler::plan)).
//! - **Order** is first come, first served, interactive before batch; batch work that has waited
//!   long enough counts as interactive. The first in order is never preempted and never waits for
//!   memory, so every sequence ends.
//! - **Memory**: a sequence gets the blocks of its whole prompt when it is admitted, and further
//!   ones as it decodes. When none is left, the last in order goes back to the queue and is
//!   computed again later, except for what the prefix cache still holds of it.
//! - **Sharing**: what a step computes enters the prefix cache when the step is committed. A
//!   sequence whose prefix an earlier one is just computing waits for it.

mod plan;
mod sequence;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use self::sequence::{Running, Sequence};
pub use self::{
    plan::Drafter,
    sequence::{NewSequence, Priority, SeqId},
    step::{Admission, StepEntry, StepPlan, StepResult},
};
use super::kv_blocks::KvBlocks;

/// The sizes and limits of the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Blocks of the KV cache.
    pub n_blocks: usize,
    /// Tokens in a block.
    pub block_size: usize,
    /// Most tokens in a step (vLLM's `max_num_batched_tokens`).
    pub max_batch_tokens: usize,
    /// Most sequences that run at the same time (vLLM's `max_num_seqs`).
    pub max_running: usize,
    /// Most tokens of prefill in a step that also decodes: they delay the decoding sequences' next token.
    pub prefill_chunk: usize,
    /// Most sequences that wait.
    pub max_waiting: usize,
    /// Steps after which a batch sequence that has not ended counts as interactive.
    pub batch_aging_steps: u64,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A size is zero.
    #[error("`{field}` is 0; it must be at least 1")]
    Zero {
        /// The field that is zero.
        field: &'static str,
    },
    /// Decoding alone could fill every step.
    #[error(
        "a step of {max_batch_tokens} tokens does not hold one token for each of {max_running} \
         sequences and a prefill chunk of {prefill_chunk}; raise `max_batch_tokens` to at least {}",
        max_running + prefill_chunk
    )]
    StepTooSmall {
        /// Most tokens in a step.
        max_batch_tokens: usize,
        /// Most sequences that run at the same time.
        max_running: usize,
        /// Most tokens of prefill in a step that also decodes.
        prefill_chunk: usize,
    },
}

impl SchedulerConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("n_blocks", self.n_blocks),
            ("block_size", self.block_size),
            ("max_running", self.max_running),
            ("prefill_chunk", self.prefill_chunk),
            ("max_waiting", self.max_waiting),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(ConfigError::Zero { field });
        }
        let &Self { max_batch_tokens, max_running, prefill_chunk, .. } = self;
        if max_batch_tokens < max_running + prefill_chunk {
            return Err(ConfigError::StepTooSmall { max_batch_tokens, max_running, prefill_chunk });
        }
        Ok(())
    }
}

/// Why a sequence was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// The prompt has no token.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// `max_tokens` is zero.
    #[error("`max_tokens` is 0; nothing would be generated")]
    NothingToGenerate,
    /// A sequence with this id waits or runs.
    #[error("sequence {} is under way already", id.0)]
    Duplicate {
        /// The id that both have.
        id: SeqId,
    },
    /// The sequence would not fit even if it had the whole KV cache.
    #[error(
        "prompt and `max_tokens` come to {n_tokens} tokens, but the KV cache holds {capacity}; \
         shorten the prompt, lower `max_tokens` or give the KV cache more memory"
    )]
    ExceedsCapacity {
        /// Tokens of prompt and completion.
        n_tokens: usize,
        /// Tokens that all blocks hold.
        capacity: usize,
    },
    /// The queue is full.
    #[error("the queue is full ({n_waiting} sequences wait); try again shortly")]
    QueueFull {
        /// Sequences that wait.
        n_waiting: usize,
    },
}

/// Load and counters of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Sequences that run: they have blocks.
    pub n_running: usize,
    /// Sequences that wait for blocks.
    pub n_waiting: usize,
    /// Blocks of the KV cache.
    pub n_blocks: usize,
    /// Blocks that are neither used nor cached.
    pub n_free_blocks: usize,
    /// Blocks of running sequences. A block that is neither free nor used is cached, and freed on demand.
    pub n_used_blocks: usize,
    /// Prompt tokens that were looked up in the prefix cache.
    pub n_queried_tokens: u64,
    /// Prompt tokens that the prefix cache held.
    pub n_hit_tokens: u64,
    /// Preemptions: how often a sequence gave up its blocks.
    pub n_preemptions: u64,
}

/// The queue, the running sequences, and the blocks of the KV cache.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    kv_blocks: KvBlocks,
    waiting: Vec<Sequence>,
    running: Vec<Running>,
    n_submitted: u64,
    n_steps: u64,
    n_queried_tokens: u64,
    n_hit_tokens: u64,
    n_preemptions: u64,
}

impl Scheduler {
    /// A scheduler over an empty KV cache.
    ///
    /// # Errors
    /// When a size is zero, or a step has no room for all decodes and a chunk of prefill.
    pub fn new(config: SchedulerConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            kv_blocks: KvBlocks::new(config.n_blocks, config.block_size),
            config,
            waiting: vec![],
            running: vec![],
            n_submitted: 0,
            n_steps: 0,
            n_queried_tokens: 0,
            n_hit_tokens: 0,
            n_preemptions: 0,
        })
    }

    /// Queues a sequence.
    ///
    /// # Errors
    /// When it can never fit, the queue is full, or there is nothing to compute or to generate.
    pub fn submit(&mut self, new: NewSequence) -> Result<(), AdmissionError> {
        self.check(&new)?;
        self.waiting.push(Sequence::new(new, self.n_submitted, self.n_steps));
        self.n_submitted += 1;
        Ok(())
    }

    fn check(&self, new: &NewSequence) -> Result<(), AdmissionError> {
        let n_tokens = new.prompt.len().saturating_add(new.max_tokens);
        let capacity = self.config.n_blocks * self.config.block_size;
        let n_waiting = self.waiting.len();
        let mut ids = self.sequences().map(|sequence| sequence.id);
        if new.prompt.is_empty() {
            Err(AdmissionError::EmptyPrompt)
        } else if new.max_tokens == 0 {
            Err(AdmissionError::NothingToGenerate)
        } else if ids.any(|id| id == new.id) {
            Err(AdmissionError::Duplicate { id: new.id })
        } else if n_tokens > capacity {
            Err(AdmissionError::ExceedsCapacity { n_tokens, capacity })
        } else if n_waiting >= self.config.max_waiting {
            Err(AdmissionError::QueueFull { n_waiting })
        } else {
            Ok(())
        }
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.waiting.iter().chain(self.running.iter().map(|running| &running.sequence))
    }

    /// Commits the last planned step with the tokens that were sampled for its entries; entries within a
    /// prompt need no result. A sequence ends when it got no token where one was due, or when it has
    /// generated `max_tokens`.
    pub fn commit(&mut self, results: &[StepResult]) {
        let accepted: BTreeMap<SeqId, &[_]> =
            results.iter().map(|result| (result.seq, result.accepted.as_slice())).collect();
        for mut running in std::mem::take(&mut self.running) {
            let tokens = accepted.get(&running.sequence.id).copied().unwrap_or_default();
            let was_prefill = running.apply(tokens);
            if running.is_ending() {
                self.close(running);
                continue;
            }
            if was_prefill {
                let computed = &running.sequence.tokens[..running.n_computed];
                self.kv_blocks.share(&mut running.table, computed);
            }
            self.running.push(running);
        }
    }

    /// Ends a sequence that is done or cancelled, whether it waits or runs. Its blocks are freed or cached
    /// at once, or, if the step in flight writes to them, when that step is committed. An unknown
    /// sequence has ended already.
    pub fn end(&mut self, id: SeqId) {
        self.waiting.retain(|sequence| sequence.id != id);
        if let Some(index) = self.running.iter().position(|running| running.sequence.id == id) {
            if self.running[index].is_planned() {
                self.running[index].end();
            } else {
                let running = self.running.remove(index);
                self.close(running);
            }
        }
    }

    /// Ends the sequences of the last planned step, which failed, without caching anything of them.
    /// Returns their ids; none if no step is in flight.
    pub fn fail_step(&mut self) -> Vec<SeqId> {
        let (planned, others) = std::mem::take(&mut self.running).into_iter().partition(Running::is_planned);
        self.running = others;
        let planned: Vec<Running> = planned;
        let ids = planned.iter().map(|running| running.sequence.id).collect();
        planned.into_iter().for_each(|running| self.kv_blocks.discard(running.table));
        ids
    }

    /// Whether no sequence waits or runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Evicts everything from the prefix cache that no running sequence uses.
    pub fn clear_cache(&mut self) {
        self.kv_blocks.clear_cache();
    }

    /// The current load and counters.
    pub fn stats(&self) -> Stats {
        let used: BTreeSet<_> = self.running.iter().flat_map(|running| running.table.blocks()).collect();
        Stats {
            n_running: self.running.len(),
            n_waiting: self.waiting.len(),
            n_blocks: self.kv_blocks.n_blocks(),
            n_free_blocks: self.kv_blocks.n_free(),
            n_used_blocks: used.len(),
            n_queried_tokens: self.n_queried_tokens,
            n_hit_tokens: self.n_hit_tokens,
            n_preemptions: self.n_preemptions,
        }
    }

    /// Releases a sequence's blocks; the prefix cache keeps what it computed.
    fn close(&mut self, running: Running) -> Sequence {
        let Running { sequence, table, n_computed, .. } = running;
        self.kv_blocks.close(table, &sequence.tokens[..n_computed]);
        sequence
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
