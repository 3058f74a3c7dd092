//! What an instruction set does with two inputs of a few weight rows.

use std::marker::PhantomData;

use super::{PAIR_BYTES, rows::RowFormat};
use crate::simd::Simd;

/// Sums of [`Lanes::ROWS`] weight rows with one activation row, two inputs at a time, in the order that
/// [`super`] tells.
///
/// # Safety
/// Calling any of the functions asks for a processor that has the instructions; pointers point to as
/// much as the function says; `step` is below [`Lanes::STEPS`].
pub(super) trait Lanes {
    /// Weight rows in a register; divides 16.
    const ROWS: usize;
    /// Bytes from the weights of one row to those of the next, within two inputs.
    const ROW_BYTES: usize;
    /// Additions that two inputs take: both at once, or one after the other.
    const STEPS: usize;
    /// How the activations are stored.
    const FORMAT: RowFormat;
    /// A sum for each weight row.
    type Sums: Copy;
    /// Weights and activations of a step.
    type Values: Copy;

    /// Zero in every lane.
    unsafe fn zero() -> Self::Sums;
    /// The weights of a step, of the two inputs at `from`.
    unsafe fn weights(from: *const u8, step: usize) -> Self::Values;
    /// The activations of a step, of the two inputs at `from`.
    unsafe fn inputs(from: *const u32, step: usize) -> Self::Values;
    /// `sums` with the products of a step added.
    unsafe fn add(sums: Self::Sums, weights: Self::Values, inputs: Self::Values) -> Self::Sums;
    /// Writes the sums.
    unsafe fn store(to: *mut f32, sums: Self::Sums);
}

/// An instruction set that can take bf16 pairs apart.
///
/// # Safety
/// As for [`Simd`].
pub(super) trait Unpair: Simd {
    /// The first of each of `ROWS` pairs of bf16, as floats.
    unsafe fn first(from: *const u8) -> Self::Float;
    /// The second of each of `ROWS` pairs of bf16, as floats.
    unsafe fn second(from: *const u8) -> Self::Float;
}

/// bf16 weights, widened to f32; the second of two inputs first.
pub(super) struct WidenedBf16<S>(PhantomData<S>);
/// f16 weights, widened to f32.
pub(super) struct WidenedF16<S>(PhantomData<S>);

/// What the two kinds of widened weights have in common.
macro_rules! widened {
    ($row_bytes:literal, $format:expr) => {
        const ROWS: usize = S::ROWS;
        const ROW_BYTES: usize = $row_bytes;
        const STEPS: usize = 2;
        const FORMAT: RowFormat = $format;
        type Sums = S::Float;
        type Values = S::Float;

        #[inline(always)]
        unsafe fn zero() -> S::Float {
            // SAFETY: as the trait says; so in all functions below.
            unsafe { S::zero() }
        }

        #[inline(always)]
        unsafe fn add(sums: S::Float, weights: S::Float, inputs: S::Float) -> S::Float {
            // SAFETY: see `zero`.
            unsafe { S::mul_add(weights, inputs, sums) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, sums: S::Float) {
            // SAFETY: see `zero`.
            unsafe { S::store(to, sums) };
        }
    };
}

impl<S: Unpair> Lanes for WidenedBf16<S> {
    widened!(4, RowFormat::Rounded);

    #[inline(always)]
    unsafe fn weights(from: *const u8, step: usize) -> S::Float {
        // SAFETY: see `zero`.
        unsafe { if step == 0 { S::second(from) } else { S::first(from) } }
    }

    #[inline(always)]
    unsafe fn inputs(from: *const u32, step: usize) -> S::Float {
        // SAFETY: see `zero`.
        unsafe { S::splat(from.add(1 - step)) }
    }
}

impl<S: Simd> Lanes for WidenedF16<S> {
    widened!(2, RowFormat::Exact);

    #[inline(always)]
    unsafe fn weights(from: *const u8, step: usize) -> S::Float {
        // SAFETY: see `zero`.
        unsafe { S::load_f16(from.add(step * PAIR_BYTES / 2)) }
    }

    #[inline(always)]
    unsafe fn inputs(from: *const u32, step: usize) -> S::Float {
        // SAFETY: see `zero`.
        unsafe { S::splat(from.add(step)) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::Bf16Pairs;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Lanes, RowFormat, Unpair};
    use crate::{
        quant::GROUP,
        simd::{Avx2, Avx512},
    };

    /// The second of each pair of bf16 in 32 bits.
    const SECOND: u32 = 0xffff_0000;

    /// bf16 weights, by the dot products of AVX-512 BF16.
    pub(in crate::dense) struct Bf16Pairs;

    impl Lanes for Bf16Pairs {
        const ROWS: usize = GROUP;
        const ROW_BYTES: usize = 4;
        const STEPS: usize = 1;
        const FORMAT: RowFormat = RowFormat::Pairs;
        type Sums = __m512;
        type Values = __m512i;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: as the trait says; so in all functions below.
            unsafe { _mm512_setzero_ps() }
        }

        #[inline(always)]
        unsafe fn weights(from: *const u8, _: usize) -> __m512i {
            // SAFETY: see `zero`.
            unsafe { _mm512_loadu_si512(from.cast()) }
        }

        #[inline(always)]
        unsafe fn inputs(from: *const u32, _: usize) -> __m512i {
            // SAFETY: see `zero`.
            unsafe { _mm512_set1_epi32(from.read().cast_signed()) }
        }

        #[inline(always)]
        unsafe fn add(sums: __m512, weights: __m512i, inputs: __m512i) -> __m512 {
            // SAFETY: see `zero`; the two kinds of register differ in name only.
            unsafe {
                let pairs = |register: __m512i| std::mem::transmute::<__m512i, __m512bh>(register);
                _mm512_dpbf16_ps(sums, pairs(weights), pairs(inputs))
            }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, sums: __m512) {
            // SAFETY: see `zero`.
            unsafe { _mm512_storeu_ps(to, sums) };
        }
    }

    impl Unpair for Avx512 {
        #[inline(always)]
        unsafe fn first(from: *const u8) -> __m512 {
            // SAFETY: as the trait says; so in all functions below.
            unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_loadu_si512(from.cast()))) }
        }

        #[inline(always)]
        unsafe fn second(from: *const u8) -> __m512 {
            // SAFETY: see `first`.
            unsafe {
                let mask = _mm512_set1_epi32(SECOND.cast_signed());
                _mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(from.cast()), mask))
            }
        }
    }

    impl Unpair for Avx2 {
        #[inline(always)]
        unsafe fn first(from: *const u8) -> __m256 {
            // SAFETY: as the trait says; so in all functions below.
            unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_loadu_si256(from.cast()))) }
        }

        #[inline(always)]
        unsafe fn second(from: *const u8) -> __m256 {
            // SAFETY: see `first`.
            unsafe {
                let mask = _mm256_set1_epi32(SECOND.cast_signed());
                _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(from.cast()), mask))
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::*;

    use super::Unpair;
    use crate::simd::Neon;

    /// The second of each pair of bf16 in 32 bits.
    const SECOND: u32 = 0xffff_0000;

    impl Unpair for Neon {
        #[inline(always)]
        unsafe fn first(from: *const u8) -> float32x4_t {
            // SAFETY: as the trait says; so in all functions below.
            unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_u8(vld1q_u8(from)))) }
        }

        #[inline(always)]
        unsafe fn second(from: *const u8) -> float32x4_t {
            // SAFETY: see `first`.
            unsafe {
                let pairs = vreinterpretq_u32_u8(vld1q_u8(from));
                vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(SECOND)))
            }
        }
    }
}
