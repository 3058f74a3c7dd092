use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::vector::exp;

/// Blocks in a case's cache.
const N_BLOCKS: usize = 12;

/// Rows of some sequences over a cache with random contents.
#[derive(Debug, Clone)]
struct Case {
    params: AttentionParams,
    q: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// The blocks of each sequence.
    tables: Vec<Vec<u32>>,
    /// Of each row the sequence, and what it sees.
    rows: Vec<(usize, usize, usize)>,
}

fn numbers(n: usize) -> impl Strategy<Value = Vec<f32>> {
    any::<u64>().prop_map(move |seed| {
        let mut state = seed;
        let number = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bf16::from_f32((state >> 40) as f32 / (1u64 << 22) as f32 - 2.0).to_f32()
        };
        (0..n).map(number).collect()
    })
}

/// A sequence's rows: new tokens behind cached ones, under a window.
fn rows_of(sequence: usize, reach: usize) -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    (1..=reach, 1..=reach, prop_oneof![Just(reach), 0..=reach]).prop_map(move |(a, b, window)| {
        let end = a.max(b);
        (a.min(b).max(end.saturating_sub(12))..=end)
            .map(|end| (sequence, end.saturating_sub(window), end))
            .collect()
    })
}

fn params() -> impl Strategy<Value = AttentionParams> {
    let head_dims = prop_oneof![Just(8usize), Just(16), Just(20), Just(48), Just(64), Just(80)];
    let block_sizes = prop_oneof![Just(16usize), Just(32), 1usize..20];
    (1usize..4, 1usize..12, head_dims, block_sizes).prop_map(|(n_kv_heads, group, head_dim, block_size)| {
        let scale = 1.0 / (head_dim as f32).sqrt();
        AttentionParams { n_heads: n_kv_heads * group, n_kv_heads, head_dim, block_size, scale }
    })
}

fn case() -> impl Strategy<Value = Case> {
    (params(), 0usize..4).prop_flat_map(|(params, n_sequences)| {
        let len = N_BLOCKS * params.block_size * params.n_kv_heads * params.head_dim;
        let table = Just((0..N_BLOCKS as u32).collect::<Vec<_>>()).prop_shuffle();
        let rows: Vec<_> = (0..n_sequences).map(|i| rows_of(i, N_BLOCKS * params.block_size)).collect();
        (proptest::collection::vec(table, n_sequences), rows, numbers(len), numbers(len)).prop_flat_map(
            move |(tables, rows, keys, values)| {
                let rows = rows.concat();
                numbers(rows.len() * params.n_heads * params.head_dim).prop_map(move |q| Case {
                    params,
                    q,
                    keys: keys.clone(),
                    values: values.clone(),
                    tables: tables.clone(),
                    rows: rows.clone(),
                })
            },
        )
    })
}

impl Case {
    fn rows(&self) -> Vec<AttentionRow<'_>> {
        let row = |&(sequence, first, end): &(usize, usize, usize)| AttentionRow {
            first,
            end,
            blocks: &self.tables[sequence],
        };
        self.rows.iter().map(row).collect()
    }

    fn bf16(pool: &[f32]) -> Vec<bf16> {
        pool.iter().map(|x| bf16::from_f32(*x)).collect()
    }

    /// What a row's head sees: its query, keys and values.
    fn head(&self, row: usize, head: usize) -> Head<'_> {
        let AttentionParams { n_heads, n_kv_heads, head_dim, block_size, scale } = self.params;
        let kv_head = head / (n_heads / n_kv_heads);
        let (sequence, first, end) = self.rows[row];
        let part = |position: usize| {
            let block = self.tables[sequence][position / block_size] as usize;
            ((block * n_kv_heads + kv_head) * head_dim * block_size, position % block_size)
        };
        let key = |position: usize| {
            let (part, slot) = part(position);
            (0..head_dim).map(|d| self.keys[part + d * block_size + slot]).collect()
        };
        let value = |position: usize| {
            let (part, slot) = part(position);
            (0..head_dim).map(|d| self.values[part + slot * head_dim + d]).collect()
        };
        Head {
            q: &self.q[self.span(row, head)],
            keys: (first..end).map(key).collect(),
            values: (first..end).map(value).collect(),
            scale,
        }
    }

    fn span(&self, row: usize, head: usize) -> std::ops::Range<usize> {
        let AttentionParams { n_heads, head_dim, .. } = self.params;
        let start = (row * n_heads + head) * head_dim;
        start..start + head_dim
    }

    fn heads(&self) -> impl Iterator<Item = (usize, usize)> {
        let n_heads = self.params.n_heads;
        (0..self.rows.len()).flat_map(move |row| (0..n_heads).map(move |head| (row, head)))
    }
}

/// One head of one row.
struct Head<'a> {
    q: &'a [f32],
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    scale: f32,
}

