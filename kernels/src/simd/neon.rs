//! Four weight rows a register: NEON with dot products.

use std::arch::aarch64::*;

use super::Simd;

/// The instruction set.
pub(crate) struct Neon;

impl Simd for Neon {
    const ROWS: usize = 4;
    const N_REGISTERS: usize = 32;
    type Int = int32x4_t;
    type Ready = int32x4_t;
    type Float = float32x4_t;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> int32x4_t {
        // SAFETY: as the trait says; so in all functions below.
        unsafe { vreinterpretq_s32_u8(vld1q_u8(from)) }
    }

    #[inline(always)]
    unsafe fn and_byte(a: int32x4_t, mask: u8) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vandq_s32(a, vreinterpretq_s32_u8(vdupq_n_u8(mask))) }
    }

    #[inline(always)]
    unsafe fn and_byte_or(a: int32x4_t, mask: u8, c: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vorrq_s32(Self::and_byte(a, mask), c) }
    }

    #[inline(always)]
    unsafe fn shift_left<const N: i32>(a: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vshlq_n_s32::<N>(a) }
    }

    #[inline(always)]
    unsafe fn shift_right<const N: i32>(a: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vshrq_n_s32::<N>(a) }
    }

    #[inline(always)]
    unsafe fn dot(sum: int32x4_t, w: int32x4_t, x: *const u32) -> int32x4_t {
        // SAFETY: see `load`; the instruction reads and writes these registers only. Weights of at
        // most 127 are the same signed.
        unsafe {
            let x = vdupq_n_s32(x.read().cast_signed());
            let mut sum = sum;
            std::arch::asm!(
                "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
                sum = inout(vreg) sum,
                w = in(vreg) w,
                x = in(vreg) x,
                options(pure, nomem, nostack),
            );
            sum
        }
    }

    #[inline(always)]
    unsafe fn from_biased(w: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`. With its highest bit turned a biased byte is the signed one.
        unsafe { veorq_s32(w, Self::splat_byte(0x80)) }
    }

    #[inline(always)]
    unsafe fn dot_bytes(sum: int32x4_t, w: int32x4_t, x: *const u32) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { Self::dot(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn start_biased(_: *const u32) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { Self::zero_int() }
    }

    #[inline(always)]
    unsafe fn ready(w: int32x4_t) -> int32x4_t {
        w
    }

    #[inline(always)]
    unsafe fn dot_ready(sum: int32x4_t, w: int32x4_t, x: *const u32) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { Self::dot_bytes(sum, w, x) }
    }

    #[inline(always)]
    unsafe fn zero_int() -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn splat_shifted<const N: i32>(from: *const u32) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vshlq_n_s32::<N>(vdupq_n_s32(from.read().cast_signed())) }
    }

    #[inline(always)]
    unsafe fn mul_high16(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe {
            let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            let high = vmull_high_s16(a, b);
            vreinterpretq_s32_s16(vcombine_s16(vshrn_n_s32::<16>(low), vshrn_n_s32::<16>(high)))
        }
    }

    #[inline(always)]
    unsafe fn scale_bytes(q: int32x4_t, factor: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`. Of both products the upper byte is wanted; the first one's moves down.
        unsafe {
            let (q, factor) = (vreinterpretq_u16_s32(q), vreinterpretq_u16_s32(factor));
            let of_upper = vmulq_u16(vshrq_n_u16::<8>(q), factor);
            let of_lower = vmulq_u16(vandq_u16(q, vdupq_n_u16(0xff)), factor);
            vreinterpretq_s32_u16(vsriq_n_u16::<8>(of_lower, of_upper))
        }
    }

    #[inline(always)]
    unsafe fn eighth_bytes(a: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe {
            let eighth = vshrq_n_s16::<3>(vreinterpretq_s16_s32(a));
            vreinterpretq_s32_s16(vsliq_n_s16::<8>(eighth, eighth))
        }
    }

    #[inline(always)]
    unsafe fn add_bytes(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vreinterpretq_s32_s8(vaddq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))) }
    }

    #[inline(always)]
    unsafe fn sub_bytes(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vreinterpretq_s32_s8(vsubq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b))) }
    }

    #[inline(always)]
    unsafe fn splat_byte(byte: u8) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vreinterpretq_s32_u8(vdupq_n_u8(byte)) }
    }

    #[inline(always)]
    unsafe fn add_int(a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe { vaddq_s32(a, b) }
    }

    #[inline(always)]
    unsafe fn to_float(a: int32x4_t) -> float32x4_t {
        // SAFETY: see `load`.
        unsafe { vcvtq_f32_s32(a) }
    }

    #[inline(always)]
    unsafe fn round(a: float32x4_t) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe {
            // Saturates where the others give the smallest integer, which differs in the lowest byte.
            let rounded = vcvtnq_s32_f32(a);
            vbicq_s32(rounded, vreinterpretq_s32_u32(vceqq_s32(rounded, vdupq_n_s32(i32::MAX))))
        }
    }

    #[inline(always)]
    unsafe fn sum(a: int32x4_t) -> i32 {
        // SAFETY: see `load`.
        unsafe { vaddvq_s32(a) }
    }

    #[inline(always)]
    unsafe fn store_bytes(to: *mut i8, a: int32x4_t) {
        // SAFETY: see `load`.
        unsafe {
            let bytes = vmovn_s16(vcombine_s16(vmovn_s32(a), vdup_n_s16(0)));
            vst1_lane_s32::<0>(to.cast(), vreinterpret_s32_s8(bytes));
        }
    }

    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        // SAFETY: see `load`.
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(from: *const u32) -> float32x4_t {
        // SAFETY: see `load`.
        unsafe { vdupq_n_f32(f32::from_bits(from.read())) }
    }

    #[inline(always)]
    unsafe fn load_f32(from: *const f32) -> float32x4_t {
        // SAFETY: see `load`.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_f16(from: *const u8) -> float32x4_t {
        // SAFETY: see `load`.
        let halves = unsafe { from.cast::<[[u8; 2]; 4]>().read() };
        let floats = halves.map(|half| half::f16::from_le_bytes(half).to_f32());
        // SAFETY: see `load`.
        unsafe { vld1q_f32(floats.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn load_bf16(from: *const u8) -> float32x4_t {
        // SAFETY: see `load`. A bf16 is the upper half of the f32.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_16_twice(from: *const u8) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe {
            let values = vreinterpretq_s32_u32(vmovl_u16(vld1_u16(from.cast())));
            vsliq_n_s32::<16>(values, values)
        }
    }

    #[inline(always)]
    unsafe fn load_upper_bytes(from: *const u8) -> int32x4_t {
        // SAFETY: see `load`.
        unsafe {
            let bytes = vreinterpretq_u16_s32(Self::load_bytes(from));
            vreinterpretq_s32_u16(vshlq_n_u16::<8>(bytes))
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> int32x4_t {
        // SAFETY: see `load`.
        let lanes = unsafe { from.cast::<[u8; 4]>().read() }.map(|byte| i32::from_le_bytes([byte; 4]));
        // SAFETY: see `load`.
        unsafe { vld1q_s32(lanes.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: see `load`.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: see `load`.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn store_int(to: *mut u8, a: int32x4_t) {
        // SAFETY: see `load`.
        unsafe { vst1q_u8(to, vreinterpretq_u8_s32(a)) };
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, a: float32x4_t) {
        // SAFETY: see `load`.
        unsafe { vst1q_f32(to, a) };
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {
        // The processor follows a stream by itself, and the intrinsic is not stable.
    }

    #[inline(always)]
    unsafe fn prefetch_to_second_cache(_: *const u8) {}
}
