//! Eight weight rows a register: AVX2 with FMA and F16C, and what of VNNI works on its registers.

use std::{arch::x86_64::*, marker::PhantomData};

use super::Simd;

/// AVX2, with bytes multiplied by `D`.
pub(crate) struct Avx2<D = Pairwise>(PhantomData<D>);

/// How the bytes of lanes are multiplied.
///
/// # Safety
/// As for the functions of [`Simd`] with these names.
pub(crate) trait ByteProducts {
    type Ready: Copy;
    unsafe fn dot(sum: __m256i, w: __m256i, x: *const u32) -> __m256i;
    unsafe fn from_biased(w: __m256i) -> __m256i;
    unsafe fn dot_bytes(sum: __m256i, w: __m256i, x: *const u32) -> __m256i;
    unsafe fn start_biased(start: *const u32) -> __m256i;
    unsafe fn ready(w: __m256i) -> Self::Ready;
    unsafe fn dot_ready(sum: __m256i, w: Self::Ready, x: *const u32) -> __m256i;
    #[inline(always)]
    unsafe fn add_share(shares: __m256i, _w: Self::Ready) -> __m256i {
        shares
    }
    #[inline(always)]
    unsafe fn start_ready(start: *const u32, _shares: __m256i) -> __m256i {
        // SAFETY: as this function.
        unsafe { Self::start_biased(start) }
    }
}

/// Pairs of bytes summed to sixteen bits, and pairs of these to 32: AVX2 alone.
pub(crate) struct Pairwise;
/// One instruction for four bytes, as AVX-VNNI encodes it.
pub(crate) struct AvxVnni;
/// The same instruction, as AVX-512 VNNI with VL encodes it.
pub(crate) struct Avx512VnniVl;

/// Signed bytes taken apart.
#[derive(Clone, Copy)]
pub(crate) struct SignedBytes {
    magnitudes: __m256i,
    /// All bits of those that are negative.
    signs: __m256i,
}

impl ByteProducts for Pairwise {
    type Ready = SignedBytes;

    #[inline(always)]
    unsafe fn dot(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
        // SAFETY: see `load`. Pairs are at most 2·127·128 = 32,512, so that 16 bits hold them.
        unsafe {
            let pairs = _mm256_maddubs_epi16(w, _mm256_set1_epi32(x.read().cast_signed()));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn from_biased(w: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_xor_si256(w, _mm256_set1_epi8(i8::MIN)) }
    }

    #[inline(always)]
    unsafe fn dot_bytes(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
        // SAFETY: see `load`. The signs go over to `x`: 128·127 twice fits in sixteen bits.
        unsafe {
            let x = _mm256_sign_epi8(_mm256_set1_epi32(x.read().cast_signed()), w);
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn start_biased(_: *const u32) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn ready(w: __m256i) -> SignedBytes {
        // SAFETY: see `load`.
        unsafe {
            let signs = _mm256_cmpgt_epi8(_mm256_setzero_si256(), w);
            SignedBytes { magnitudes: _mm256_abs_epi8(w), signs }
        }
    }

    #[inline(always)]
    unsafe fn dot_ready(sum: __m256i, w: SignedBytes, x: *const u32) -> __m256i {
        // SAFETY: see `load`. For a negative weight, `w·x = |w|·(!x + 1)`: what the 1 adds is a share.
        // Its pairs are at least 2·128·(−128), which sixteen bits hold. `vpsignb` would need no
        // share, but it waits for the same units as the products do on AMD's processors.
        unsafe {
            let x = _mm256_xor_si256(_mm256_set1_epi32(x.read().cast_signed()), w.signs);
            let pairs = _mm256_maddubs_epi16(w.magnitudes, x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn add_share(shares: __m256i, w: SignedBytes) -> __m256i {
        // SAFETY: see `load`. The signs are −1 as bytes. A pair is at most 256, so that sixteen bits
        // hold 64 of them.
        unsafe { _mm256_sub_epi16(shares, _mm256_maddubs_epi16(w.magnitudes, w.signs)) }
    }

    #[inline(always)]
    unsafe fn start_ready(_: *const u32, shares: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_madd_epi16(shares, _mm256_set1_epi16(1)) }
    }
}

/// [`ByteProducts`] of a VNNI instruction: `w` is unsigned, with all its eight bits.
macro_rules! vnni {
    ($set:ty, $instruction:ident) => {
        impl ByteProducts for $set {
            type Ready = __m256i;

            #[inline(always)]
            unsafe fn dot(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
                // SAFETY: as the trait says; so in all functions below.
                unsafe { $instruction(sum, w, _mm256_set1_epi32(x.read().cast_signed())) }
            }

            #[inline(always)]
            unsafe fn from_biased(w: __m256i) -> __m256i {
                w
            }

            #[inline(always)]
            unsafe fn dot_bytes(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
                // SAFETY: see `dot`.
                unsafe { Self::dot(sum, w, x) }
            }

            #[inline(always)]
            unsafe fn start_biased(start: *const u32) -> __m256i {
                // SAFETY: see `dot`. `Σ (w − 128)·x = Σ w·x − 128·Σ x`.
                unsafe { _mm256_set1_epi32(start.read().cast_signed()) }
            }

            #[inline(always)]
            unsafe fn ready(w: __m256i) -> __m256i {
                w
            }

            #[inline(always)]
            unsafe fn dot_ready(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
                // SAFETY: see `dot`.
                unsafe { Self::dot_bytes(sum, w, x) }
            }
        }
    };
}
vnni!(AvxVnni, _mm256_dpbusd_avx_epi32);
vnni!(Avx512VnniVl, _mm256_dpbusd_epi32);

impl<D: ByteProducts> Simd for Avx2<D> {
    const ROWS: usize = 8;
    const N_REGISTERS: usize = 16;
    type Int = __m256i;
    type Float = __m256;
    type Ready = D::Ready;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        // SAFETY: as the trait says; so in all functions below.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn and_byte(a: __m256i, mask: u8) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_and_si256(a, _mm256_set1_epi8(mask.cast_signed())) }
    }

    #[inline(always)]
    unsafe fn and_byte_or(a: __m256i, mask: u8, c: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_or_si256(Self::and_byte(a, mask), c) }
    }

    #[inline(always)]
    unsafe fn shift_left<const N: i32>(a: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_slli_epi16::<N>(a) }
    }

    #[inline(always)]
    unsafe fn shift_right<const N: i32>(a: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_srli_epi16::<N>(a) }
    }

    #[inline(always)]
    unsafe fn dot(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::dot(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn from_biased(w: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::from_biased(w) }
    }

    #[inline(always)]
    unsafe fn dot_bytes(sum: __m256i, w: __m256i, x: *const u32) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::dot_bytes(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn start_biased(start: *const u32) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::start_biased(start) }
    }

    #[inline(always)]
    unsafe fn ready(w: __m256i) -> D::Ready {
        // SAFETY: see `load`.
        unsafe { D::ready(w) }
    }

    #[inline(always)]
    unsafe fn dot_ready(sum: __m256i, w: D::Ready, x: *const u32) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::dot_ready(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn add_share(shares: __m256i, w: D::Ready) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::add_share(shares, w) }
    }

