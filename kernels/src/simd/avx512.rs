//! Sixteen weight rows a register: AVX-512 with VNNI.

use std::arch::x86_64::*;

use super::Simd;

/// The truth table of `a & b | c`.
const AND_OR: i32 = 0xea;

/// The instruction set.
pub(crate) struct Avx512;

impl Simd for Avx512 {
    const ROWS: usize = 16;
    const N_REGISTERS: usize = 32;
    type Int = __m512i;
    type Float = __m512;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        // SAFETY: as the trait says; so in all functions below.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn and_byte(a: __m512i, mask: u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_and_si512(a, _mm512_set1_epi8(mask.cast_signed())) }
    }

    #[inline(always)]
    unsafe fn and_byte_or(a: __m512i, mask: u8, c: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_ternarylogic_epi32::<AND_OR>(a, _mm512_set1_epi8(mask.cast_signed()), c) }
    }

    #[inline(always)]
    unsafe fn shift_left<const N: i32>(a: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_sll_epi16(a, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    unsafe fn shift_right<const N: i32>(a: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_srl_epi16(a, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m512i, w: __m512i, x: *const u32) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_dpbusd_epi32(sum, w, _mm512_set1_epi32(x.read().cast_signed())) }
    }

    #[inline(always)]
    unsafe fn dot_wide(sum: __m512i, w: __m512i, x: *const u32) -> __m512i {
        // SAFETY: see `load`.
        unsafe { Self::dot(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn zero_int() -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn splat_shifted<const N: i32>(from: *const u32) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_sll_epi32(_mm512_set1_epi32(from.read().cast_signed()), _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    unsafe fn splat_int(from: *const u32) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_set1_epi32(from.read().cast_signed()) }
    }

    #[inline(always)]
    unsafe fn pair([low, high]: [__m512i; 2]) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let high = _mm512_slli_epi32::<16>(high);
            _mm512_ternarylogic_epi32::<AND_OR>(low, _mm512_set1_epi32(0xffff), high)
        }
    }

    #[inline(always)]
    unsafe fn dot_pairs(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_dpwssd_epi32(sum, a, b) }
    }

    #[inline(always)]
    unsafe fn add_int(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn to_float(a: __m512i) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtps_epi32(a) }
    }

    #[inline(always)]
    unsafe fn magnitude(a: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_abs_epi32(a) }
    }

    #[inline(always)]
    unsafe fn sum(a: __m512i) -> i32 {
        // SAFETY: see `load`.
        unsafe { _mm512_reduce_add_epi32(a) }
    }

    #[inline(always)]
    unsafe fn store_bytes(to: *mut i8, a: __m512i) {
        // SAFETY: see `load`.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(a)) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_set1_ps(f32::from_bits(from.read())) }
    }

    #[inline(always)]
    unsafe fn load_f32(from: *const f32) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> __m512 {
        // SAFETY: see `load`. A bf16 is the upper half of the f32.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn load_u8_twice(from: *const u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()));
            Self::pair([bytes; 2])
        }
    }

    #[inline(always)]
    unsafe fn load_u8_pairs(from: *const u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_i8_pairs(from: *const u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast())) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn negate(a: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_sub_ps(_mm512_set1_ps(-0.0), a) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, a: __m512) {
        // SAFETY: see `load`.
        unsafe { _mm512_storeu_ps(to, a) };
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const u8) {
        // SAFETY: see `load`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

    #[inline(always)]
    unsafe fn prefetch_to_second_cache(from: *const u8) {
        // SAFETY: see `load`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) };
    }

    #[inline(always)]
    unsafe fn prefetch_past_second_cache(from: *const u8) {
        // SAFETY: see `load`.
        unsafe { _mm_prefetch::<_MM_HINT_NTA>(from.cast()) };
    }
}
