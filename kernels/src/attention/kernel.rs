//! Attention of the query heads of a few rows to the keys and values of one KV head.
//!
//! Keys are taken [`TILE`] at a time and turned over, `[head_dim][TILE]`, so that a vector register
//! holds one element of many keys and a score needs no sum across lanes. Every head then goes through
//! the tile, four heads at once. Values lie right already. A score is summed over the elements in
//! order, an output over the keys in order: both whatever other rows there are.

use std::ops::Range;

use super::{AttentionRow, HeadCache, accumulate::accumulate};
use crate::{
    cpu::vectorised,
    vector::{KvElement, exp},
};

/// Keys that are worked on at once.
pub(super) const TILE: usize = 32;
/// Heads that go through a tile at once: with two registers a head, enough sums under way to keep the
/// multipliers busy.
pub(super) const HEADS: usize = 4;
/// Elements of an output that are summed at once: as many as there are keys in a tile, so that scores
/// and outputs are the same sum.
const CHUNK: usize = TILE;
/// Independent sums of weights in a softmax.
const LANES: usize = 16;

/// The query heads of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    /// `[group, head_dim]`.
    pub(super) heads: &'a [f32],
    pub(super) row: &'a AttentionRow<'a>,
}

/// The working memory of a task. Heads are filled up to a multiple of [`HEADS`], keys to one of
/// [`TILE`], and the elements of values to one of [`CHUNK`].
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Queries: `[heads][head_dim]`.
    q: Vec<f32>,
    /// Scores, then weights: `[heads][keys / TILE]`.
    scores: Vec<[f32; TILE]>,
    /// A tile of keys: `[head_dim]`.
    keys: Vec<[f32; TILE]>,
    /// A tile of values: `[head_dim / CHUNK][TILE]`.
    values: Vec<[[f32; CHUNK]; TILE]>,
    /// Weighted sums of values: `[heads][head_dim / CHUNK]`.
    sums: Vec<[f32; CHUNK]>,
    /// The results: `[rows][group][head_dim]`.
    pub(super) out: Vec<f32>,
}

vectorised! {
    /// Attention of the heads of `queries`, rows of one sequence, into `scratch.out`.
    pub(super) fn attend<T: KvElement>(cache: &HeadCache<'_, T>, queries: &[Query<'_>], scratch: &mut Scratch) = attend_plain;
}

#[inline(always)]
fn attend_plain<T: KvElement>(cache: &HeadCache<'_, T>, queries: &[Query<'_>], scratch: &mut Scratch) {
    let rows = || queries.iter().map(|query| query.row);
    let (Some(first), Some(end)) = (rows().map(|row| row.first).min(), rows().map(|row| row.end).max())
    else {
        return;
    };
    let head_dim = cache.params.head_dim;
    let n_heads: usize = queries.iter().map(|query| query.heads.len() / head_dim).sum();
    let n_tiles = (end - first).div_ceil(TILE);
    scratch.prepare(queries, head_dim, n_heads, n_tiles);
    for tile in 0..n_tiles {
        let start = first + tile * TILE;
        scratch.score(cache, queries[0].row, start..end.min(start + TILE), tile);
    }
    let group = n_heads / queries.len();
    for (head, scores) in scratch.scores.chunks_exact_mut(n_tiles).take(n_heads).enumerate() {
        let row = queries[head / group].row;
        let scores = scores.as_flattened_mut();
        let (seen_from, seen_to) = (row.first - first, row.end - first);
        scores[..seen_from].fill(0.0);
        scores[seen_to..].fill(0.0);
        softmax(&mut scores[seen_from..seen_to], cache.params.scale);
    }
    for tile in 0..n_tiles {
        let start = first + tile * TILE;
        scratch.add_values(cache, queries[0].row, start..end.min(start + TILE), tile);
    }
    scratch.out.clear();
    for sums in scratch.sums.chunks_exact(head_dim.div_ceil(CHUNK)).take(n_heads) {
        scratch.out.extend_from_slice(&sums.as_flattened()[..head_dim]);
    }
}

