//! Attention within sequences whose tokens all see one another, as an encoder has it.
//!
//! Keys are turned over, `[head_dim][tokens]`, so that a vector register holds one element of many keys
//! and a score needs no sum across lanes; values lie right already. Scores and outputs are then the same
//! sum of weighted vectors, [`weighted_sums`]. A score is summed over the elements in order, an output
//! over the tokens in order, whatever other sequences there are.

use std::{cell::RefCell, ops::Range};

use crate::{
    cpu::vectorised,
    pool::{self, SharedMut},
    vector::exp,
};

/// Tokens that are worked on at once: with two registers each, enough sums under way to keep the
/// multipliers busy.
const QUERIES: usize = 6;
/// Sums that a register holds where it is widest; keys and elements are filled up to a multiple.
const LANES: usize = 16;
/// Multiplications of a task, about: below it, handing out costs more than it saves.
const PRODUCTS_PER_TASK: usize = 64 << 10;

thread_local! {
    /// The working memory of a task, kept for the next.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Queries, keys and values of some sequences, one after the other without padding.
#[derive(Debug, Clone, Copy)]
pub struct SelfAttention<'a> {
    /// `[n_tokens, 3, n_heads, head_dim]`: a token's queries, then its keys, then its values.
    pub qkv: &'a [f32],
    /// Tokens of each sequence.
    pub lengths: &'a [usize],
    /// Heads of a token.
    pub n_heads: usize,
    /// Length of one head's vectors.
    pub head_dim: usize,
}

/// Scaled dot-product attention of every token to all tokens of its sequence (Vaswani et al. 2017,
/// "Attention Is All You Need"), into `out`, `[n_tokens, n_heads, head_dim]`. A sequence has the same
/// bits whatever the others are.
///
/// # Panics
/// When a slice's length does not fit.
pub fn self_attention(attention: &SelfAttention<'_>, out: &mut [f32]) {
    let SelfAttention { qkv, lengths, n_heads, head_dim } = *attention;
    let n_tokens: usize = lengths.iter().sum();
    assert_eq!(out.len(), n_tokens * n_heads * head_dim, "out must be tokens × heads × head_dim");
    assert_eq!(qkv.len(), 3 * out.len(), "qkv must be tokens × 3 × heads × head_dim");
    let tasks = tasks(attention);
    let out = SharedMut(out.as_mut_ptr());
    pool::parallel(tasks.len(), &|i| {
        SCRATCH.with_borrow_mut(|scratch| {
            for head in tasks[i].heads.clone() {
                attend(attention, &tasks[i].tokens, head, scratch);
                for (token, values) in tasks[i].tokens.clone().zip(scratch.out.chunks_exact(head_dim)) {
                    // SAFETY: inside `out`; no other task has this head of this token.
                    let out = unsafe {
                        let start = out.get().add((token * n_heads + head) * head_dim);
                        std::slice::from_raw_parts_mut(start, head_dim)
                    };
                    out.copy_from_slice(values);
                }
            }
        });
    });
}

/// Some heads of one sequence.
struct Task {
    tokens: Range<usize>,
    heads: Range<usize>,
}

/// Cuts the heads of long sequences into tasks of their own.
fn tasks(attention: &SelfAttention<'_>) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut start = 0;
    for length in attention.lengths.iter().copied() {
        let head_products = 2 * length * length * attention.head_dim;
        let step = PRODUCTS_PER_TASK.div_ceil(head_products.max(1)).min(attention.n_heads.max(1));
        for first in (0..attention.n_heads).step_by(step) {
            let heads = first..(first + step).min(attention.n_heads);
            tasks.push(Task { tokens: start..start + length, heads });
        }
        start += length;
    }
    tasks
}

/// The working memory of a head of a sequence of `n` tokens.
#[derive(Debug, Default)]
struct Scratch {
    /// `[head_dim][n / LANES]`, filled up.
    keys: Vec<[f32; LANES]>,
    /// `[n][head_dim / LANES]`, filled up.
    values: Vec<[f32; LANES]>,
    /// [`QUERIES`] tokens, times the scale: `[QUERIES][head_dim]`.
    queries: [Vec<f32>; QUERIES],
    /// Scores, then weights: `[QUERIES][n / LANES]`.
    scores: [Vec<[f32; LANES]>; QUERIES],
    /// `[n][head_dim]`.
    out: Vec<f32>,
}

