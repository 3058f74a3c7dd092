//! How the quantised weights of a block lie, and how they are unpacked.

use crate::quant::{BLOCK, GROUP, tile::PLANE};
use crate::simd::Simd;

/// How the quantised weights of a block of 32 lie.
pub(super) trait Quants {
    /// Bytes of sixteen rows.
    const BYTES: usize = GROUP * BLOCK * Self::BITS / 8;
    /// Bits of a weight.
    const BITS: usize;

    /// The quads `J` and `J + 4` of a block, a byte a weight; `J` is below 4.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole block of planes lies at `planes`.
    unsafe fn pair<S: Simd, const J: usize>(planes: *const u8) -> [S::Int; 2];

    /// The eight quads of a block.
    ///
    /// # Safety
    /// As [`Quants::pair`].
    #[inline(always)]
    unsafe fn unpack<S: Simd>(planes: *const u8) -> [S::Int; 8] {
        // SAFETY: as this function.
        unsafe {
            let [a, e] = Self::pair::<S, 0>(planes);
            let [b, f] = Self::pair::<S, 1>(planes);
            let [c, g] = Self::pair::<S, 2>(planes);
            let [d, h] = Self::pair::<S, 3>(planes);
            [a, b, c, d, e, f, g, h]
        }
    }

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
    unsafe fn pair<S: Simd, const J: usize>(planes: *const u8) -> [S::Int; 2] {
        // SAFETY: as this function.
        unsafe {
            let plane = S::load(planes.add(J * PLANE));
            [S::and_byte(plane, 15), S::and_byte(S::shift_right::<4>(plane), 15)]
        }
    }
}

impl Quants for FiveBits {
    const BITS: usize = 5;

    #[inline(always)]
    unsafe fn pair<S: Simd, const J: usize>(planes: *const u8) -> [S::Int; 2] {
        // SAFETY: as this function.
        unsafe {
            let bits = S::load(planes.add(4 * PLANE));
            // Bit `J` and bit `J + 4`, each where the fifth bit belongs.
            let [first, second] = match J {
                0 => [S::shift_left::<4>(bits), bits],
                1 => [S::shift_left::<3>(bits), S::shift_right::<1>(bits)],
                2 => [S::shift_left::<2>(bits), S::shift_right::<2>(bits)],
                _ => [S::shift_left::<1>(bits), S::shift_right::<3>(bits)],
            };
            let [a, b] = Nibbles::pair::<S, J>(planes);
            [S::and_byte_or(first, 16, a), S::and_byte_or(second, 16, b)]
        }
    }
}

impl Quants for SixBits {
    const BITS: usize = 6;

    #[inline(always)]
    unsafe fn pair<S: Simd, const J: usize>(planes: *const u8) -> [S::Int; 2] {
        // SAFETY: as this function.
        unsafe {
            let upper = [S::load(planes.add(4 * PLANE)), S::load(planes.add(5 * PLANE))];
            // Bits `2·J` and up, where the upper two belong.
            let [first, second] = match J {
                0 => [S::shift_left::<4>(upper[0]), S::shift_left::<4>(upper[1])],
                1 => [S::shift_left::<2>(upper[0]), S::shift_left::<2>(upper[1])],
                2 => upper,
                _ => [S::shift_right::<2>(upper[0]), S::shift_right::<2>(upper[1])],
            };
            let [a, b] = Nibbles::pair::<S, J>(planes);
            [S::and_byte_or(first, 48, a), S::and_byte_or(second, 48, b)]
        }
    }
}

impl Quants for Bytes {
    const BITS: usize = 8;

    #[inline(always)]
    unsafe fn pair<S: Simd, const J: usize>(planes: *const u8) -> [S::Int; 2] {
        // SAFETY: as this function.
        unsafe { [S::load(planes.add(J * PLANE)), S::load(planes.add((J + 4) * PLANE))] }
    }

    #[inline(always)]
    unsafe fn dot<S: Simd>(sum: S::Int, w: S::Int, x: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::dot_bytes(sum, S::from_biased(w), x) }
    }
}
