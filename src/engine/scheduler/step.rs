//! What scheduler and worker exchange for one step: the plan, and the results.

use super::SeqId;
use crate::model::{BlockCopy, BlockId, TokenId};

/// The work of one step: first the copies, then one forward pass over all entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepPlan {
    /// Sequences that left the queue for the first time.
    pub admitted: Vec<Admission>,
    /// Cache slots to copy before the pass. No block is both source and target.
    pub copies: Vec<BlockCopy>,
    /// The tokens to run, at most one entry for each sequence.
    pub entries: Vec<StepEntry>,
}

impl StepPlan {
    /// Number of tokens of all entries.
    pub fn n_tokens(&self) -> usize {
        self.entries.iter().map(|entry| entry.tokens.len()).sum()
    }
}

/// A sequence that left the queue for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Id of the sequence.
    pub seq: SeqId,
    /// Number of tokens of its prompt that the prefix cache held.
    pub n_cached_tokens: usize,
}

/// The next tokens of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEntry {
    /// Id of the sequence.
    pub seq: SeqId,
    /// Tokens to run, drafts at the end.
    pub tokens: Vec<TokenId>,
    /// Number of the sequence's tokens that are computed already.
    pub offset: usize,
    /// The blocks that hold these and `tokens`, in order.
    pub blocks: Vec<BlockId>,
    /// Number of rows that are sampled, at the end: 0 within a prompt, else 1 plus the number of drafts.
    pub n_sampled: usize,
}

/// The tokens that were sampled for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// Id of the sequence.
    pub seq: SeqId,
    /// The accepted tokens, at most [`StepEntry::n_sampled`]: all but the last agree with the entry's
    /// drafts. An empty list ends the sequence.
    pub accepted: Vec<TokenId>,
}
