//! Sixteen weight rows a register: AVX-512 with VNNI.

use std::arch::x86_64::*;

use super::Simd;

/// The truth table of `a & b | c`.
const AND_OR: i32 = 0xea;
/// The truth table of `a & b | !a & c`.
const SELECT: i32 = 0xca;

/// The instruction set.
pub(crate) struct Avx512;

impl Simd for Avx512 {
    const ROWS: usize = 16;
    const N_REGISTERS: usize = 32;
    type Int = __m512i;
    type Ready = __m512i;
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
    unsafe fn from_biased(w: __m512i) -> __m512i {
        w
    }

    #[inline(always)]
    unsafe fn dot_bytes(sum: __m512i, w: __m512i, x: *const u32) -> __m512i {
        // SAFETY: see `load`.
        unsafe { Self::dot(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn start_biased(start: *const u32) -> __m512i {
        // SAFETY: see `load`. `Σ (w − 128)·x = Σ w·x − 128·Σ x`.
        unsafe { _mm512_set1_epi32(start.read().cast_signed()) }
    }

    #[inline(always)]
    unsafe fn ready(w: __m512i) -> __m512i {
        w
    }

    #[inline(always)]
    unsafe fn dot_ready(sum: __m512i, w: __m512i, x: *const u32) -> __m512i {
        // SAFETY: see `load`.
        unsafe { Self::dot_bytes(sum, w, x) }
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
    unsafe fn mul_high16(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_mulhi_epi16(a, b) }
    }

    #[inline(always)]
    unsafe fn scale_bytes(q: __m512i, factor: __m512i) -> __m512i {
        // SAFETY: see `load`. The upper byte counts 256-fold, so that its product comes down into the
        // lower one; that of the lower byte has what is wanted in the upper one.
        unsafe {
            let lower = _mm512_set1_epi16(0xff);
            let of_upper = _mm512_mulhi_epi16(_mm512_andnot_si512(lower, q), factor);
            let of_lower = _mm512_mullo_epi16(_mm512_and_si512(lower, q), factor);
            _mm512_ternarylogic_epi32::<SELECT>(lower, of_upper, of_lower)
        }
    }

    #[inline(always)]
    unsafe fn eighth_bytes(a: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let eighth = _mm512_srai_epi16::<3>(a);
            _mm512_ternarylogic_epi32::<SELECT>(
                _mm512_set1_epi16(0xff),
                eighth,
                _mm512_slli_epi16::<8>(eighth),
            )
        }
    }

    #[inline(always)]
    unsafe fn add_bytes(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_add_epi8(a, b) }
    }

    #[inline(always)]
    unsafe fn sub_bytes(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_sub_epi8(a, b) }
    }

    #[inline(always)]
    unsafe fn splat_byte(byte: u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_set1_epi8(byte.cast_signed()) }
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
    unsafe fn load_16_twice(from: *const u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let values = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_or_si512(values, _mm512_slli_epi32::<16>(values))
        }
    }

    #[inline(always)]
    unsafe fn load_upper_bytes(from: *const u8) -> __m512i {
        // SAFETY: see `load`. Indices of 128 and up give zero.
        unsafe { spread(from, [0x80, 0, 0x80, 0]) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> __m512i {
        // SAFETY: see `load`.
        unsafe { spread(from, [0; 4]) }
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
    unsafe fn store_int(to: *mut u8, a: __m512i) {
        // SAFETY: see `load`.
        unsafe { _mm512_storeu_si512(to.cast(), a) };
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
}

/// Sixteen bytes, each in those bytes of its lane where `pattern` is below 128; zero in the others.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn spread(from: *const u8, pattern: [u8; 4]) -> __m512i {
    let pattern = i32::from_le_bytes(pattern);
    // SAFETY: as this function. All 128-bit quarters hold the sixteen bytes; a quarter picks its four.
    unsafe {
        let bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast()));
        let lane = _mm512_setr_epi32(
            0,
            0x0101_0101,
            0x0202_0202,
            0x0303_0303,
            0x0404_0404,
            0x0505_0505,
            0x0606_0606,
            0x0707_0707,
            0x0808_0808,
            0x0909_0909,
            0x0a0a_0a0a,
            0x0b0b_0b0b,
            0x0c0c_0c0c,
            0x0d0d_0d0d,
            0x0e0e_0e0e,
            0x0f0f_0f0f,
        );
        _mm512_shuffle_epi8(bytes, _mm512_or_si512(lane, _mm512_set1_epi32(pattern)))
    }
}
