use proptest::prelude::*;

use super::*;
use crate::{
    quant::BlockType,
    test_weights::{Random, dequantise, random_blocks},
};

/// A product of some size with random contents.
#[derive(Debug, Clone)]
struct Case {
    block_type: BlockType,
    n_in: usize,
    n_out: usize,
    blocks: Vec<u8>,
    x: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Case {
    fn new(block_type: BlockType, [n_rows, n_out, n_spans]: [usize; 3], biased: bool, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let n_in = n_spans * block_type.block_len();
        let blocks = random_blocks(block_type, n_out * n_spans, random.next());
        let x = random.units(n_rows * n_in);
        let bias = biased.then(|| random.units(n_out));
        Self { block_type, n_in, n_out, blocks, x, bias }
    }

    fn run(&self, pool: &Pool, set: InstructionSet, x: &[f32]) -> Vec<f32> {
        let w = PackedWeight::pack_on(pool, self.block_type, &self.blocks, [self.n_out, self.n_in]).unwrap();
        let mut rows = QuantisedRows::new();
        rows.fill_on(pool, RowSource::Plain(x), self.n_in, self.block_type.block_len());
        let parts = [Part { w: &w, bias: self.bias.as_deref(), gates: None }];
        Product { x: &rows, parts: &parts, residual: None }.run_on(pool, set)
    }
}

fn case() -> impl Strategy<Value = Case> {
    let shape = (0usize..36, 0usize..70, 1usize..5);
    (prop::sample::select(&BlockType::ALL[..]), shape, any::<bool>(), any::<u64>()).prop_map(
        |(block_type, (n_rows, n_out, n_spans), biased, seed)| {
            Case::new(block_type, [n_rows, n_out, n_spans], biased, seed)
        },
    )
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The product in f64 with dequantised weights, and how far from it roundings may lead: half a step of
/// each activation times its weight, 1.2 steps of each weight of a super-block times its activation, and
/// f32's rounding on top.
fn exact(case: &Case) -> Vec<(f64, f64)> {
    let weights = dequantise(case.block_type, &case.blocks);
    let block_len = case.block_type.block_len();
    let largest = |values: &[f32]| f64::from(values.iter().fold(0f32, |m, v| m.max(v.abs())));
    let mut out = Vec::new();
    for x in case.x.chunks_exact(case.n_in) {
        for (c, w) in weights.chunks_exact(case.n_in).enumerate() {
            let (mut sum, mut error) = (case.bias.as_ref().map_or(0.0, |bias| f64::from(bias[c])), 1e-5);
            for (x, w) in x.chunks_exact(block_len).zip(w.chunks_exact(block_len)) {
                let step = largest(x) / 127.0;
                // The step of a super-block follows from its scales, which allow a little more.
                let weight_step = if block_len == 256 { largest(w) / 100.0 } else { 0.0 };
                for (x, w) in x.iter().zip(w) {
                    let (x, w) = (f64::from(*x), f64::from(*w));
                    sum += x * w;
                    error += (0.501 * step + 1e-5) * w.abs() + 1.2 * weight_step * (x.abs() + step);
                }
            }
            out.push((sum, error));
        }
    }
    out
}

/// Types of which some have blocks of one length.
fn types_of_one_length(n: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<BlockType>> {
    prop::sample::select(vec![32, 256]).prop_flat_map(move |block_len| {
        let mut types = BlockType::ALL.to_vec();
        types.retain(|block_type| block_type.block_len() == block_len);
        prop::collection::vec(prop::sample::select(types), n.clone())
    })
}

proptest! {
    #[test]
    fn the_oracle_is_near_the_product_of_floats(case in case()) {
        let got = case.run(&Pool::new(1), InstructionSet::Scalar, &case.x);
        for (got, (want, error)) in got.iter().zip(exact(&case)) {
            prop_assert!((f64::from(*got) - want).abs() <= error, "{got} is not {want} ± {error}");
        }
    }

    #[test]
    fn every_instruction_set_has_the_bits_of_the_oracle(case in case()) {
        let pool = Pool::new(2);
        let want = case.run(&pool, InstructionSet::Scalar, &case.x);
        for set in InstructionSet::available() {
            prop_assert_eq!(bits(&case.run(&pool, set, &case.x)), bits(&want), "{:?}", set);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others(case in case()) {
        let together = case.run(&Pool::new(2), InstructionSet::chosen(), &case.x);
        let pool = Pool::new(1);
        for (r, x) in case.x.chunks_exact(case.n_in).enumerate() {
            let alone = case.run(&pool, InstructionSet::chosen(), x);
            prop_assert_eq!(bits(&alone), bits(&together[r * case.n_out..][..case.n_out]));
        }
    }

    #[test]
    fn threads_do_not_change_the_bits(case in case(), n_threads in 2usize..6) {
        let one = case.run(&Pool::new(1), InstructionSet::chosen(), &case.x);
        let many = case.run(&Pool::new(n_threads), InstructionSet::chosen(), &case.x);
        prop_assert_eq!(bits(&one), bits(&many));
    }
}

#[test]
fn large_products_are_cut_into_tasks_without_gaps() {
    for block_type in BlockType::ALL {
        let case = Case::new(block_type, [77, 333, 1024 / block_type.block_len()], true, 3);
        let got = case.run(&Pool::new(3), InstructionSet::chosen(), &case.x);
        for (got, (want, error)) in got.iter().zip(exact(&case)) {
            assert!((f64::from(*got) - want).abs() <= error, "{block_type:?}: {got} is not {want} ± {error}");
        }
    }
}

#[test]
fn extreme_values_do_not_overflow() {
    // The largest integers everywhere: all bits of the weights set, all activations equal.
    for block_type in BlockType::ALL {
        let mut case = Case::new(block_type, [3, 16, 8], false, 5);
        for block in case.blocks.chunks_exact_mut(block_type.block_bytes()) {
            let at = if block_type == BlockType::Q6_K {
                0..192
            } else {
                block_type.header_bytes()..block_type.block_bytes()
            };
            block[at].fill(if block_type == BlockType::Q8_0 { 0x7f } else { 0xff });
        }
        case.x.fill(-1.0);
        let want = case.run(&Pool::new(1), InstructionSet::Scalar, &case.x);
        for set in InstructionSet::available() {
            assert_eq!(bits(&case.run(&Pool::new(1), set, &case.x)), bits(&want), "{block_type:?} {set:?}");
        }
    }
}

proptest! {
    #[test]
    fn parts_side_by_side_are_their_products_and_the_residual_is_added(
        types in types_of_one_length(1..=3), n_rows in 0usize..20, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let n_in = 256;
        let x = random.units(n_rows * n_in);
        let cases: Vec<Case> = types.iter().enumerate().map(|(i, block_type)| {
            let n_out = 1 + (random.next() % 50) as usize;
            let case = Case::new(*block_type, [0, n_out, n_in / block_type.block_len()], i % 2 == 0, random.next());
            Case { x: x.clone(), ..case }
        }).collect();
        let weights: Vec<PackedWeight> = cases
            .iter()
            .map(|case| PackedWeight::pack(case.block_type, &case.blocks, case.n_out, case.n_in).unwrap())
            .collect();
        let parts: Vec<Part<'_>> =
            weights.iter().zip(&cases).map(|(w, case)| Part { w, bias: case.bias.as_deref(), gates: None }).collect();
        let row_len: usize = cases.iter().map(|case| case.n_out).sum();
        let residual = random.units(n_rows * row_len);
        let got = linear(RowSource::Plain(&x), &parts, Some(&residual));
        prop_assert_eq!(got.len(), residual.len());
        let mut column = 0;
        for case in &cases {
            let alone = case.run(&Pool::new(1), InstructionSet::chosen(), &x);
            for row in 0..n_rows {
                for c in 0..case.n_out {
                    let at = row * row_len + column + c;
                    let want = alone[row * case.n_out + c] + residual[at];
                    prop_assert_eq!(got[at].to_bits(), want.to_bits());
                }
            }
            column += case.n_out;
        }
    }

    #[test]
    fn a_gate_is_activated_and_multiplied(
        types in types_of_one_length(2..=2), n_rows in 0usize..40, n_out in 1usize..60, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let n_in = 256;
        let x = random.units(n_rows * n_in);
        let cases = [types[0], types[1]].map(|block_type| {
            let n_spans = n_in / block_type.block_len();
            Case { x: x.clone(), ..Case::new(block_type, [0, n_out, n_spans], false, random.next()) }
        });
        let [w, up] = [&cases[0], &cases[1]].map(|case| {
            PackedWeight::pack(case.block_type, &case.blocks, case.n_out, case.n_in).unwrap()
        });
        let alone = cases.map(|case| case.run(&Pool::new(1), InstructionSet::chosen(), &x));
        let part = Part { w: &w, bias: None, gates: Some((Gate::Silu, &up)) };
        let got = linear(RowSource::Plain(&x), &[part], None);
        let mut want = alone[0].clone();
        crate::elementwise::gate_values(Gate::Silu, &mut want, &alone[1]);
        prop_assert_eq!(bits(&got), bits(&want));
    }
}