    #[inline(always)]
    unsafe fn start_ready(start: *const u32, shares: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { D::start_ready(start, shares) }
    }

    #[inline(always)]
    unsafe fn zero_int() -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn splat_shifted<const N: i32>(from: *const u32) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_slli_epi32::<N>(_mm256_set1_epi32(from.read().cast_signed())) }
    }

    #[inline(always)]
    unsafe fn mul_high16(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_mulhi_epi16(a, b) }
    }

    #[inline(always)]
    unsafe fn scale_bytes(q: __m256i, factor: __m256i) -> __m256i {
        // SAFETY: see `load`. The upper byte counts 256-fold, so that its product comes down into the
        // lower one; that of the lower byte has what is wanted in the upper one.
        unsafe {
            let lower = _mm256_set1_epi16(0xff);
            let of_upper = _mm256_mulhi_epi16(_mm256_andnot_si256(lower, q), factor);
            let of_lower = _mm256_mullo_epi16(_mm256_and_si256(lower, q), factor);
            _mm256_blendv_epi8(of_lower, of_upper, lower)
        }
    }

    #[inline(always)]
    unsafe fn eighth_bytes(a: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe {
            let eighth = _mm256_srai_epi16::<3>(a);
            let lower = _mm256_and_si256(eighth, _mm256_set1_epi16(0xff));
            _mm256_or_si256(lower, _mm256_slli_epi16::<8>(eighth))
        }
    }

    #[inline(always)]
    unsafe fn add_bytes(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_add_epi8(a, b) }
    }

    #[inline(always)]
    unsafe fn sub_bytes(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_sub_epi8(a, b) }
    }

    #[inline(always)]
    unsafe fn splat_byte(byte: u8) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_set1_epi8(byte.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn add_int(a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn to_float(a: __m256i) -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_cvtepi32_ps(a) }
    }

    #[inline(always)]
    unsafe fn round(a: __m256) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_cvtps_epi32(a) }
    }

    #[inline(always)]
    unsafe fn sum(a: __m256i) -> i32 {
        // SAFETY: see `load`.
        unsafe {
            let halves = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
            let quarters = _mm_add_epi32(halves, _mm_shuffle_epi32::<0b00_00_11_10>(halves));
            _mm_cvtsi128_si32(_mm_add_epi32(quarters, _mm_shuffle_epi32::<1>(quarters)))
        }
    }

    #[inline(always)]
    unsafe fn store_bytes(to: *mut i8, a: __m256i) {
        // SAFETY: see `load`.
        unsafe {
            // The lowest bytes of the lanes, as the lowest of each half.
            let lowest = _mm256_set1_epi64x(0x0c08_0400);
            let bytes = _mm256_shuffle_epi8(a, lowest);
            to.cast::<i32>().write_unaligned(_mm256_extract_epi32::<0>(bytes));
            to.cast::<i32>().add(1).write_unaligned(_mm256_extract_epi32::<4>(bytes));
        }
    }

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_set1_ps(f32::from_bits(from.read())) }
    }

    #[inline(always)]
    unsafe fn load_f32(from: *const f32) -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> __m256 {
        // SAFETY: see `load`. A bf16 is the upper half of the f32.
        unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn load_16_twice(from: *const u8) -> __m256i {
        // SAFETY: see `load`.
        unsafe {
            let values = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_or_si256(values, _mm256_slli_epi32::<16>(values))
        }
    }

    #[inline(always)]
    unsafe fn load_upper_bytes(from: *const u8) -> __m256i {
        // SAFETY: see `load`.
        unsafe { _mm256_slli_epi16::<8>(Self::load_bytes(from)) }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> __m256i {
        // SAFETY: see `load`.
        unsafe {
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast()));
            _mm256_shuffle_epi8(
                bytes,
                _mm256_set_epi64x(
                    0x0c0c_0c0c_0808_0808,
                    0x0404_0404_0000_0000,
                    0x0c0c_0c0c_0808_0808,
                    0x0404_0404_0000_0000,
                ),
            )
        }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see `load`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store_int(to: *mut u8, a: __m256i) {
        // SAFETY: see `load`.
        unsafe { _mm256_storeu_si256(to.cast(), a) };
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, a: __m256) {
        // SAFETY: see `load`.
        unsafe { _mm256_storeu_ps(to, a) };
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
