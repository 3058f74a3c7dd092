//! One request on its way: waiting, then running, perhaps waiting again.

use super::step::StepEntry;
use crate::{engine::memory::BlockTable, model::TokenId};

/// Number of a sequence, given by whoever submits it and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(pub u64);

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody is waiting for the answer.
    Interactive,
    /// Work that may take its time, though not for ever: see
    /// [`SchedulerConfig::batch_patience_steps`](super::SchedulerConfig::batch_patience_steps).
    Batch,
}

/// A request to the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSequence {
    /// Its number.
    pub id: SeqId,
    /// Tokens to start from.
    pub prompt: Vec<TokenId>,
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// Who goes first.
    pub priority: Priority,
}

/// A sequence of which nothing is computed, or nothing any more.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SeqId,
    /// The prompt and what was generated.
    pub(super) tokens: Vec<TokenId>,
    max_len: usize,
    pub(super) priority: Priority,
    /// Sequences submitted before it.
    arrival: u64,
    /// The step in which it was submitted.
    pub(super) submitted_step: u64,
    /// Whether it has run before.
    pub(super) was_admitted: bool,
}

impl Sequence {
    pub(super) fn new(new: NewSequence, arrival: u64, submitted_step: u64) -> Self {
        Self {
            id: new.id,
            max_len: new.prompt.len() + new.max_tokens,
            tokens: new.prompt,
            priority: new.priority,
            arrival,
            submitted_step,
            was_admitted: false,
        }
    }

    /// Smaller goes first.
    pub(super) fn order(&self) -> (Priority, u64) {
        (self.priority, self.arrival)
    }

    /// The tokens that a cache may be asked for: not the last, whose logits are wanted.
    pub(super) fn cacheable(&self) -> &[TokenId] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// Tokens that it may still generate.
    pub(super) fn n_left(&self) -> usize {
        self.max_len - self.tokens.len()
    }
}

/// What the step in flight does for a sequence.
#[derive(Debug)]
struct Planned {
    n_tokens: usize,
    n_sampled: usize,
}

/// A sequence with blocks.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) sequence: Sequence,
    pub(super) table: BlockTable,
    /// Tokens whose keys and values are in the blocks.
    pub(super) n_computed: usize,
    planned: Option<Planned>,
    is_ending: bool,
}

impl Running {
    pub(super) fn new(sequence: Sequence, table: BlockTable, n_computed: usize) -> Self {
        Self { sequence, table, n_computed, planned: None, is_ending: false }
    }

    /// Tokens that are known, but not computed.
    pub(super) fn n_pending(&self) -> usize {
        self.sequence.tokens.len() - self.n_computed
    }

    /// Whether one token is all that the next one waits for.
    pub(super) fn is_decoding(&self) -> bool {
        self.n_pending() == 1
    }

    pub(super) fn is_planned(&self) -> bool {
        self.planned.is_some()
    }

    /// No further step for it.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Takes the next `n_tokens` into a step, and behind the last one `drafts`.
    pub(super) fn take(&mut self, n_tokens: usize, drafts: &[TokenId], block_size: usize) -> StepEntry {
        let end = self.n_computed + n_tokens;
        let is_last = end == self.sequence.tokens.len();
        let n_sampled = if is_last { 1 + drafts.len() } else { 0 };
        let n_blocks = (end + drafts.len()).div_ceil(block_size);
        self.planned = Some(Planned { n_tokens, n_sampled });
        StepEntry {
            seq: self.sequence.id,
            tokens: [&self.sequence.tokens[self.n_computed..end], drafts].concat(),
            offset: self.n_computed,
            blocks: self.table.blocks()[..n_blocks].to_vec(),
            n_sampled,
        }
    }

    /// Books the step in flight and appends what was accepted. Whether it was part of a prefill,
    /// which others may have in common with it.
    pub(super) fn absorb(&mut self, accepted: &[TokenId]) -> bool {
        let Some(planned) = self.planned.take() else { return false };
        let was_prefill = !self.is_decoding();
        let n_accepted = accepted.len().min(planned.n_sampled);
        // All but the last accepted token went in as drafts: they are computed, too.
        self.n_computed += planned.n_tokens + n_accepted.saturating_sub(1);
        self.sequence.tokens.extend(&accepted[..n_accepted]);
        let has_nothing_to_go_on_with = self.n_pending() == 0;
        self.is_ending |= has_nothing_to_go_on_with || self.sequence.n_left() == 0;
        was_prefill
    }
}
