//! How fast products with packed weights are, for the shapes of the models that tier0 runs.
//!
//! Criterion reports operations a second, a multiplication and an addition being two. At the end
//! stands a table with the fraction of the peak of int8 dot products, measured in the same run, and
//! for single rows the rate at which weights are read.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros; a benchmark prints its results")]

use std::{cell::OnceCell, hint::black_box};

use common::{Load, Peak, Report};
use criterion::{BenchmarkGroup, measurement::WallTime};
use tier0_kernels::{BlockType, PackedWeight, Part, RowSource, linear};

mod common;

/// `[n_out, n_in]` of Qwen2.5 1.5B (gate, down), 0.5B (gate) and SmolLM2 135M (gate, down).
const SHAPES: [[usize; 2]; 5] = [[8960, 1536], [1536, 8960], [4864, 896], [1536, 576], [576, 1536]];
const ROWS: [usize; 5] = [1, 4, 16, 128, 512];
/// Weights that one measurement goes through, so that they come from memory as in a model.
const WEIGHT_BYTES: usize = 128 << 20;
/// Keeps the f16 scales among random bytes finite and of ordinary size.
const BYTE_MASK: u8 = 0x3b;

fn main() {
    let mut criterion = common::criterion();
    let report = Report::new(Peak::Int8Dots);
    let mut group = criterion.benchmark_group("product");
    for block_type in BlockType::ALL {
        for shape in SHAPES.into_iter().filter(|[_, n_in]| n_in.is_multiple_of(block_type.block_len())) {
            bench_weight(&report, &mut group, block_type, shape);
        }
    }
    group.finish();
    criterion.final_summary();
    report.print();
}

/// All numbers of rows with one type and shape.
fn bench_weight(
    report: &Report,
    group: &mut BenchmarkGroup<'_, WallTime>,
    block_type: BlockType,
    [n_out, n_in]: [usize; 2],
) {
    let weights = OnceCell::new();
    for n_rows in ROWS {
        let load = Load {
            name: format!("{block_type:?} {n_out}×{n_in}, {n_rows} rows"),
            operations: 2 * n_rows * n_out * n_in,
            bytes_read: (n_rows == 1).then_some(packed_bytes(block_type, n_out, n_in)),
        };
        report.bench(group, &load, || {
            let weights = weights.get_or_init(|| pack(block_type, n_out, n_in));
            let x: Vec<f32> = (0..n_rows * n_in).map(|i| (i * 7919 % 1001) as f32 / 500.0 - 1.0).collect();
            move |i| {
                let part = Part { w: &weights[i % weights.len()], bias: None, gates: None };
                black_box(linear(RowSource::Plain(&x), &[part], None));
            }
        });
    }
}

/// Bytes of a matrix as a file has it; packed, it has at most a hundredth more.
const fn packed_bytes(block_type: BlockType, n_out: usize, n_in: usize) -> usize {
    n_out * (n_in / block_type.block_len()) * block_type.block_bytes()
}

/// Copies of a matrix with random contents, as many as make up [`WEIGHT_BYTES`].
fn pack(block_type: BlockType, n_out: usize, n_in: usize) -> Vec<PackedWeight> {
    let mut state = 1u64;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8 & BYTE_MASK
    };
    let n_bytes = packed_bytes(block_type, n_out, n_in);
    let bytes: Vec<u8> = (0..n_bytes).map(byte).collect();
    let copies = WEIGHT_BYTES.div_ceil(n_bytes);
    (0..copies).filter_map(|_| PackedWeight::pack(block_type, &bytes, n_out, n_in).ok()).collect()
}
