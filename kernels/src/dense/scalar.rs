//! The oracle of the other paths: weight by weight, in plain Rust, with the same bits.

use half::f16;

use super::{CHUNK, DenseType, PAIR_BYTES, kernel::Panel};
use crate::quant::GROUP;

/// [`super::kernel::multiply`], for rows in f32.
pub(super) fn multiply(dense_type: DenseType, panel: &Panel<'_>, sums: &mut [f32]) {
    let stride = panel.n_groups() * GROUP;
    let lines_of_chunk = 2 * panel.n_rows;
    for (row, sums) in sums.chunks_exact_mut(stride).enumerate() {
        for (i, sum) in sums.iter_mut().enumerate() {
            let group = &panel.weights[i / GROUP * panel.group_bytes..][..panel.group_bytes];
            *sum = 0.0;
            for (chunk, lines) in panel.lines.chunks_exact(lines_of_chunk).enumerate() {
                let x = [lines[2 * row].0, lines[2 * row + 1].0];
                for (pair, x) in x.as_flattened().as_chunks::<2>().0.iter().enumerate() {
                    let weights = &group[(chunk * CHUNK / 2 + pair) * PAIR_BYTES..][..PAIR_BYTES];
                    *sum = add(dense_type, *sum, weights, i % GROUP, x.map(f32::from_bits));
                }
            }
        }
    }
}

/// `sum` with the products of two inputs of a row of `weights` added.
fn add(dense_type: DenseType, sum: f32, weights: &[u8], row: usize, x: [f32; 2]) -> f32 {
    let stored = |i: usize| u16::from_le_bytes([weights[2 * i], weights[2 * i + 1]]);
    match dense_type {
        DenseType::Bf16 => {
            let weight = |i: usize| f32::from_bits(u32::from(stored(2 * row + i)) << 16);
            weight(0).mul_add(x[0], weight(1).mul_add(x[1], sum))
        }
        DenseType::F16 => {
            let weight = |i: usize| f16::from_bits(stored(i * GROUP + row)).to_f32();
            weight(1).mul_add(x[1], weight(0).mul_add(x[0], sum))
        }
    }
}
