//! Records: what the products read of one row of activations in one block of weights.
//!
//! `x ≈ scale·q` with signed bytes `q` and one scale for the block, 32 or 256 values as the weights
//! have it. With the values go the sums of them that zero points and minima are multiplied with.

use super::{BLOCK, SUPER_BLOCK};

/// The record of a block of 32: eight words with its values, then these.
pub(crate) mod block {
    /// Words of a record.
    pub(crate) const WORDS: usize = 12;
    /// The scale.
    pub(crate) const SCALE: usize = 8;
    /// The scale times the sum.
    pub(crate) const SCALED_SUM: usize = 9;
    /// The negated sums of the halves.
    pub(crate) const NEGATED_HALF_SUMS: usize = 10;
}

/// The record of a super-block of 256: 64 words with its values, then these.
///
/// The products of half a block of 32 fit in sixteen bits: `Σ|q|` over a half is at most 1023, so that
/// `|Σ w·q|` is at most 32·1023 for weights of −32 to 31.
pub(crate) mod super_block {
    /// Words of a record, filled up to whole registers.
    pub(crate) const WORDS: usize = 88;
    /// The scale.
    pub(crate) const SCALE: usize = 64;
    /// The sums of the blocks of 32, two in a word.
    pub(crate) const BLOCK_SUMS: usize = 65;
    /// −32 times the sum of each of the sixteen halves.
    pub(crate) const ZEROS: usize = 69;
}

/// Values in half a block of 32.
const HALF: usize = BLOCK / 2;
/// 1.5·2²³: adding it rounds a small float to the nearest integer, ties to even, and leaves that
/// integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// Largest magnitude below which a block counts as all zeros: the inverse of its scale would overflow.
const SMALLEST: f32 = 1e-30;
/// Largest quantised magnitude.
const LARGEST_QUANT: f32 = 127.0;
/// Most that the magnitudes of half a block of a super-block may add up to.
const MOST_OF_HALF: u32 = 1023;

/// Words of a record of `block_len` values, 32 or 256.
pub(crate) const fn words(block_len: usize) -> usize {
    if block_len == SUPER_BLOCK { super_block::WORDS } else { block::WORDS }
}

/// A scale, and its inverse.
#[derive(Clone, Copy)]
struct Scale {
    scale: f32,
    inverse: f32,
}

impl Scale {
    /// With which the largest of `x` becomes 127.
    #[inline(always)]
    fn of(x: &[f32]) -> Self {
        // The bits of magnitudes order as the magnitudes do, and NaN lies above infinity: what is not
        // finite makes the scale so, and the products with it.
        let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & !(1 << 31)));
        let largest = f32::from_bits(largest);
        if largest < SMALLEST {
            return Self { scale: 0.0, inverse: 0.0 };
        }
        Self { scale: largest / LARGEST_QUANT, inverse: LARGEST_QUANT / largest }
    }

    /// Written as a loop of fixed length without branches, so that it vectorises.
    #[inline(always)]
    fn quantise<const N: usize>(self, x: &[f32; N]) -> [i8; N] {
        let mut quants = [0i8; N];
        for (q, x) in quants.iter_mut().zip(x) {
            *q = (x * self.inverse + ROUNDER).to_bits() as i8;
        }
        quants
    }
}

/// Writes the record of a block of 32.
#[inline(always)]
pub(super) fn write_block(x: &[f32; BLOCK], record: &mut [u32; block::WORDS]) {
    let scale = Scale::of(x);
    let quants = scale.quantise(x);
    let (halves, _) = quants.as_chunks::<HALF>();
    let sums = [sum(&halves[0]), sum(&halves[1])];
    write_quants(&quants, record);
    record[block::SCALE] = scale.scale.to_bits();
    record[block::SCALED_SUM] = (scale.scale * (sums[0] + sums[1]) as f32).to_bits();
    record[block::NEGATED_HALF_SUMS] = (-sums[0]).cast_unsigned();
    record[block::NEGATED_HALF_SUMS + 1] = (-sums[1]).cast_unsigned();
}

/// Writes the record of a super-block.
#[inline(always)]
pub(super) fn write_super_block(x: &[f32; SUPER_BLOCK], record: &mut [u32; super_block::WORDS]) {
    let mut scale = Scale::of(x);
    let mut quants = scale.quantise(x);
    let largest_half = largest_half(&quants);
    if largest_half > MOST_OF_HALF {
        // Rounding adds at most a half to each magnitude, before and after.
        let rounding = HALF as f32 / 2.0;
        let coarser = (largest_half as f32 + rounding) / (MOST_OF_HALF as f32 - rounding);
        scale = Scale { scale: scale.scale * coarser, inverse: scale.inverse / coarser };
        quants = scale.quantise(x);
    }
    write_quants(&quants, record);
    record[super_block::SCALE] = scale.scale.to_bits();
    let (halves, _) = quants.as_chunks::<HALF>();
    let mut sums = [0; SUPER_BLOCK / HALF];
    for (sum_of, half) in sums.iter_mut().zip(halves) {
        *sum_of = sum(half);
    }
    for (zero, sum) in record[super_block::ZEROS..].iter_mut().zip(sums) {
        *zero = (-32 * sum).cast_unsigned();
    }
    for (pair, sums) in
        record[super_block::BLOCK_SUMS..super_block::ZEROS].iter_mut().zip(sums.as_chunks::<4>().0)
    {
        let [low, high] = [sums[0] + sums[1], sums[2] + sums[3]].map(i32::cast_unsigned);
        *pair = low & 0xffff | high << 16;
    }
}

/// The largest `Σ|q|` of the halves.
#[inline(always)]
fn largest_half(quants: &[i8; SUPER_BLOCK]) -> u32 {
    let (halves, _) = quants.as_chunks::<HALF>();
    let magnitude = |half: &[i8; HALF]| half.iter().map(|q| u32::from(q.unsigned_abs())).sum();
    halves.iter().map(magnitude).fold(0, u32::max)
}

#[inline(always)]
fn sum(half: &[i8; HALF]) -> i32 {
    half.iter().map(|q| i32::from(*q)).sum()
}

#[inline(always)]
fn write_quants(quants: &[i8], record: &mut [u32]) {
    let (quads, _) = quants.as_chunks::<4>();
    for (word, quad) in record.iter_mut().zip(quads) {
        *word = u32::from_le_bytes(quad.map(i8::cast_unsigned));
    }
}