vectorised! {
    /// Attention of one head of a sequence, into `scratch.out`.
    fn attend(attention: &SelfAttention<'_>, tokens: &Range<usize>, head: usize, scratch: &mut Scratch) = attend_plain;
}

#[inline(always)]
fn attend_plain(attention: &SelfAttention<'_>, tokens: &Range<usize>, head: usize, scratch: &mut Scratch) {
    let SelfAttention { qkv, n_heads, head_dim, .. } = *attention;
    let vector = |token: usize, which: usize| {
        &qkv[((tokens.start + token) * 3 * n_heads + which * n_heads + head) * head_dim..][..head_dim]
    };
    let n = tokens.len();
    let (n_blocks, dim_blocks) = (n.div_ceil(LANES), head_dim.div_ceil(LANES));
    let scale = 1.0 / (head_dim as f32).sqrt();
    scratch.prepare(n, head_dim);
    for token in 0..n {
        for (key, to) in vector(token, 1).iter().zip(scratch.keys.chunks_exact_mut(n_blocks)) {
            to[token / LANES][token % LANES] = *key;
        }
        let values = scratch.values[token * dim_blocks..][..dim_blocks].as_flattened_mut();
        values[..head_dim].copy_from_slice(vector(token, 2));
    }
    for first in (0..n).step_by(QUERIES) {
        let n_queries = QUERIES.min(n - first);
        for (i, query) in scratch.queries.iter_mut().take(n_queries).enumerate() {
            query.iter_mut().zip(vector(first + i, 0)).for_each(|(to, x)| *to = x * scale);
        }
        scratch.score(n_blocks);
        let sums = scratch.softmax(n);
        scratch.add_values(n, head_dim, &sums[..n_queries]);
    }
}

impl Scratch {
    /// Makes room.
    #[inline(always)]
    fn prepare(&mut self, n: usize, head_dim: usize) {
        let (n_blocks, dim_blocks) = (n.div_ceil(LANES), head_dim.div_ceil(LANES));
        self.keys.resize(head_dim * n_blocks, [0.0; LANES]);
        self.values.resize(n * dim_blocks, [0.0; LANES]);
        self.queries.iter_mut().for_each(|query| query.resize(head_dim, 0.0));
        self.scores.iter_mut().for_each(|scores| scores.resize(n_blocks, [0.0; LANES]));
        self.out.clear();
    }

    /// The scores of the queries for all keys.
    #[inline(always)]
    fn score(&mut self, n_blocks: usize) {
        let queries = self.queries.each_ref().map(Vec::as_slice);
        let mut block = 0;
        while block + 2 <= n_blocks {
            let sums = weighted_sums::<2>(queries, &self.keys[block..], n_blocks);
            for (scores, sums) in self.scores.iter_mut().zip(sums) {
                scores[block..block + 2].copy_from_slice(&sums);
            }
            block += 2;
        }
        if block < n_blocks {
            let sums = weighted_sums::<1>(queries, &self.keys[block..], n_blocks);
            for (scores, sums) in self.scores.iter_mut().zip(sums) {
                scores[block] = sums[0];
            }
        }
    }

    /// Turns scores into weights, shifted by the largest score so that nothing overflows, and returns
    /// their sums. Lanes by position: an order that depends on the number of keys alone.
    #[inline(always)]
    fn softmax(&mut self, n: usize) -> [f32; QUERIES] {
        let mut sums = [0f32; QUERIES];
        for (query, scores) in self.scores.iter_mut().enumerate() {
            scores.as_flattened_mut()[n..].fill(f32::NEG_INFINITY);
            let mut largest = [f32::NEG_INFINITY; LANES];
            for block in scores.iter() {
                for lane in 0..LANES {
                    largest[lane] = largest[lane].max(block[lane]);
                }
            }
            let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
            let mut lanes = [0f32; LANES];
            for block in scores.iter_mut() {
                for lane in 0..LANES {
                    block[lane] = exp(block[lane] - largest);
                    lanes[lane] += block[lane];
                }
            }
            sums[query] = lanes.into_iter().sum();
        }
        sums
    }

    /// Appends the values, weighted, over the sums of weights, to `out`.
    #[inline(always)]
    fn add_values(&mut self, n: usize, head_dim: usize, sums: &[f32]) {
        let dim_blocks = head_dim.div_ceil(LANES);
        let weights = self.scores.each_ref().map(|scores| &scores.as_flattened()[..n]);
        let start = self.out.len();
        self.out.resize(start + sums.len() * head_dim, 0.0);
        let out = &mut self.out[start..];
        for block in (0..dim_blocks).step_by(2) {
            let values = &self.values[block..];
            let pair = if block + 2 <= dim_blocks {
                weighted_sums::<2>(weights, values, dim_blocks)
            } else {
                weighted_sums::<1>(weights, values, dim_blocks).map(|[sums]| [sums, [0.0; LANES]])
            };
            for ((out, pair), sum) in out.chunks_exact_mut(head_dim).zip(&pair).zip(sums) {
                let inverse = 1.0 / sum;
                for (out, x) in out[block * LANES..].iter_mut().zip(pair.as_flattened()) {
                    *out = x * inverse;
                }
            }
        }
    }
}

/// `Σₖ weights[q][k]·vectors[k]` for each `q`, in the order of `k`: of the first `U` registers of
/// vectors of `stride` of them.
#[inline(always)]
fn weighted_sums<const U: usize>(
    weights: [&[f32]; QUERIES],
    vectors: &[[f32; LANES]],
    stride: usize,
) -> [[[f32; LANES]; U]; QUERIES] {
    let n = weights[0].len();
    // As long as one another, so that one comparison with `n` serves all.
    let weights = weights.map(|weights| &weights[..n]);
    let mut sums = [[[0f32; LANES]; U]; QUERIES];
    for k in 0..n {
        let Some(vector) = vectors[k * stride..].first_chunk::<U>() else { break };
        for q in 0..QUERIES {
            for u in 0..U {
                for lane in 0..LANES {
                    sums[q][u][lane] = weights[q][k].mul_add(vector[u][lane], sums[q][u][lane]);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_weights::Random;

    /// By the definition, in f64.
    fn exact(attention: &SelfAttention<'_>) -> Vec<f64> {
        let SelfAttention { qkv, n_heads, head_dim, .. } = *attention;
        let value = |token: usize, which: usize, head: usize, d: usize| {
            f64::from(qkv[((token * 3 + which) * n_heads + head) * head_dim + d])
        };
        let (mut out, mut start) = (Vec::new(), 0);
        for length in attention.lengths {
            let tokens = start..start + length;
            for (token, head) in tokens.clone().flat_map(|token| (0..n_heads).map(move |head| (token, head)))
            {
                let score = |other: usize| {
                    (0..head_dim).map(|d| value(token, 0, head, d) * value(other, 1, head, d)).sum::<f64>()
                        / (head_dim as f64).sqrt()
                };
                let weights: Vec<f64> = tokens.clone().map(|other| score(other).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for d in 0..head_dim {
                    let weighted =
                        tokens.clone().zip(&weights).map(|(other, w)| w * value(other, 2, head, d));
                    out.push(weighted.sum::<f64>() / sum);
                }
            }
            start += length;
        }
        out
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition_and_with_each_sequence_alone(
            lengths in proptest::collection::vec(0usize..45, 0..4),
            n_heads in 1usize..4,
            head_dim in 1usize..50,
            seed in any::<u64>(),
        ) {
            let token_values = n_heads * head_dim;
            let n_tokens: usize = lengths.iter().sum();
            let qkv: Vec<f32> =
                Random::new(seed).units(3 * n_tokens * token_values).iter().map(|x| 3.0 * x).collect();
            let attention = SelfAttention { qkv: &qkv, lengths: &lengths, n_heads, head_dim };
            let mut out = vec![f32::NAN; n_tokens * token_values];
            self_attention(&attention, &mut out);
            for (out, want) in out.iter().zip(exact(&attention)) {
                prop_assert!((f64::from(*out) - want).abs() < 2e-5, "{out}, not {want}");
            }
            let mut start = 0;
            for length in &lengths {
                let (from, to) = (start * token_values, (start + length) * token_values);
                let mut alone = vec![f32::NAN; to - from];
                let sequence = SelfAttention { qkv: &qkv[3 * from..3 * to], lengths: &[*length], ..attention };
                self_attention(&sequence, &mut alone);
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&alone), bits(&out[from..to]));
                start += length;
            }
        }
    }

    #[test]
    fn long_sequences_are_cut_by_heads() {
        let (n_heads, head_dim, lengths) = (12, 32, [256, 3]);
        let token_values = n_heads * head_dim;
        let qkv = Random::new(5).units(3 * 259 * token_values);
        let attention = SelfAttention { qkv: &qkv, lengths: &lengths, n_heads, head_dim };
        let mut out = vec![f32::NAN; 259 * token_values];
        self_attention(&attention, &mut out);
        for (out, want) in out.iter().zip(exact(&attention)) {
            assert!((f64::from(*out) - want).abs() < 1e-5, "{out}, not {want}");
        }
    }

    #[test]
    fn scores_that_are_large_do_not_overflow() {
        let qkv = [100.0, 100.0, 1.0, 100.0, -100.0, 2.0];
        let mut out = [f32::NAN; 2];
        self_attention(&SelfAttention { qkv: &qkv, lengths: &[2], n_heads: 1, head_dim: 1 }, &mut out);
        assert_eq!(out, [1.0, 1.0]);
    }
}
