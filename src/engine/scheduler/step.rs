//! What the scheduler and the worker tell each other about one step.

use super::SeqId;
use crate::model::{BlockCopy, BlockId, TokenId};

/// The work of one step: first the copies, then one forward pass over all entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// Sequences that left the queue for the first time.
    pub admitted: Vec<Admission>,
    /// Cache slots to copy before the pass. No block is both source and target.
    pub copies: Vec<BlockCopy>,
    /// What to run, at most one entry for a sequence.
    pub entries: Vec<StepEntry>,
}

impl StepPlan {
    /// Tokens of all entries.
    pub fn n_tokens(&self) -> usize {
        self.entries.iter().map(|entry| entry.tokens.len()).sum()
    }
}

/// A sequence whose computation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Which.
    pub seq: SeqId,
    /// Tokens of its prompt that the prefix cache held.
    pub n_cached_tokens: usize,
}

/// The next tokens of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEntry {
    /// Which.
    pub seq: SeqId,
    /// Tokens to run, drafts at the end.
    pub tokens: Vec<TokenId>,
    /// Tokens of the sequence that are in the cache already.
    pub offset: usize,
    /// The blocks that hold these and `tokens`, in order.
    pub blocks: Vec<BlockId>,
    /// How many of the last rows are sampled: none within a prompt, else one and one for each
    /// draft.
    pub n_sampled: usize,
}

/// What was sampled for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// Which.
    pub seq: SeqId,
    /// The tokens to go on with, at most [`StepEntry::n_sampled`]: all but the last agree with the
    /// entry's drafts. None ends the sequence.
    pub accepted: Vec<TokenId>,
}
