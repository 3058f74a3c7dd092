//! How fast products with dense weights are, for the shapes of all-MiniLM-L6-v2 and a larger one.
//!
//! Criterion reports operations a second, a multiplication and an addition being two. At the end
//! stands a table with the fraction of the peak of bf16 dot products, measured in the same run, and
//! for single rows the rate at which weights are read. The time includes laying out the activations.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros; a benchmark prints its results")]

use std::cell::OnceCell;

use common::{Load, Peak, Report};
use criterion::{BenchmarkGroup, measurement::WallTime};
use tier0_kernels::{DenseProduct, DenseRows, DenseType, DenseWeight};

mod common;

/// `[n_out, n_in]` of MiniLM (attention, up, down), and of an output matrix.
const SHAPES: [[usize; 2]; 4] = [[384, 384], [1536, 384], [384, 1536], [8960, 1536]];
const ROWS: [usize; 6] = [1, 4, 12, 64, 384, 512];
/// Weights that one measurement goes through at single rows, so that they come from memory.
const WEIGHT_BYTES: usize = 128 << 20;
/// Matrices that more rows go through, as many as MiniLM has of a kind.
const LAYERS: usize = 6;

fn main() {
    let mut criterion = common::criterion();
    let report = Report::new(Peak::Bf16Dots);
    let mut group = criterion.benchmark_group("dense");
    for dense_type in [DenseType::Bf16, DenseType::F16] {
        for shape in SHAPES {
            bench_weight(&report, &mut group, dense_type, shape);
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
    dense_type: DenseType,
    [n_out, n_in]: [usize; 2],
) {
    let weights = OnceCell::new();
    for n_rows in ROWS {
        let load = Load {
            name: format!("{dense_type:?} {n_out}×{n_in}, {n_rows} rows"),
            operations: 2 * n_rows * n_out * n_in,
            bytes_read: (n_rows == 1).then_some(n_out * n_in * size_of::<u16>()),
        };
        report.bench(group, &load, || {
            let weights = weights.get_or_init(|| pack(dense_type, n_out, n_in));
            let copies = if n_rows == 1 { weights.len() } else { weights.len().min(LAYERS) };
            let x: Vec<f32> = (0..n_rows * n_in).map(|i| (i * 7919 % 1001) as f32 / 500.0 - 1.0).collect();
            let (mut rows, mut out) = (DenseRows::new(), vec![0f32; n_rows * n_out]);
            move |i| {
                rows.fill(&x, n_in, dense_type);
                DenseProduct { x: &rows, w: &weights[i % copies], bias: None }.write(&mut out);
            }
        });
    }
}

/// Copies of a matrix, as many as make up [`WEIGHT_BYTES`].
fn pack(dense_type: DenseType, n_out: usize, n_in: usize) -> Vec<DenseWeight> {
    // An f16 or bf16 between 0.5 and 1 in size, whatever the lower bits are.
    let exponent: u16 = if dense_type == DenseType::Bf16 { 0x3f00 } else { 0x3800 };
    let bits = |i: usize| exponent | (i * 7919 % 127) as u16 | ((i * 31 % 2) as u16) << 15;
    let bytes: Vec<u8> = (0..n_out * n_in).flat_map(|i| bits(i).to_le_bytes()).collect();
    let copies = WEIGHT_BYTES.div_ceil(bytes.len());
    (0..copies).filter_map(|_| DenseWeight::from_bytes(dense_type, &bytes, n_out, n_in).ok()).collect()
}
