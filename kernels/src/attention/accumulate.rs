//! The sum that both scores and outputs are: vectors, weighted, for a few heads at once.

use super::kernel::{HEADS, TILE};
use crate::cpu::InstructionSet;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::simd::{self, Simd};

/// `sums[h] += Σₖ weights[h][k]·vectors[k]`, in the order of `k`.
///
/// # Panics
/// When there are not as many weights for a head as vectors.
#[inline]
pub(super) fn accumulate(weights: [&[f32]; HEADS], vectors: &[[f32; TILE]], sums: &mut [[f32; TILE]; HEADS]) {
    assert!(weights.iter().all(|weights| weights.len() == vectors.len()), "a weight for each vector");
    match InstructionSet::chosen() {
        InstructionSet::Scalar => plain(weights, vectors, sums),
        // SAFETY: the processor has what was chosen; the lengths are those above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { avx2(weights, vectors, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { avx512(weights, vectors, sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => unsafe { with_registers::<simd::Neon>(weights, vectors, sums) },
    }
}

/// # Safety
/// As [`with_registers`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn avx512(weights: [&[f32]; HEADS], vectors: &[[f32; TILE]], sums: &mut [[f32; TILE]; HEADS]) {
    // SAFETY: as this function.
    unsafe { with_registers::<simd::Avx512>(weights, vectors, sums) }
}

/// # Safety
/// As [`with_registers`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(weights: [&[f32]; HEADS], vectors: &[[f32; TILE]], sums: &mut [[f32; TILE]; HEADS]) {
    // SAFETY: as this function.
    unsafe { with_registers::<simd::Avx2>(weights, vectors, sums) }
}

/// Two registers a head at a time: with [`HEADS`] of them, enough sums under way to keep the
/// multipliers busy.
///
/// # Safety
/// The processor has the instruction set `S`; every head has as many weights as there are vectors.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn with_registers<S: Simd>(
    weights: [&[f32]; HEADS],
    vectors: &[[f32; TILE]],
    sums: &mut [[f32; TILE]; HEADS],
) {
    let weights = weights.map(|weights| weights.as_ptr().cast::<u32>());
    for at in (0..TILE).step_by(2 * S::ROWS) {
        // SAFETY: `at + 2·ROWS` is at most `TILE`, as `ROWS` divides 16; `k` is below the number of
        // vectors, and of weights.
        unsafe {
            let mut lanes = [[S::zero(); 2]; HEADS];
            for (lanes, sums) in lanes.iter_mut().zip(sums.iter()) {
                let from = sums.as_ptr().add(at);
                *lanes = [S::load_f32(from), S::load_f32(from.add(S::ROWS))];
            }
            for (k, vector) in vectors.iter().enumerate() {
                let from = vector.as_ptr().add(at);
                let vector = [S::load_f32(from), S::load_f32(from.add(S::ROWS))];
                for (lanes, weights) in lanes.iter_mut().zip(&weights) {
                    let weight = S::splat(weights.add(k));
                    *lanes =
                        [S::mul_add(weight, vector[0], lanes[0]), S::mul_add(weight, vector[1], lanes[1])];
                }
            }
            for (lanes, sums) in lanes.into_iter().zip(sums.iter_mut()) {
                let to = sums.as_mut_ptr().add(at);
                S::store(to, lanes[0]);
                S::store(to.add(S::ROWS), lanes[1]);
            }
        }
    }
}

/// The same in plain Rust.
fn plain(weights: [&[f32]; HEADS], vectors: &[[f32; TILE]], sums: &mut [[f32; TILE]; HEADS]) {
    for (weights, sums) in weights.iter().zip(sums) {
        for (weight, vector) in weights.iter().zip(vectors) {
            for (sum, x) in sums.iter_mut().zip(vector) {
                *sum = weight.mul_add(*x, *sum);
            }
        }
    }
}
