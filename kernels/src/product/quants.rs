//! How the quantised weights of a block lie, and how they are unpacked.

use crate::quant::{BLOCK, GROUP, tile::PLANE};
use crate::simd::Simd;

/// How the quantised weights of a block of 32 lie.
pub(super) trait Quants {
    /// Bytes of sixteen rows.
    const BYTES: usize = GROUP * BLOCK * Self::BITS / 8;
    /// Bits of a weight.
    const BITS: usize;

    /// The eight quads of a block, a byte a weight.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole block of planes lies at `planes`.
    unsafe fn unpack<S: Simd>(planes: *const u8) -> [S::Int; 8];

    /// `sum + Σ w·x` over a quad; of eight bits, with [`Simd::dot_bytes`].
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn dot<S: Simd>(sum: S::Int, w: S::Int, x: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::dot(sum, w, x) }
    }
}

/// Four bits.
pub(super) struct Nibbles;
/// Five bits.
pub(super) struct FiveBits;
/// Six bits.
pub(super) struct SixBits;
/// Eight bits.
pub(super) struct Bytes;

impl Quants for Nibbles {
    const BITS: usize = 4;

    #[inline(always)]
    unsafe fn unpack<S: Simd>(planes: *const u8) -> [S::Int; 8] {
        // SAFETY: as this function.
        unsafe {
            let plane = |j: usize| S::load(planes.add(j * PLANE));
            let [a, b, c, d] = [plane(0), plane(1), plane(2), plane(3)];
            let low = |p| S::and_byte(p, 15);
            let high = |p| S::and_byte(S::shift_right::<4>(p), 15);
            [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)]
        }
    }
}

impl Quants for FiveBits {
    const BITS: usize = 5;

    #[inline(always)]
    unsafe fn unpack<S: Simd>(planes: *const u8) -> [S::Int; 8] {
        // SAFETY: as this function.
        unsafe {
            let q = Nibbles::unpack::<S>(planes);
            let bits = S::load(planes.add(4 * PLANE));
            [
                S::and_byte_or(S::shift_left::<4>(bits), 16, q[0]),
                S::and_byte_or(S::shift_left::<3>(bits), 16, q[1]),
                S::and_byte_or(S::shift_left::<2>(bits), 16, q[2]),
                S::and_byte_or(S::shift_left::<1>(bits), 16, q[3]),
                S::and_byte_or(bits, 16, q[4]),
                S::and_byte_or(S::shift_right::<1>(bits), 16, q[5]),
                S::and_byte_or(S::shift_right::<2>(bits), 16, q[6]),
                S::and_byte_or(S::shift_right::<3>(bits), 16, q[7]),
            ]
        }
    }
}

impl Quants for SixBits {
    const BITS: usize = 6;

    #[inline(always)]
    unsafe fn unpack<S: Simd>(planes: *const u8) -> [S::Int; 8] {
        // SAFETY: as this function.
        unsafe {
            let q = Nibbles::unpack::<S>(planes);
            let a = S::load(planes.add(4 * PLANE));
            let b = S::load(planes.add(5 * PLANE));
            [
                S::and_byte_or(S::shift_left::<4>(a), 48, q[0]),
                S::and_byte_or(S::shift_left::<2>(a), 48, q[1]),
                S::and_byte_or(a, 48, q[2]),
                S::and_byte_or(S::shift_right::<2>(a), 48, q[3]),
                S::and_byte_or(S::shift_left::<4>(b), 48, q[4]),
                S::and_byte_or(S::shift_left::<2>(b), 48, q[5]),
                S::and_byte_or(b, 48, q[6]),
                S::and_byte_or(S::shift_right::<2>(b), 48, q[7]),
            ]
        }
    }
}

impl Quants for Bytes {
    const BITS: usize = 8;

    #[inline(always)]
    unsafe fn unpack<S: Simd>(planes: *const u8) -> [S::Int; 8] {
        // SAFETY: as this function.
        let plane = |j: usize| unsafe { S::load(planes.add(j * PLANE)) };
        [plane(0), plane(1), plane(2), plane(3), plane(4), plane(5), plane(6), plane(7)]
    }

    #[inline(always)]
    unsafe fn dot<S: Simd>(sum: S::Int, w: S::Int, x: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::dot_bytes(sum, S::from_biased(w), x) }
    }
}
