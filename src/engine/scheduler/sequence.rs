//! A sequence: waiting, then running, perhaps waiting again after a preemption.

use super::step::StepEntry;
use crate::{engine::kv_blocks::BlockTable, model::TokenId};

/// Id of a sequence. The submitter chooses it and never uses it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(pub u64);

/// Which sequences go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// A person is waiting for the answer.
    Interactive,
    /// Work that may wait, though not for ever: see
    /// [`SchedulerConfig::batch_aging_steps`](super::SchedulerConfig::batch_aging_steps).
    Batch,
}

/// A sequence to schedule, as it is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSequence {
    /// Id of the sequence.
    pub id: SeqId,
    /// Tokens of the prompt.
    pub prompt: Vec<TokenId>,
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// Whether it goes before other sequences.
    pub priority: Priority,
}

/// A sequence without blocks: nothing of it is computed, or its blocks were preempted.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: SeqId,
    /// The prompt and the generated tokens.
    pub(super) tokens: Vec<TokenId>,
    max_len: usize,
    pub(super) priority: Priority,
    /// Number of sequences submitted before it.
    arrival: u64,
    /// The step in which it was submitted.
    pub(super) submitted_step: u64,
    /// Whether it was admitted before.
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

    /// The sort key of queue and batch; the smallest goes first.
    pub(super) fn order(&self) -> (Priority, u64) {
        (self.priority, self.arrival)
    }

    /// The tokens to look up in the prefix cache: all but the last, whose logits are needed.
    pub(super) fn cacheable(&self) -> &[TokenId] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// Number of tokens that it may still generate.
    pub(super) fn n_left(&self) -> usize {
        self.max_len - self.tokens.len()
    }
}

/// A sequence's part of the step in flight.
#[derive(Debug)]
struct Planned {
    n_tokens: usize,
    n_sampled: usize,
}

/// A sequence that has blocks.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) sequence: Sequence,
    pub(super) table: BlockTable,
    /// Number of tokens whose keys and values are in the blocks.
    pub(super) n_computed: usize,
    planned: Option<Planned>,
    is_ending: bool,
}

impl Running {
    pub(super) fn new(sequence: Sequence, table: BlockTable, n_computed: usize) -> Self {
        Self { sequence, table, n_computed, planned: None, is_ending: false }
    }

    /// Number of known tokens that are not computed.
    pub(super) fn n_pending(&self) -> usize {
        self.sequence.tokens.len() - self.n_computed
    }

    /// Whether one token only is left to compute before the next one can be sampled.
    pub(super) fn is_decoding(&self) -> bool {
        self.n_pending() == 1
    }

    pub(super) fn is_planned(&self) -> bool {
        self.planned.is_some()
    }

    /// Ends it with the step in flight.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Plans the next `n_tokens` tokens for a step, and `drafts` behind the last one.
    pub(super) fn schedule(&mut self, n_tokens: usize, drafts: &[TokenId], block_size: usize) -> StepEntry {
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

    /// Applies the step in flight and appends the accepted tokens. Returns whether the step was part of a
    /// prefill, which other sequences may share.
    pub(super) fn apply(&mut self, accepted: &[TokenId]) -> bool {
        let Some(planned) = self.planned.take() else { return false };
        let was_prefill = !self.is_decoding();
        let n_accepted = accepted.len().min(planned.n_sampled);
        // All but the last accepted token were drafts of the step: they are computed, too.
        self.n_computed += planned.n_tokens + n_accepted.saturating_sub(1);
        self.sequence.tokens.extend(&accepted[..n_accepted]);
        let got_no_token = self.n_pending() == 0;
        self.is_ending |= got_no_token || self.sequence.n_left() == 0;
        was_prefill
    }
}
