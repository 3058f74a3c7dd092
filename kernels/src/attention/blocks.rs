//! Where the keys and values of a task lie: in the cache as they are, or copied where its shape does
//! not suit the registers.

use std::ops::Range;

use super::{AttentionParams, AttentionRow, Call, tasks::Task};
use crate::vector::KvElement;

/// Keys, or elements of a value, that kernels take at least: what the widest registers hold.
pub(super) const LANES: usize = 16;

/// What one KV head has in the blocks of a sequence, in the order of its table.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadBlocks<'a, T> {
    pool: &'a [T],
    /// Elements from one block of the pool to the next.
    stride: usize,
    /// Where the head's part of a block begins.
    offset: usize,
    /// Length of that part.
    len: usize,
    blocks: &'a [u32],
}

impl<'a, T> HeadBlocks<'a, T> {
    /// Of one of `n_kv_heads`, each with `len` elements in a block.
    ///
    /// # Panics
    /// When the pool lacks one of the blocks.
    fn new(pool: &'a [T], len: usize, (head, n_kv_heads): (usize, usize), blocks: &'a [u32]) -> Self {
        let stride = n_kv_heads * len;
        let n_blocks = pool.len() / stride;
        let known = |block: &u32| (*block as usize) < n_blocks;
        assert!(blocks.iter().all(known), "a row names a block beyond the {n_blocks} of the cache");
        Self { pool, stride, offset: head * len, len, blocks }
    }

    /// Where the head's part of the `i`-th block of the sequence begins.
    #[inline(always)]
    pub(super) fn block(&self, i: usize) -> *const T {
        // In the pool, as `new` made sure.
        self.pool.as_ptr().wrapping_add(self.blocks[i] as usize * self.stride + self.offset)
    }

    /// The head's part of the `i`-th block of the sequence.
    fn part(&self, i: usize) -> &'a [T] {
        &self.pool[self.blocks[i] as usize * self.stride + self.offset..][..self.len]
    }
}

/// The keys and values of one KV head that a task sees. Keys are counted from the first one in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a, T> {
    /// A block is `[head_dim, block_size]`.
    pub(super) keys: HeadBlocks<'a, T>,
    /// A block is `[block_size, value_len]`.
    pub(super) values: HeadBlocks<'a, T>,
    /// A multiple of [`LANES`].
    pub(super) block_size: usize,
    /// Length of a key.
    pub(super) head_dim: usize,
    /// Length of a value, filled up to a multiple of [`LANES`].
    pub(super) value_len: usize,
    /// Position of the first key.
    pub(super) origin: usize,
    /// Keys up to the last that a row sees.
    pub(super) n_keys: usize,
}

/// A copy of keys and values, kept for its memory.
#[derive(Debug, Default)]
pub(super) struct Copied {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// 0, 1, 2, …
    blocks: Vec<u32>,
}

/// Whether kernels can read a cache of this shape where it lies.
pub(super) fn fits_registers(params: &AttentionParams) -> bool {
    params.block_size.is_multiple_of(LANES) && params.head_dim.is_multiple_of(LANES)
}

impl<'a, T: KvElement> Context<'a, T> {
    /// In the cache.
    ///
    /// # Panics
    /// When a row ends before it begins, or beyond its blocks, or the cache lacks one of these.
    pub(super) fn in_cache(call: &Call<'a, T>, task: &Task) -> Self {
        let AttentionParams { n_kv_heads, head_dim, block_size, .. } = *call.params;
        let rows = &call.rows[task.rows.clone()];
        assert!(rows.iter().all(|row| row.first <= row.end), "a row must not end before it begins");
        let visible = visible(rows);
        let used = visible.start / block_size..visible.end.div_ceil(block_size);
        let blocks = &rows[0].blocks[used.clone()];
        let len = head_dim * block_size;
        let head = (task.kv_head, n_kv_heads);
        let origin = used.start * block_size;
        Self {
            keys: HeadBlocks::new(call.keys, len, head, blocks),
            values: HeadBlocks::new(call.values, len, head, blocks),
            block_size,
            head_dim,
            value_len: head_dim,
            origin,
            n_keys: visible.end - origin,
        }
    }

    /// The same in a copy whose blocks have [`LANES`] keys and whose values are filled up with zeros.
    pub(super) fn copied<'b>(&self, copied: &'b mut Copied) -> Context<'b, f32> {
        let Self { block_size, head_dim, origin, n_keys, .. } = *self;
        let n_blocks = n_keys.div_ceil(LANES);
        let value_len = head_dim.next_multiple_of(LANES);
        copied.blocks.clear();
        copied.blocks.extend(0..n_blocks as u32);
        copied.keys.clear();
        copied.keys.resize(n_blocks * LANES * head_dim, 0.0);
        copied.values.clear();
        copied.values.resize(n_blocks * LANES * value_len, 0.0);
        for i in 0..n_keys {
            let (block, slot) = (i / block_size, i % block_size);
            let to = &mut copied.keys[i / LANES * LANES * head_dim..][..LANES * head_dim];
            let from = self.keys.part(block);
            for (to, from) in
                to.iter_mut().skip(i % LANES).step_by(LANES).zip(from[slot..].iter().step_by(block_size))
            {
                *to = from.to_f32();
            }
            let from = &self.values.part(block)[slot * head_dim..];
            for (to, from) in copied.values[i * value_len..][..head_dim].iter_mut().zip(from) {
                *to = from.to_f32();
            }
        }
        Context {
            keys: HeadBlocks::new(&copied.keys, LANES * head_dim, (0, 1), &copied.blocks),
            values: HeadBlocks::new(&copied.values, LANES * value_len, (0, 1), &copied.blocks),
            block_size: LANES,
            head_dim,
            value_len,
            origin,
            n_keys,
        }
    }
}

/// From the first position that one of `rows` sees to the last.
fn visible(rows: &[AttentionRow<'_>]) -> Range<usize> {
    let first = rows.iter().map(|row| row.first).min().unwrap_or_default();
    first..rows.iter().map(|row| row.end).max().unwrap_or_default()
}
