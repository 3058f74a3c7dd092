//! Scaled dot-product attention over a paged KV cache, with grouped queries.
//!
//! The cache is a pool of blocks; a sequence owns some of them in the order of its table (Kwon et al.
//! 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention"). Keys lie
//! `[n_blocks, n_kv_heads, head_dim, block_size]`: a vector register holds one element of many keys,
//! and a score needs no sum across lanes. Values lie `[n_blocks, n_kv_heads, block_size, head_dim]`: a
//! register holds many elements of one value. Either way what a KV head has in a block is one piece.
//!
//! A call is cut into [`tasks`]. A task goes over the cache ([`walk`], compiled for each processor by
//! [`dispatch`]) with kernels that do the sums ([`registers`], and [`plain`] as their oracle). [`write`]
//! puts new tokens into the cache.
//!
//! A score is summed over the elements in order, an output over the keys in order, and a softmax in
//! lanes by position from the row's first visible key: each row has the same bits alone and in any
//! batch, on any processor, whatever was computed in prefill or decode.

mod blocks;
mod dispatch;
mod kernel;
mod plain;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod registers;
mod softmax;
mod tasks;
mod walk;
mod write;

use std::cell::RefCell;

use blocks::{Context, Copied};
use tasks::Task;
use walk::Queries;
pub use write::{CacheShape, TokenRows};

use crate::{
    cpu::InstructionSet,
    pages::prefer_huge_pages,
    pool::{self, Pool, SharedMut},
    vector::KvElement,
};

thread_local! {
    /// Keys and values of a cache that kernels cannot read where it lies, kept for their memory.
    static COPIED: RefCell<Copied> = RefCell::default();
}

/// The keys, or the values, of an empty cache of `n` elements. They take no memory before they are
/// written, and then lie on huge pages where the system has them.
pub fn empty_cache<T: KvElement>(n: usize) -> Vec<T> {
    let mut cache = T::zeros(n);
    prefer_huge_pages(&mut cache);
    cache
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
/// `q` and `out` are `[rows, n_heads, head_dim]`; `keys` are
/// `[n_blocks, n_kv_heads, head_dim, block_size]`, `values`
/// `[n_blocks, n_kv_heads, block_size, head_dim]`. A row that sees nothing gets zeros.
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
    Call { q, keys, values, rows, params }.run_on(pool::global(), InstructionSet::chosen(), out);
}

/// What an attention call takes.
struct Call<'a, T> {
    q: &'a [f32],
    keys: &'a [T],
    values: &'a [T],
    rows: &'a [AttentionRow<'a>],
    params: &'a AttentionParams,
}

impl<T: KvElement> Call<'_, T> {
    /// [`paged_attention`] on the threads of `pool`, with an instruction set that this machine has.
    fn run_on(&self, pool: &Pool, set: InstructionSet, out: &mut [f32]) {
        let AttentionParams { n_heads, n_kv_heads, head_dim, block_size, .. } = *self.params;
        let group = n_heads / n_kv_heads;
        assert_eq!(n_heads, group * n_kv_heads, "query heads must divide evenly over KV heads");
        assert_eq!(
            self.q.len(),
            self.rows.len() * n_heads * head_dim,
            "q does not fit rows × heads × head_dim"
        );
        assert_eq!(out.len(), self.q.len(), "out must have the shape of q");
        assert_eq!(self.keys.len(), self.values.len(), "keys and values differ in size");
        assert!(block_size > 0 && head_dim > 0, "blocks and heads must not be empty");
        let out = SharedMut(out.as_mut_ptr());
        let tasks = tasks::cut(self.rows, n_kv_heads, group, pool.n_threads());
        pool.run(tasks.len(), &|i| self.run_task(&tasks[i], set, &out));
    }

    /// The heads of one task.
    fn run_task(&self, task: &Task, set: InstructionSet, out: &SharedMut<f32>) {
        let AttentionParams { n_heads, head_dim, .. } = *self.params;
        let row_len = n_heads * head_dim;
        let start = task.rows.start * row_len + task.heads.start * head_dim;
        let queries = Queries {
            rows: &self.rows[task.rows.clone()],
            n_heads: task.heads.len(),
            q: &self.q[start..],
            // Inside `out`, which is as long as `q`.
            out: out.get().wrapping_add(start),
            row_len,
            scale: self.params.scale,
        };
        let context = Context::in_cache(self, task);
        // SAFETY: the machine has the set, which is the chosen one or one of those available. `q` and
        // `out` have all rows, and no other task has these heads of these rows.
        unsafe {
            if blocks::fits_registers(self.params) {
                dispatch::attend(set, &queries, &context);
            } else {
                COPIED.with_borrow_mut(|copied| dispatch::attend(set, &queries, &context.copied(copied)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
