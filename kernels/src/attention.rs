//! Scaled dot-product attention over a paged KV cache, with grouped queries.
//!
//! The cache is a pool of blocks, `[n_blocks, block_size, n_kv_heads, head_dim]` for keys and the
//! same for values; a sequence owns some blocks in the order of its table (Kwon et al. 2023,
//! "Efficient Memory Management for Large Language Model Serving with PagedAttention").

use rayon::prelude::*;

use crate::vector::{KvElement, add_scaled, dot};

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
    // One task is one row's group of query heads: they share the keys and values of one KV head.
    let task_len = group * head_dim;
    out.par_chunks_mut(task_len).zip(q.par_chunks(task_len)).enumerate().for_each_init(
        Vec::new,
        |scores, (task, (out, q))| {
            let (row, kv_head) = (task / n_kv_heads, task % n_kv_heads);
            let cache = HeadCache { keys, values, kv_head, params };
            attend_group(q, &cache, &rows[row], scores, out);
        },
    );
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
    fn range(&self, position: usize, blocks: &[u32]) -> std::ops::Range<usize> {
        let AttentionParams { n_kv_heads, head_dim, block_size, .. } = *self.params;
        let slot = blocks[position / block_size] as usize * block_size + position % block_size;
        let start = (slot * n_kv_heads + self.kv_head) * head_dim;
        start..start + head_dim
    }
}

/// Attention of one row's query heads that share a KV head; `q` and `out` are `[group, head_dim]`.
fn attend_group<T: KvElement>(
    q: &[f32],
    cache: &HeadCache<'_, T>,
    row: &AttentionRow<'_>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let head_dim = cache.params.head_dim;
    let n_keys = row.end - row.first;
    let group = q.len() / head_dim;
    scores.clear();
    scores.resize(group * n_keys, 0.0);
    for i in 0..n_keys {
        let key = &cache.keys[cache.range(row.first + i, row.blocks)];
        for (head, q) in q.chunks_exact(head_dim).enumerate() {
            scores[head * n_keys + i] = dot(q, key) * cache.params.scale;
        }
    }
    for head_scores in scores.chunks_exact_mut(n_keys) {
        softmax(head_scores);
    }
    out.fill(0.0);
    for i in 0..n_keys {
        let value = &cache.values[cache.range(row.first + i, row.blocks)];
        for (head, out) in out.chunks_exact_mut(head_dim).enumerate() {
            add_scaled(out, value, scores[head * n_keys + i]);
        }
    }
}

/// Softmax in place, shifted by the maximum so that nothing overflows.
fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0f32;
    for s in scores.iter_mut() {
        *s = (*s - max).exp();
        sum += *s;
    }
    for s in scores.iter_mut() {
        *s /= sum;
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    /// The definition, in f64, over contiguous keys and values of one head.
    fn oracle(q: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>], scale: f32) -> Vec<f64> {
        let score = |k: &Vec<f32>| {
            q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * f64::from(scale)
        };
        let scores: Vec<f64> = keys.iter().map(score).collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        (0..q.len())
            .map(|d| weights.iter().zip(values).map(|(w, v)| w / sum * f64::from(v[d])).sum())
            .collect()
    }

    #[derive(Debug, Clone)]
    struct Case {
        params: AttentionParams,
        q: Vec<f32>,
        keys: Vec<f32>,
        values: Vec<f32>,
        tables: Vec<Vec<u32>>,
        spans: Vec<(usize, usize)>,
    }

    fn numbers(n: usize) -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-2f32..2f32, n)
    }

    fn case() -> impl Strategy<Value = Case> {
        (1usize..4, 1usize..4, prop_oneof![Just(8usize), Just(20), Just(64)], 1usize..6, 1usize..5)
            .prop_flat_map(|(n_kv_heads, group, head_dim, block_size, n_rows)| {
                let n_blocks = 6usize;
                let params = AttentionParams {
                    n_heads: n_kv_heads * group,
                    n_kv_heads,
                    head_dim,
                    block_size,
                    scale: 1.0 / (head_dim as f32).sqrt(),
                };
                let pool = n_blocks * block_size * n_kv_heads * head_dim;
                let table = Just((0..n_blocks as u32).collect::<Vec<_>>()).prop_shuffle();
                let reach = n_blocks * block_size;
                let span = (1..=reach).prop_flat_map(|end| (0..end, Just(end)));
                (
                    Just(params),
                    numbers(n_rows * params.n_heads * head_dim),
                    numbers(pool),
                    numbers(pool),
                    proptest::collection::vec(table, n_rows),
                    proptest::collection::vec(span, n_rows),
                )
                    .prop_map(|(params, q, keys, values, tables, spans)| Case {
                        params,
                        q,
                        keys,
                        values,
                        tables,
                        spans,
                    })
            })
    }

    impl Case {
        fn rows(&self) -> Vec<AttentionRow<'_>> {
            self.tables
                .iter()
                .zip(&self.spans)
                .map(|(blocks, &(first, end))| AttentionRow { first, end, blocks })
                .collect()
        }

        fn run<T: KvElement>(
            &self,
            keys: &[T],
            values: &[T],
            rows: &[AttentionRow<'_>],
            q: &[f32],
        ) -> Vec<f32> {
            let mut out = vec![f32::NAN; q.len()];
            paged_attention(q, keys, values, rows, &self.params, &mut out);
            out
        }

        fn vectors(&self, pool: &[f32], row: &AttentionRow<'_>, kv_head: usize) -> Vec<Vec<f32>> {
            let p = &self.params;
            (row.first..row.end)
                .map(|i| {
                    let slot = row.blocks[i / p.block_size] as usize * p.block_size + i % p.block_size;
                    let start = (slot * p.n_kv_heads + kv_head) * p.head_dim;
                    pool[start..start + p.head_dim].to_vec()
                })
                .collect()
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(case in case()) {
            let rows = case.rows();
            let out = case.run(&case.keys, &case.values, &rows, &case.q);
            let p = &case.params;
            for (r, row) in rows.iter().enumerate() {
                for head in 0..p.n_heads {
                    let kv_head = head / (p.n_heads / p.n_kv_heads);
                    let at = (r * p.n_heads + head) * p.head_dim;
                    let expected = oracle(
                        &case.q[at..at + p.head_dim],
                        &case.vectors(&case.keys, row, kv_head),
                        &case.vectors(&case.values, row, kv_head),
                        p.scale,
                    );
                    for (got, want) in out[at..at + p.head_dim].iter().zip(expected) {
                        prop_assert!((f64::from(*got) - want).abs() < 1e-4, "{got} is not {want}");
                    }
                }
            }
        }

        #[test]
        fn a_row_has_the_same_bits_alone_and_among_others(case in case()) {
            let rows = case.rows();
            let keys: Vec<bf16> = case.keys.iter().map(|x| bf16::from_f32(*x)).collect();
            let values: Vec<bf16> = case.values.iter().map(|x| bf16::from_f32(*x)).collect();
            let together = case.run(&keys, &values, &rows, &case.q);
            let row_len = case.params.n_heads * case.params.head_dim;
            for (r, row) in rows.iter().enumerate() {
                let span = r * row_len..(r + 1) * row_len;
                let alone = case.run(&keys, &values, &[*row], &case.q[span.clone()]);
                let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&alone), bits(&together[span]));
            }
        }
    }

    #[test]
    fn no_rows_is_no_work() {
        let params = AttentionParams { n_heads: 2, n_kv_heads: 1, head_dim: 4, block_size: 2, scale: 1.0 };
        paged_attention::<f32>(&[], &[0.0; 8], &[0.0; 8], &[], &params, &mut []);
    }
}
