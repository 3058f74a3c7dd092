//! Scaled dot-product attention over a paged KV cache, with grouped queries.
//!
//! The cache is a pool of blocks, `[n_blocks, block_size, n_kv_heads, head_dim]` for keys and the
//! same for values; a sequence owns some blocks in the order of its table (Kwon et al. 2023,
//! "Efficient Memory Management for Large Language Model Serving with PagedAttention").

mod accumulate;
mod kernel;

use std::{cell::RefCell, ops::Range};

use kernel::{Query, Scratch};

use crate::{
    pool::{self, SharedMut},
    vector::KvElement,
};

/// Rows of one sequence that a task takes: they share the work of reading keys and values.
const ROWS_PER_TASK: usize = 8;

thread_local! {
    /// The working memory of a task, kept for the next.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Sizes and constants of an attention call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionParams {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Length of one head's vectors.
    pub head_dim: usize,
    /// Tokens in a block of the cache.
    pub block_size: usize,
    /// Factor on the scores, usually `1/√head_dim`.
    pub scale: f32,
}

/// One query token: which cached tokens it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionRow<'a> {
    /// Position of the first visible token in its sequence (above 0 under a sliding window).
    pub first: usize,
    /// One past the last visible position: the token's own position plus one.
    pub end: usize,
    /// The sequence's blocks, in order.
    pub blocks: &'a [u32],
}

/// Attention of every row to the tokens it sees.
///
/// `q` and `out` are `[rows, n_heads, head_dim]`; `keys` and `values` are
/// `[n_blocks, block_size, n_kv_heads, head_dim]`.
///
/// # Panics
/// When a slice's length does not fit the sizes, or a row reaches beyond its blocks.
pub fn paged_attention<T: KvElement>(
    q: &[f32],
    keys: &[T],
    values: &[T],
    rows: &[AttentionRow<'_>],
    params: &AttentionParams,
    out: &mut [f32],
) {
    let AttentionParams { n_heads, n_kv_heads, head_dim, .. } = *params;
    let group = n_heads / n_kv_heads;
    assert_eq!(n_heads, group * n_kv_heads, "query heads must divide evenly over KV heads");
    assert_eq!(q.len(), rows.len() * n_heads * head_dim, "q does not fit rows × heads × head_dim");
    assert_eq!(out.len(), q.len(), "out must have the shape of q");
    assert_eq!(keys.len(), values.len(), "keys and values differ in size");
    if rows.is_empty() {
        return;
    }
    let runs = runs(rows);
    let shared_out = SharedMut(out.as_mut_ptr());
    // One task is the query heads of some rows that share a KV head.
    pool::parallel(runs.len() * n_kv_heads, &|task| {
        let (run, kv_head) = (&runs[task / n_kv_heads], task % n_kv_heads);
        let cache = HeadCache { keys, values, kv_head, params };
        // Where the heads of a row lie in `q` and `out`.
        let span = |row: usize| {
            let start = (row * n_heads + kv_head * group) * head_dim;
            start..start + group * head_dim
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let queries: Vec<Query<'_>> =
                run.clone().map(|row| Query { heads: &q[span(row)], row: &rows[row] }).collect();
            kernel::attend(&cache, &queries, scratch);
            for (row, heads) in run.clone().zip(scratch.out.chunks_exact(group * head_dim)) {
                // SAFETY: inside `out`; no other task has these heads of this row.
                let out = unsafe {
                    std::slice::from_raw_parts_mut(shared_out.get().add(span(row).start), heads.len())
                };
                out.copy_from_slice(heads);
            }
        });
    });
}

/// Cuts the rows into runs of one sequence each, of at most [`ROWS_PER_TASK`].
fn runs(rows: &[AttentionRow<'_>]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if run.len() < ROWS_PER_TASK && rows[run.start].blocks == row.blocks => run.end = i + 1,
            _ => runs.push(i..i + 1),
        }
    }
    runs
}

/// The keys and values of one KV head within the pool.
struct HeadCache<'a, T> {
    keys: &'a [T],
    values: &'a [T],
    kv_head: usize,
    params: &'a AttentionParams,
}

impl<T> HeadCache<'_, T> {
    /// Where the vector of `position` lies, for a sequence with these `blocks`.
    #[inline]
    fn range(&self, position: usize, blocks: &[u32]) -> Range<usize> {
        let AttentionParams { n_kv_heads, head_dim, block_size, .. } = *self.params;
        let slot = blocks[position / block_size] as usize * block_size + position % block_size;
        let start = (slot * n_kv_heads + self.kv_head) * head_dim;
        start..start + head_dim
    }
}

#[cfg(test)]
mod tests;
