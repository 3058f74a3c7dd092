//! A weight matrix, packed once for the products.

use std::ops::Range;

use super::{
    BLOCK, BlockType, GROUP,
    tile::{self, RowBlock},
};
use crate::{pages::AlignedBytes, pool::Pool};

/// Why a matrix cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// A row is not a whole number of blocks.
    #[error("rows of {n_in} weights are not whole blocks of {block_type:?}, which has {} in a block", .block_type.block_len())]
    RowLength {
        /// The type of the blocks.
        block_type: BlockType,
        /// Weights in a row.
        n_in: usize,
    },
    /// The bytes do not fit the shape.
    #[error(
        "a {n_out} × {n_in} matrix of {block_type:?} has {expected} bytes, not {actual}: the file is damaged"
    )]
    Size {
        /// The type of the blocks.
        block_type: BlockType,
        /// Rows of the matrix.
        n_out: usize,
        /// Weights in a row.
        n_in: usize,
        /// Bytes that the shape asks for.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
}

/// A matrix of weights, `[n_out, n_in]`, sixteen rows interleaved. As large as in the file, up to two
/// bytes for each 256 weights of Q4_K, Q5_K and Q6_K, and the rows that fill up the last sixteen.
pub struct PackedWeight {
    block_type: BlockType,
    n_out: usize,
    n_in: usize,
    /// The groups of sixteen rows, one after the other; each is its spans in order.
    bytes: AlignedBytes,
}

impl std::fmt::Debug for PackedWeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedWeight({:?}, {} × {})", self.block_type, self.n_out, self.n_in)
    }
}

impl PackedWeight {
    /// Packs the blocks of a GGUF matrix, `[n_out, n_in]`, on all threads.
    ///
    /// # Errors
    /// When `n_in` is not a whole number of blocks, or `bytes` does not fit the shape.
    pub fn pack(block_type: BlockType, bytes: &[u8], n_out: usize, n_in: usize) -> Result<Self, PackError> {
        Self::pack_on(crate::pool::global(), block_type, bytes, [n_out, n_in])
    }

    /// [`PackedWeight::pack`] on the threads of `pool`; `shape` is `[n_out, n_in]`.
    ///
    /// # Errors
    /// As [`PackedWeight::pack`].
    pub fn pack_on(
        pool: &Pool,
        block_type: BlockType,
        bytes: &[u8],
        shape: [usize; 2],
    ) -> Result<Self, PackError> {
        let [n_out, n_in] = shape;
        if !n_in.is_multiple_of(block_type.block_len()) {
            return Err(PackError::RowLength { block_type, n_in });
        }
        let row_bytes = n_in / block_type.block_len() * block_type.block_bytes();
        let expected = n_out.saturating_mul(row_bytes);
        if bytes.len() != expected {
            return Err(PackError::Size { block_type, n_out, n_in, expected, actual: bytes.len() });
        }
        let group_bytes = n_in / block_type.block_len() * tile::span_bytes(block_type);
        let mut packed = AlignedBytes::zeroed(n_out.div_ceil(GROUP) * group_bytes);
        pool.run_chunks(&mut packed, group_bytes, &|group, out| {
            let rows = bytes[group * GROUP * row_bytes..].chunks_exact(row_bytes.max(1)).take(GROUP);
            for (row, blocks) in rows.enumerate() {
                let spans = out.chunks_exact_mut(tile::span_bytes(block_type));
                for (block, span) in blocks.chunks_exact(block_type.block_bytes()).zip(spans) {
                    tile::pack(block_type, block, row, span);
                }
            }
        });
        Ok(Self { block_type, n_out, n_in, bytes: packed })
    }

    /// The type of the blocks.
    pub fn block_type(&self) -> BlockType {
        self.block_type
    }

    /// Rows of the matrix: outputs of a product.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Weights in a row: inputs of a product.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Bytes that a product reads.
    pub fn memory_bytes(&self) -> usize {
        self.n_groups() * self.group_bytes()
    }

    /// Groups of sixteen rows.
    pub(crate) fn n_groups(&self) -> usize {
        self.n_out.div_ceil(GROUP)
    }

    /// Bytes of one group.
    pub(crate) fn group_bytes(&self) -> usize {
        self.n_in / self.block_type.block_len() * tile::span_bytes(self.block_type)
    }

    /// Some of the packed groups.
    pub(crate) fn groups(&self, groups: Range<usize>) -> &[u8] {
        let n = self.group_bytes();
        &self.bytes[groups.start * n..groups.end * n]
    }

    /// The weights of row `row`, as the products have them, as floats into `out`.
    ///
    /// # Panics
    /// When there is no such row, or `out` is not `n_in` long.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_out, "row {row} of a matrix with {} rows", self.n_out);
        assert_eq!(out.len(), self.n_in, "out must have the length of a row");
        let spans = self.groups(row / GROUP..row / GROUP + 1).chunks_exact(tile::span_bytes(self.block_type));
        for (span, out) in spans.zip(out.chunks_exact_mut(self.block_type.block_len())) {
            for (i, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                let RowBlock { quants, scale, minimum } = tile::unpack(self.block_type, span, row % GROUP, i);
                out.iter_mut().zip(quants).for_each(|(out, q)| *out = f32::from(q) * scale + minimum);
            }
        }
    }
}

#[cfg(test)]
mod tests;
