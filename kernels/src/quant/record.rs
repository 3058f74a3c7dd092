//! Records: what the products read of one row of activations in one block of weights.
//!
//! `x ≈ scale·q` with signed bytes `q` and one scale for the block, 32 or 256 values as the weights
//! have it. With the values go the sums of them that zero points and minima are multiplied with.

use std::marker::PhantomData;

use super::{BLOCK, SUPER_BLOCK};
use crate::simd::Simd;

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
/// Halves of the blocks of a super-block.
const N_HALVES: usize = SUPER_BLOCK / HALF;
/// 1.5·2²³: adding it rounds a small float to the nearest integer, ties to even, and leaves that
/// integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// Largest magnitude below which a block counts as all zeros: the inverse of its scale would overflow.
const SMALLEST: f32 = 1e-30;
/// Largest quantised magnitude.
const LARGEST_QUANT: f32 = 127.0;
/// Most that the magnitudes of half a block of a super-block may add up to.
const MOST_OF_HALF: i32 = 1023;

/// A record of `N` values in `W` words. A trait, so that writing one is inlined into the loop over a row
/// and compiled for its instruction set.
pub(super) trait Record<const N: usize, const W: usize> {
    /// Quantises `x`.
    ///
    /// # Safety
    /// As [`Quantise::half`].
    unsafe fn write<Q: Quantise>(x: &[f32; N], record: &mut [u32; W]);
}

/// That of a block of 32.
pub(super) enum OfBlock {}
/// That of a super-block of 256.
pub(super) enum OfSuperBlock {}

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
}

/// Quantises half a block.
pub(super) trait Quantise {
    /// Writes `x·inverse`, rounded to the nearest integers, as bytes; returns their sum and that of
    /// their magnitudes. Where something is not finite these may be anything: the scale is not either.
    ///
    /// # Safety
    /// The processor has the instruction set that is meant.
    unsafe fn half(x: &[f32; HALF], inverse: f32, quants: &mut [i8; HALF]) -> [i32; 2];
}

/// In plain Rust.
pub(super) enum Plain {}
/// In registers of `S`.
pub(super) struct Registers<S>(PhantomData<S>);

impl Quantise for Plain {
    #[inline(always)]
    unsafe fn half(x: &[f32; HALF], inverse: f32, quants: &mut [i8; HALF]) -> [i32; 2] {
        *quants = x.map(|x| (x * inverse + ROUNDER).to_bits() as i8);
        let integers = || quants.iter().map(|q| i32::from(*q));
        [integers().sum(), integers().map(i32::abs).sum()]
    }
}

impl<S: Simd> Quantise for Registers<S> {
    #[inline(always)]
    unsafe fn half(x: &[f32; HALF], inverse: f32, quants: &mut [i8; HALF]) -> [i32; 2] {
        // SAFETY: as this function; registers of `S::ROWS`, which divides sixteen.
        unsafe {
            let inverse = S::splat(&inverse.to_bits());
            let (mut sums, mut magnitudes) = (S::zero_int(), S::zero_int());
            for at in (0..HALF).step_by(S::ROWS) {
                let integers = S::round(S::mul(S::load_f32(x.as_ptr().add(at)), inverse));
                S::store_bytes(quants.as_mut_ptr().add(at), integers);
                sums = S::add_int(sums, integers);
                magnitudes = S::add_int(magnitudes, S::magnitude(integers));
            }
            [S::sum(sums), S::sum(magnitudes)]
        }
    }
}

/// The values of a record of `N`, as bytes.
#[inline(always)]
fn quants_of<const N: usize>(record: &mut [u32]) -> &mut [[i8; HALF]] {
    let words = &mut record[..N / 4];
    // SAFETY: the words are this many bytes, and any bytes are words and signed bytes.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), N / HALF) }
}

impl Record<BLOCK, { block::WORDS }> for OfBlock {
    #[inline(always)]
    unsafe fn write<Q: Quantise>(x: &[f32; BLOCK], record: &mut [u32; block::WORDS]) {
        let scale = Scale::of(x);
        let mut sums = [0; 2];
        for ((x, quants), sum) in x.as_chunks().0.iter().zip(quants_of::<BLOCK>(record)).zip(&mut sums) {
            // SAFETY: as this function.
            [*sum, _] = unsafe { Q::half(x, scale.inverse, quants) };
        }
        record[block::SCALE] = scale.scale.to_bits();
        record[block::SCALED_SUM] = (scale.scale * sums[0].wrapping_add(sums[1]) as f32).to_bits();
        record[block::NEGATED_HALF_SUMS] = sums[0].wrapping_neg().cast_unsigned();
        record[block::NEGATED_HALF_SUMS + 1] = sums[1].wrapping_neg().cast_unsigned();
    }
}

impl Record<SUPER_BLOCK, { super_block::WORDS }> for OfSuperBlock {
    #[inline(always)]
    unsafe fn write<Q: Quantise>(x: &[f32; SUPER_BLOCK], record: &mut [u32; super_block::WORDS]) {
        let mut scale = Scale::of(x);
        // SAFETY: as this function.
        let (mut sums, mut largest_half) = unsafe { quantise_halves::<Q>(scale, x, record) };
        if largest_half > MOST_OF_HALF {
            // Rounding adds at most a half to each magnitude, before and after.
            let rounding = HALF as f32 / 2.0;
            let coarser = (largest_half as f32 + rounding) / (MOST_OF_HALF as f32 - rounding);
            scale = Scale { scale: scale.scale * coarser, inverse: scale.inverse / coarser };
            // SAFETY: as this function.
            (sums, largest_half) = unsafe { quantise_halves::<Q>(scale, x, record) };
            debug_assert!(largest_half <= MOST_OF_HALF);
        }
        record[super_block::SCALE] = scale.scale.to_bits();
        for (zero, sum) in record[super_block::ZEROS..].iter_mut().zip(sums) {
            *zero = sum.wrapping_mul(-32).cast_unsigned();
        }
        for (pair, sums) in
            record[super_block::BLOCK_SUMS..super_block::ZEROS].iter_mut().zip(sums.as_chunks::<4>().0)
        {
            let [low, high] = [0, 2].map(|i| sums[i].wrapping_add(sums[i + 1]).cast_unsigned());
            *pair = low & 0xffff | high << 16;
        }
    }
}

/// Quantises the halves of a super-block: their sums, and the largest sum of magnitudes.
///
/// # Safety
/// As [`Quantise::half`].
#[inline(always)]
unsafe fn quantise_halves<Q: Quantise>(
    scale: Scale,
    x: &[f32; SUPER_BLOCK],
    record: &mut [u32],
) -> ([i32; N_HALVES], i32) {
    let (mut sums, mut largest) = ([0; N_HALVES], 0);
    for ((x, quants), sum) in x.as_chunks().0.iter().zip(quants_of::<SUPER_BLOCK>(record)).zip(&mut sums) {
        let magnitude;
        // SAFETY: as this function.
        [*sum, magnitude] = unsafe { Q::half(x, scale.inverse, quants) };
        largest = largest.max(magnitude);
    }
    (sums, largest)
}