impl Head<'_> {
    /// The definition, in f64.
    fn exactly(&self) -> Vec<f64> {
        let score = |key: &Vec<f32>| {
            let dot: f64 = self.q.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            dot * f64::from(self.scale)
        };
        let scores: Vec<f64> = self.keys.iter().map(score).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let out =
            |d: usize| weights.iter().zip(&self.values).map(|(w, value)| w / sum * f64::from(value[d])).sum();
        (0..self.q.len()).map(out).collect()
    }

    /// In f32, in the order that the kernels promise.
    fn in_order(&self) -> Vec<f32> {
        let score = |key: &Vec<f32>| self.q.iter().zip(key).fold(0f32, |sum, (q, k)| q.mul_add(*k, sum));
        let scores: Vec<f32> = self.keys.iter().map(|key| score(key) * self.scale).collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = scores.iter().map(|score| exp(score - largest)).collect();
        let lane = |lane: usize| weights.iter().skip(lane).step_by(16).fold(0f32, |sum, w| sum + w);
        let inverse = 1.0 / (0..16).map(lane).fold(0f32, |sum, lane| sum + lane);
        let out = |d: usize| {
            weights
                .iter()
                .zip(&self.values)
                .fold(0f32, |sum, (w, value)| (w * inverse).mul_add(value[d], sum))
        };
        (0..self.q.len()).map(out).collect()
    }
}

fn run<T: KvElement>(
    params: &AttentionParams,
    [keys, values]: [&[T]; 2],
    (q, rows): (&[f32], &[AttentionRow<'_>]),
    (set, n_threads): (InstructionSet, usize),
) -> Vec<u32> {
    let mut out = vec![f32::NAN; q.len()];
    Call { q, keys, values, rows, params }.run_on(&Pool::new(n_threads), set, &mut out);
    bits(&out)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_the_definition(case in case()) {
        let mut out = vec![f32::NAN; case.q.len()];
        paged_attention(&case.q, &case.keys, &case.values, &case.rows(), &case.params, &mut out);
        for (row, head) in case.heads() {
            let expected = case.head(row, head).exactly();
            for (got, want) in out[case.span(row, head)].iter().zip(expected) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-4, "{got} is not {want}");
            }
        }
    }

    #[test]
    fn has_the_bits_of_the_order_promised(case in case()) {
        let (keys, values) = (Case::bf16(&case.keys), Case::bf16(&case.values));
        let expected: Vec<f32> = case.heads().flat_map(|(row, head)| case.head(row, head).in_order()).collect();
        let rows = case.rows();
        for set in InstructionSet::available() {
            for n_threads in [1, 3] {
                let got = run(&case.params, [&keys, &values], (&case.q, &rows), (set, n_threads));
                prop_assert!(got == bits(&expected), "{} on {n_threads} threads", set.name());
                let got = run(&case.params, [&case.keys, &case.values], (&case.q, &rows), (set, n_threads));
                prop_assert!(got == bits(&expected), "f32, {} on {n_threads} threads", set.name());
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others(case in case()) {
        let (keys, values) = (Case::bf16(&case.keys), Case::bf16(&case.values));
        let rows = case.rows();
        let on = (InstructionSet::chosen(), 1);
        let together = run(&case.params, [&keys, &values], (&case.q, &rows), on);
        let row_len = case.params.n_heads * case.params.head_dim;
        for (i, row) in rows.iter().enumerate() {
            let span = i * row_len..(i + 1) * row_len;
            let alone = run(&case.params, [&keys, &values], (&case.q[span.clone()], &[*row]), on);
            prop_assert_eq!(&alone[..], &together[span]);
        }
    }
}

#[test]
fn what_a_row_does_not_see_may_be_anything() {
    let params = AttentionParams { n_heads: 3, n_kv_heads: 1, head_dim: 16, block_size: 16, scale: 0.25 };
    let blocks = [0, 1];
    let pool = |seen: f32| (0..2 * 16 * 16).map(|i| if i / 256 == 0 { seen } else { f32::NAN }).collect();
    let (keys, values): (Vec<f32>, Vec<f32>) = (pool(0.5), pool(2.0));
    let rows: Vec<_> = (10..24).map(|end| AttentionRow { first: end - 10, end, blocks: &blocks }).collect();
    let q = vec![1f32; rows.len() * 48];
    let mut out = vec![0f32; q.len()];
    paged_attention(&q, &keys, &values, &rows, &params, &mut out);
    for (row, out) in rows.iter().zip(out.chunks_exact(48)) {
        assert_eq!(out.iter().all(|x| (x - 2.0).abs() < 1e-5), row.end <= 16, "row up to {}", row.end);
    }
}

#[test]
fn no_rows_is_no_work() {
    let params = AttentionParams { n_heads: 2, n_kv_heads: 1, head_dim: 4, block_size: 2, scale: 1.0 };
    paged_attention::<f32>(&[], &[0.0; 8], &[0.0; 8], &[], &params, &mut []);
}

#[test]
fn a_row_that_sees_nothing_gets_zeros() {
    let params = AttentionParams { n_heads: 2, n_kv_heads: 1, head_dim: 4, block_size: 2, scale: 1.0 };
    let rows =
        [AttentionRow { first: 1, end: 1, blocks: &[0] }, AttentionRow { first: 0, end: 0, blocks: &[] }];
    let mut out = [f32::NAN; 16];
    paged_attention::<f32>(&[1.0; 16], &[1.0; 8], &[1.0; 8], &rows, &params, &mut out);
    assert_eq!(out, [0.0; 16]);
}

#[test]
#[should_panic(expected = "beyond the 1 of the cache")]
fn a_block_that_is_not_there_is_refused() {
    let params = AttentionParams { n_heads: 1, n_kv_heads: 1, head_dim: 4, block_size: 2, scale: 1.0 };
    let rows = [AttentionRow { first: 0, end: 2, blocks: &[1] }];
    paged_attention::<f32>(&[1.0; 4], &[1.0; 8], &[1.0; 8], &rows, &params, &mut [0.0; 4]);
}
