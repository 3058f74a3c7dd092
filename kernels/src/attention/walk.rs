//! The way of a task over the cache: scores tile by tile, a softmax, outputs tile by tile.
//!
//! A tile of keys or values stays in the first cache while all rows of the task go over it. Kernels
//! take `PAIRS` heads of rows at once, all heads of a few rows, as far as these rows see the same keys;
//! where they do not, and in decode, they take the `HEADS` of one row.

use std::ops::Range;

use super::{
    AttentionRow,
    blocks::{Context, LANES},
    kernel::Kernel,
    softmax::softmax,
};
use crate::vector::KvElement;

/// Keys in a tile.
const TILE: usize = 64;

/// The query heads of a task, and where their results go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queries<'a> {
    pub(super) rows: &'a [AttentionRow<'a>],
    /// Heads of a row; they share a KV head.
    pub(super) n_heads: usize,
    /// From the first head of the first row on.
    pub(super) q: &'a [f32],
    /// The same in the results.
    pub(super) out: *mut f32,
    /// Elements from one row to the next, in both.
    pub(super) row_len: usize,
    pub(super) scale: f32,
}

/// The working memory of a task.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Scores, then weights: `[rows · heads, keys]`.
    scores: Vec<f32>,
    /// Weighted sums of values: `[rows · heads, value_len]`.
    sums: Vec<f32>,
}

/// Attention of all heads of `queries`, `HEADS` a row.
///
/// # Safety
/// The processor has what `K` needs. All heads of all rows lie inside `queries.q`, and behind
/// `queries.out`, where nobody else reads or writes them.
#[inline(always)]
pub(super) unsafe fn walk<K: Kernel, T: KvElement, const HEADS: usize, const PAIRS: usize>(
    queries: &Queries<'_>,
    context: &Context<'_, T>,
    buffers: &mut Buffers,
) {
    let walk = Walk::<T, HEADS>::new(queries, context, buffers);
    let rows_at_once = PAIRS / HEADS;
    let n_rows = queries.rows.len();
    let n_together = n_rows - n_rows % rows_at_once;
    // SAFETY: the rows are below `n_rows`; the rest as this function.
    unsafe {
        for tile in walk.tiles() {
            for row in (0..n_together).step_by(rows_at_once) {
                walk.score::<K, PAIRS>(row, &tile);
            }
            for row in n_together..n_rows {
                walk.score::<K, HEADS>(row, &tile);
            }
        }
        K::prefetch_values(context);
        for row in 0..n_rows {
            walk.weigh(row);
        }
        for tile in walk.tiles() {
            for row in (0..n_together).step_by(rows_at_once) {
                walk.add_values_together::<K, PAIRS>(row, &tile);
            }
            for row in n_together..n_rows {
                walk.add_values::<K, HEADS>(row, walk.seen_in(row, &tile));
            }
        }
        for row in 0..n_rows {
            walk.write(row);
        }
    }
}

/// A task under way: `HEADS` heads a row.
struct Walk<'a, T, const HEADS: usize> {
    queries: &'a Queries<'a>,
    context: &'a Context<'a, T>,
    /// `[rows, HEADS, scores_len]`.
    scores: *mut f32,
    scores_len: usize,
    /// `[rows, HEADS, value_len]`.
    sums: *mut f32,
}

impl<'a, T: KvElement, const HEADS: usize> Walk<'a, T, HEADS> {
    #[inline(always)]
    fn new(queries: &'a Queries<'a>, context: &'a Context<'a, T>, buffers: &'a mut Buffers) -> Self {
        let n_pairs = queries.rows.len() * HEADS;
        // A line more than needed: the scores of heads must not all lie in the same set of the cache.
        let scores_len = context.n_keys.next_multiple_of(LANES) + LANES;
        let n_scores = n_pairs * scores_len;
        if buffers.scores.len() < n_scores {
            buffers.scores.resize(n_scores, 0.0);
        }
        buffers.sums.clear();
        buffers.sums.resize(n_pairs * context.value_len, 0.0);
        let (scores, sums) = (buffers.scores.as_mut_ptr(), buffers.sums.as_mut_ptr());
        Self { queries, context, scores, scores_len, sums }
    }

    /// The keys, [`TILE`] at a time.
    #[inline(always)]
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<T, HEADS> {
        let n_keys = self.context.n_keys;
        (0..n_keys).step_by(TILE).map(move |start| start..(start + TILE).min(n_keys))
    }

    /// The keys that `row` sees.
    #[inline(always)]
    fn seen(&self, row: usize) -> Range<usize> {
        let AttentionRow { first, end, .. } = self.queries.rows[row];
        first - self.context.origin..end - self.context.origin
    }

    /// The keys of `tile` that `row` sees.
    #[inline(always)]
    fn seen_in(&self, row: usize, tile: &Range<usize>) -> Range<usize> {
        let seen = self.seen(row);
        seen.start.max(tile.start)..seen.end.min(tile.end)
    }

