//! Records: what the products read of one row of activations in one block of weights.
//!
//! `x ≈ scale·q` with signed bytes `q` and one scale for the block, 32 or 256 values as the weights
//! have it. With the values goes their sum, which zero points and minima are multiplied with.

use std::marker::PhantomData;

use super::{BLOCK, SUPER_BLOCK};
use crate::{simd::Simd, vector::ROUNDER};

/// The record of a block of 32: eight words with its values, then these.
pub(crate) mod block {
    /// Words of a record, filled up to whole registers.
    pub(crate) const WORDS: usize = 12;
    /// The scale.
    pub(crate) const SCALE: usize = 8;
    /// The scale times the sum.
    pub(crate) const SCALED_SUM: usize = 9;
    /// The negated sum.
    pub(crate) const NEGATED_SUM: usize = 10;
    /// −128 times the sum: where a product with biased bytes begins.
    pub(crate) const START: usize = 11;
}

/// The record of a super-block of 256: 64 words with its values, then these.
pub(crate) mod super_block {
    /// Words of a record, filled up to whole registers.
    pub(crate) const WORDS: usize = 68;
    /// The scale.
    pub(crate) const SCALE: usize = 64;
    /// −128 times the sum: where a product with biased bytes begins.
    pub(crate) const START: usize = 65;
}

/// What biased bytes stand for less.
const BIAS: i32 = 128;
/// Largest magnitude below which a block counts as all zeros: the inverse of its scale would overflow.
const SMALLEST: f32 = 1e-30;
/// Largest quantised magnitude.
const LARGEST_QUANT: f32 = 127.0;

/// A record of `N` values in `W` words. A trait, so that writing one is inlined into the loop over a row
/// and compiled for its instruction set.
pub(super) trait Record<const N: usize, const W: usize> {
    /// Quantises `x`.
    ///
    /// # Safety
    /// As [`Quantise::quantise`].
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

/// Quantises values.
pub(super) trait Quantise {
    /// Writes `x·inverse`, rounded to the nearest integers, as bytes; returns their sum. Where something
    /// is not finite it may be anything: the scale is not either.
    ///
    /// # Safety
    /// The processor has the instruction set that is meant.
    unsafe fn quantise<const N: usize>(x: &[f32; N], inverse: f32, quants: &mut [i8; N]) -> i32;
}

/// In plain Rust.
pub(super) enum Plain {}
/// In registers of `S`.
pub(super) struct Registers<S>(PhantomData<S>);

impl Quantise for Plain {
    #[inline(always)]
    unsafe fn quantise<const N: usize>(x: &[f32; N], inverse: f32, quants: &mut [i8; N]) -> i32 {
        *quants = x.map(|x| (x * inverse + ROUNDER).to_bits() as i8);
        quants.iter().map(|q| i32::from(*q)).sum()
    }
}

impl<S: Simd> Quantise for Registers<S> {
    #[inline(always)]
    unsafe fn quantise<const N: usize>(x: &[f32; N], inverse: f32, quants: &mut [i8; N]) -> i32 {
        const { assert!(N.is_multiple_of(S::ROWS)) };
        // SAFETY: as this function; whole registers, as asserted.
        unsafe {
            let inverse = S::splat(&inverse.to_bits());
            let mut sums = S::zero_int();
            for at in (0..N).step_by(S::ROWS) {
                let integers = S::round(S::mul(S::load_f32(x.as_ptr().add(at)), inverse));
                S::store_bytes(quants.as_mut_ptr().add(at), integers);
                sums = S::add_int(sums, integers);
            }
            S::sum(sums)
        }
    }
}

impl Record<BLOCK, { block::WORDS }> for OfBlock {
    #[inline(always)]
    unsafe fn write<Q: Quantise>(x: &[f32; BLOCK], record: &mut [u32; block::WORDS]) {
        // SAFETY: as this function.
        let (scale, sum) = unsafe { quantise::<Q, BLOCK>(x, record) };
        record[block::SCALE] = scale.to_bits();
        record[block::SCALED_SUM] = (scale * sum as f32).to_bits();
        record[block::NEGATED_SUM] = sum.wrapping_neg().cast_unsigned();
        record[block::START] = sum.wrapping_mul(-BIAS).cast_unsigned();
    }
}

impl Record<SUPER_BLOCK, { super_block::WORDS }> for OfSuperBlock {
    #[inline(always)]
    unsafe fn write<Q: Quantise>(x: &[f32; SUPER_BLOCK], record: &mut [u32; super_block::WORDS]) {
        // SAFETY: as this function.
        let (scale, sum) = unsafe { quantise::<Q, SUPER_BLOCK>(x, record) };
        record[super_block::SCALE] = scale.to_bits();
        record[super_block::START] = sum.wrapping_mul(-BIAS).cast_unsigned();
    }
}

/// Writes the values of a record of `N`; returns their scale and the sum of what was written.
///
/// # Safety
/// As [`Quantise::quantise`].
#[inline(always)]
unsafe fn quantise<Q: Quantise, const N: usize>(x: &[f32; N], record: &mut [u32]) -> (f32, i32) {
    let Scale { scale, inverse } = Scale::of(x);
    let words = &mut record[..N / 4];
    // SAFETY: the words are this many bytes, and any bytes are words and signed bytes.
    let quants = unsafe { &mut *words.as_mut_ptr().cast::<[i8; N]>() };
    // SAFETY: as this function.
    (scale, unsafe { Q::quantise(x, inverse, quants) })
}
