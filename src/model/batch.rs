//! The input of one forward pass: the tokens of several sequences, one after the other.

use super::{BlockId, TokenId};
use crate::ops::Span;

/// The next tokens of one sequence, as the engine passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceSlice<'a> {
    /// Tokens to run in this pass; at least one.
    pub tokens: &'a [TokenId],
    /// Number of the sequence's tokens that are in the cache already.
    pub offset: usize,
    /// The sequence's cache blocks, in order; they must reach to the last of `tokens`.
    pub blocks: &'a [BlockId],
    /// Number of tokens, at the end, whose logits are computed.
    pub n_sampled: usize,
}

/// Why a batch cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There is no sequence, or one without tokens.
    #[error("a batch needs at least one sequence with at least one token")]
    Empty,
    /// A sequence reaches beyond its blocks.
    #[error("sequence {sequence} needs {needed} cache slots, but its {n_blocks} blocks hold {held}")]
    BlocksTooFew {
        /// The sequence's index in the batch.
        sequence: usize,
        /// Slots that its tokens need.
        needed: usize,
        /// Blocks in its block table.
        n_blocks: usize,
        /// Slots that these blocks hold.
        held: usize,
    },
}

/// A flat batch, checked: `[n_tokens]` ids, positions and slots, and the sequences' spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    positions: Vec<u32>,
    slots: Vec<u32>,
    spans: Vec<Span>,
    sampled: Vec<u32>,
}

impl Batch {
    /// Lays the sequences out one after the other, for a cache with blocks of `block_size`.
    ///
    /// # Errors
    /// When there is nothing to run, or a sequence's blocks do not reach to its last token.
    pub fn new(sequences: &[SequenceSlice<'_>], block_size: usize) -> Result<Self, BatchError> {
        let mut batch =
            Self { tokens: vec![], positions: vec![], slots: vec![], spans: vec![], sampled: vec![] };
        for (index, sequence) in sequences.iter().enumerate() {
            batch.push(index, sequence, block_size)?;
        }
        if batch.tokens.is_empty() { Err(BatchError::Empty) } else { Ok(batch) }
    }

    fn push(
        &mut self,
        index: usize,
        sequence: &SequenceSlice<'_>,
        block_size: usize,
    ) -> Result<(), BatchError> {
        let SequenceSlice { tokens, offset, blocks, n_sampled } = *sequence;
        if tokens.is_empty() {
            return Err(BatchError::Empty);
        }
        let needed = offset + tokens.len();
        let held = blocks.len() * block_size;
        if needed > held {
            return Err(BatchError::BlocksTooFew { sequence: index, needed, n_blocks: blocks.len(), held });
        }
        let start = self.tokens.len();
        for (i, token) in tokens.iter().enumerate() {
            let position = offset + i;
            self.tokens.push(token.0);
            self.positions.push(position as u32);
            self.slots
                .push(blocks[position / block_size].0 * block_size as u32 + (position % block_size) as u32);
        }
        let blocks = blocks.iter().map(|block| block.0).collect();
        self.spans.push(Span { start, len: tokens.len(), offset, blocks });
        let end = self.tokens.len();
        self.sampled.extend((end - n_sampled.min(tokens.len())..end).map(|row| row as u32));
        Ok(())
    }

    /// Token ids, `[n_tokens]`.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Each token's position in its sequence, `[n_tokens]`.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Each token's slot in the cache, `[n_tokens]`.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// The rows of each sequence.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Rows whose logits are computed, `[n_sampled]`.
    pub fn sampled(&self) -> &[u32] {
        &self.sampled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_one_after_the_other() {
        let ids = |n: &[u32]| n.iter().map(|i| TokenId(*i)).collect::<Vec<_>>();
        let (first, second) = (ids(&[7, 8, 9]), ids(&[5]));
        let batch = Batch::new(
            &[
                SequenceSlice { tokens: &first, offset: 0, blocks: &[BlockId(4), BlockId(1)], n_sampled: 0 },
                SequenceSlice { tokens: &second, offset: 3, blocks: &[BlockId(0), BlockId(2)], n_sampled: 1 },
            ],
            2,
        )
        .unwrap();
        assert_eq!(batch.tokens(), [7, 8, 9, 5]);
        assert_eq!(batch.positions(), [0, 1, 2, 3]);
        assert_eq!(batch.slots(), [8, 9, 2, 5]);
        assert_eq!(batch.sampled(), [3]);
        assert_eq!(batch.spans()[1], Span { start: 3, len: 1, offset: 3, blocks: vec![0, 2] });
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Batch::new(&[], 2), Err(BatchError::Empty));
        let tokens = [TokenId(1), TokenId(2)];
        let slice = SequenceSlice { tokens: &tokens, offset: 1, blocks: &[BlockId(0)], n_sampled: 1 };
        let error = Batch::new(&[slice], 2).unwrap_err();
        assert_eq!(error, BatchError::BlocksTooFew { sequence: 0, needed: 3, n_blocks: 1, held: 2 });
    }
}
