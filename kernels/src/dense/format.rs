//! How a matmul reads its activations: cache lines in one of three formats.

use super::CHUNK;

/// 32-bit words of a line.
pub(super) const LINE_WORDS: usize = 16;

/// How the values of rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RowFormat {
    /// bf16, two in a word: the even input in the low half.
    #[default]
    Pairs,
    /// f32, rounded to bf16.
    Rounded,
    /// f32.
    Exact,
}

impl RowFormat {
    /// Cache lines of a chunk of inputs.
    pub(super) fn chunk_lines(self) -> usize {
        match self {
            Self::Pairs => CHUNK / 2 / LINE_WORDS,
            Self::Rounded | Self::Exact => CHUNK / LINE_WORDS,
        }
    }
}

/// A cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; LINE_WORDS]);
