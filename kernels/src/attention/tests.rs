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
    (0..q.len()).map(|d| weights.iter().zip(values).map(|(w, v)| w / sum * f64::from(v[d])).sum()).collect()
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
    (1usize..4, 1usize..4, prop_oneof![Just(8usize), Just(20), Just(64)], 1usize..6, 1usize..5).prop_flat_map(
        |(n_kv_heads, group, head_dim, block_size, n_rows)| {
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
        },
    )
}

impl Case {
    fn rows(&self) -> Vec<AttentionRow<'_>> {
        self.tables
            .iter()
            .zip(&self.spans)
            .map(|(blocks, &(first, end))| AttentionRow { first, end, blocks })
            .collect()
    }

    fn run<T: KvElement>(&self, keys: &[T], values: &[T], rows: &[AttentionRow<'_>], q: &[f32]) -> Vec<f32> {
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