impl Scratch {
    /// Makes room, and lays out the queries.
    #[inline(always)]
    fn prepare(&mut self, queries: &[Query<'_>], head_dim: usize, n_heads: usize, n_tiles: usize) {
        let padded = n_heads.next_multiple_of(HEADS);
        self.q.clear();
        queries.iter().for_each(|query| self.q.extend_from_slice(query.heads));
        self.q.resize(padded * head_dim, 0.0);
        self.scores.resize(padded * n_tiles, [0.0; TILE]);
        self.keys.resize(head_dim, [0.0; TILE]);
        self.values.resize(head_dim.div_ceil(CHUNK), [[0.0; CHUNK]; TILE]);
        self.sums.clear();
        self.sums.resize(padded * head_dim.div_ceil(CHUNK), [0.0; CHUNK]);
    }

    /// The scores of all heads for the keys at `positions`.
    #[inline(always)]
    fn score<T: KvElement>(
        &mut self,
        cache: &HeadCache<'_, T>,
        row: &AttentionRow<'_>,
        positions: Range<usize>,
        tile: usize,
    ) {
        let head_dim = cache.params.head_dim;
        let n_tiles = self.scores.len() / (self.q.len() / head_dim);
        for (i, position) in positions.enumerate() {
            let key = &cache.keys[cache.range(position, row.blocks)];
            for (to, x) in self.keys.iter_mut().zip(key) {
                to[i] = x.to_f32();
            }
        }
        let heads = self.q.chunks_exact(HEADS * head_dim).zip(self.scores.chunks_exact_mut(HEADS * n_tiles));
        for (q, scores) in heads {
            let mut sums = [[0f32; TILE]; HEADS];
            accumulate(std::array::from_fn(|head| &q[head * head_dim..][..head_dim]), &self.keys, &mut sums);
            for (sums, scores) in sums.iter().zip(scores.chunks_exact_mut(n_tiles)) {
                scores[tile] = *sums;
            }
        }
    }

    /// Adds the values at `positions`, weighted, to the sums of all heads.
    #[inline(always)]
    fn add_values<T: KvElement>(
        &mut self,
        cache: &HeadCache<'_, T>,
        row: &AttentionRow<'_>,
        positions: Range<usize>,
        tile: usize,
    ) {
        let n_keys = positions.len();
        let n_chunks = self.values.len();
        let n_tiles = self.scores.len() * n_chunks / self.sums.len();
        for (i, position) in positions.enumerate() {
            let value = &cache.values[cache.range(position, row.blocks)];
            for (to, from) in self.values.iter_mut().zip(value.chunks(CHUNK)) {
                for (to, x) in to[i].iter_mut().zip(from) {
                    *to = x.to_f32();
                }
            }
        }
        let heads =
            self.sums.chunks_exact_mut(HEADS * n_chunks).zip(self.scores.chunks_exact(HEADS * n_tiles));
        for (all_sums, scores) in heads {
            let weights = std::array::from_fn(|head| &scores[head * n_tiles + tile][..n_keys]);
            for (chunk, values) in self.values.iter().enumerate() {
                let mut sums: [[f32; CHUNK]; HEADS] =
                    std::array::from_fn(|head| all_sums[head * n_chunks + chunk]);
                accumulate(weights, &values[..n_keys], &mut sums);
                for (head, sums) in sums.into_iter().enumerate() {
                    all_sums[head * n_chunks + chunk] = sums;
                }
            }
        }
    }
}

/// Softmax of `scale·scores` in place, shifted by the maximum so that nothing overflows. Sums in
/// [`LANES`] lanes by position: an order that depends on the length alone.
#[inline(always)]
fn softmax(scores: &mut [f32], scale: f32) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in scores.chunks(LANES) {
        for (largest, score) in largest.iter_mut().zip(chunk) {
            *largest = largest.max(*score * scale);
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0f32; LANES];
    for chunk in scores.chunks_mut(LANES) {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score * scale - largest);
            *sum += *score;
        }
    }
    let inverse = 1.0 / sums.into_iter().sum::<f32>();
    for score in scores.iter_mut() {
        *score *= inverse;
    }
}