    /// Where the `LEN` elements of each of the pairs from the first head of `row` on lie.
    ///
    /// # Safety
    /// There are as many pairs.
    #[inline(always)]
    unsafe fn pairs<const PAIRS: usize>(&self, from: *mut f32, row: usize, len: usize) -> [*mut f32; PAIRS] {
        // SAFETY: as this function.
        std::array::from_fn(|pair| unsafe { from.add((row * HEADS + pair) * len) })
    }

    /// The scores of `PAIRS` pairs from the first head of `row` on, for what they see in `tile`.
    ///
    /// # Safety
    /// As [`walk`]; there are as many pairs.
    #[inline(always)]
    unsafe fn score<K: Kernel, const PAIRS: usize>(&self, row: usize, tile: &Range<usize>) {
        let mut range = self.seen_in(row, tile);
        for other in row + 1..row + PAIRS / HEADS {
            let seen = self.seen_in(other, tile);
            range = range.start.min(seen.start)..range.end.max(seen.end);
        }
        if range.is_empty() {
            return;
        }
        range.start -= range.start % LANES;
        let Queries { q, row_len, .. } = *self.queries;
        let head_dim = self.context.head_dim;
        // SAFETY: pairs are inside `q` and the buffers, by the caller; scores have room for all keys.
        unsafe {
            let q: [*const f32; PAIRS] = std::array::from_fn(|pair| {
                q.as_ptr().add((row + pair / HEADS) * row_len + pair % HEADS * head_dim)
            });
            K::score(q, self.context, range, self.pairs::<PAIRS>(self.scores, row, self.scores_len));
        }
    }

    /// Turns the scores of `row` to weights.
    ///
    /// # Safety
    /// There is such a row, and its scores are there.
    #[inline(always)]
    unsafe fn weigh(&self, row: usize) {
        let seen = self.seen(row);
        // SAFETY: the pairs of the row, by the caller; a head's scores have room for as many keys as
        // there are and LANES more, and nobody else has a reference to them.
        unsafe {
            let scores = self.pairs::<HEADS>(self.scores, row, self.scores_len);
            let heads = scores
                .map(|scores| std::slice::from_raw_parts_mut(scores.add(seen.start), seen.len() + LANES));
            softmax(heads, seen.len(), self.queries.scale);
        }
    }

    /// Adds the values of `tile` to the sums of `PAIRS` pairs from the first head of `row` on: together
    /// what all rows see, row by row what lies before and behind.
    ///
    /// # Safety
    /// As [`walk`]; there are as many pairs.
    #[inline(always)]
    unsafe fn add_values_together<K: Kernel, const PAIRS: usize>(&self, row: usize, tile: &Range<usize>) {
        let rows = row..row + PAIRS / HEADS;
        let mut common = self.seen_in(row, tile);
        for other in rows.clone() {
            let seen = self.seen_in(other, tile);
            common = common.start.max(seen.start)..common.end.min(seen.end);
        }
        // SAFETY: as this function.
        unsafe {
            if common.is_empty() {
                for row in rows {
                    self.add_values::<K, HEADS>(row, self.seen_in(row, tile));
                }
                return;
            }
            for row in rows.clone() {
                self.add_values::<K, HEADS>(row, self.seen_in(row, tile).start..common.start);
            }
            self.add_values::<K, PAIRS>(row, common.clone());
            for row in rows {
                self.add_values::<K, HEADS>(row, common.end..self.seen_in(row, tile).end);
            }
        }
    }

    /// Adds the values in `range` to the sums of `PAIRS` pairs from the first head of `row` on.
    ///
    /// # Safety
    /// As [`walk`]; there are as many pairs, and all see the range.
    #[inline(always)]
    unsafe fn add_values<K: Kernel, const PAIRS: usize>(&self, row: usize, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        // SAFETY: the pairs are inside the buffers, by the caller.
        unsafe {
            let weights = self.pairs::<PAIRS>(self.scores, row, self.scores_len).map(<*mut f32>::cast_const);
            K::add_values(
                weights,
                self.context,
                range,
                self.pairs::<PAIRS>(self.sums, row, self.context.value_len),
            );
        }
    }

    /// Writes the results of `row`.
    ///
    /// # Safety
    /// As [`walk`]; there is such a row.
    #[inline(always)]
    unsafe fn write(&self, row: usize) {
        let Queries { out, row_len, .. } = *self.queries;
        let Context { head_dim, value_len, .. } = *self.context;
        // SAFETY: the pairs of the row, by the caller, in buffers and results.
        unsafe {
            for (head, sums) in self.pairs::<HEADS>(self.sums, row, value_len).into_iter().enumerate() {
                let to = out.add(row * row_len + head * head_dim);
                std::ptr::copy_nonoverlapping(sums, to, head_dim);
            }
        }
    }
}
