//! The product of sixteen weight rows with a few rows of activations, written once for all
//! instruction sets and types.
//!
//! A weight is `scale·q + minimum` and an activation `s·x`, with `q` and `x` integers. Over the weights
//! of a block: `Σ (scale·q + minimum)·s·x = scale·s·Σ q·x + minimum·(s·Σ x)`. The first sum is one of
//! integers, the second comes with the activations. A type with a zero point `z` in place of minima
//! starts the first sum at `−z·Σ x`. In a super-block of 256, whose blocks have integers for scales and
//! minima, `Σ scale·Σ q·x` over its blocks is one of integers too ([`scaling`](super::scaling)).
//!
//! The sums over the spans are floats, added span by span in order: the order, and with it every bit,
//! is the same however many rows there are.

use super::{quants::Quants, scaling::Scaling};
use crate::{
    quant::{BLOCK, GROUP},
    simd::Simd,
};

/// How far ahead of their use weights are fetched, in bytes. Few rows: the processor's own prefetching
/// keeps up with the stream and only needs a push. More rows: it falls behind between two blocks, and
/// fetching far ahead, past the second cache, is faster. Both as measured on Zen 4.
const FEW_ROWS: usize = 4;
const PREFETCH_FEW: usize = 512;
const PREFETCH_MORE: usize = 2048;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Words of activations in a block of 32, and in half of it.
const BLOCK_WORDS: usize = BLOCK / 4;
const HALF_WORDS: usize = BLOCK_WORDS / 2;

/// `out[c][r]`: row `r` of the sixteen of `group` times row `c` of the `C` of `records`.
///
/// # Panics
/// When the lengths do not fit one another.
///
/// # Safety
/// The processor has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, Q: Quants, K: Scaling, const C: usize>(
    group: &[u8],
    records: &[u32],
    out: &mut [[f32; GROUP]],
) {
    let span_bytes = K::HEADER + K::BLOCKS * Q::BYTES;
    let n_spans = group.len() / span_bytes;
    assert_eq!(group.len(), n_spans * span_bytes);
    assert_eq!(records.len(), n_spans * C * K::RECORD_WORDS);
    assert_eq!(out.len(), C);
    for row in (0..GROUP).step_by(S::ROWS) {
        let (mut header, mut record) = (group.as_ptr(), records.as_ptr());
        // SAFETY: the lengths above: `header` walks over whole spans, `record` over `C` records for
        // each of them.
        unsafe {
            let mut sums = [S::zero(); C];
            for _ in 0..n_spans {
                let span = K::span::<S>(header, row);
                let mut products = [S::zero_int(); C];
                let mut planes = header.add(K::HEADER);
                for i in 0..K::BLOCKS {
                    prefetch::<S>(planes, Q::BYTES + K::HEADER / K::BLOCKS, C);
                    let w = Q::unpack::<S>(planes.add(4 * row));
                    let block = K::block::<S>(&span, header, row, i);
                    for c in 0..C {
                        let record = record.add(c * K::RECORD_WORDS);
                        let mut halves = K::start::<S>(record, i);
                        let x = record.add(i * BLOCK_WORDS);
                        for j in 0..HALF_WORDS {
                            halves[0] = Q::dot::<S>(halves[0], w[j], x.add(j));
                            halves[1] = Q::dot::<S>(halves[1], w[HALF_WORDS + j], x.add(HALF_WORDS + j));
                        }
                        products[c] = K::add::<S>(products[c], halves, block);
                        // At once where it can be, so that a single product takes a register.
                        if K::BLOCKS == 1 {
                            sums[c] = K::finish::<S>(sums[c], products[c], &span, record);
                        }
                    }
                    planes = planes.add(Q::BYTES);
                }
                if K::BLOCKS > 1 {
                    for c in 0..C {
                        let record = record.add(c * K::RECORD_WORDS);
                        sums[c] = K::finish::<S>(sums[c], products[c], &span, record);
                    }
                }
                header = header.add(span_bytes);
                record = record.add(C * K::RECORD_WORDS);
            }
            for (sum, out) in sums.into_iter().zip(out.iter_mut()) {
                S::store(out.as_mut_ptr().add(row), sum);
            }
        }
    }
}

/// Fetches `n_bytes` of weights some way behind `weights`, for a tile of `n_rows`.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn prefetch<S: Simd>(weights: *const u8, n_bytes: usize, n_rows: usize) {
    for line in (0..n_bytes).step_by(LINE) {
        // SAFETY: as this function.
        unsafe {
            if n_rows <= FEW_ROWS {
                S::prefetch(weights.wrapping_add(PREFETCH_FEW + line));
            } else {
                S::prefetch_past_second_cache(weights.wrapping_add(PREFETCH_MORE + line));
            }
        }
    }
}

/// A [`tile`] for one type and number of rows.
pub(super) type TileFn = unsafe fn(&[u8], &[u32], &mut [[f32; GROUP]]);

/// The instance of `$tile::<Quants, Scaling, C>` for a block type and a number of rows of 1 to 16.
macro_rules! select_tile {
    ($tile:ident, $block_type:expr, $n_rows:expr) => {
        match $block_type {
            BlockType::Q4_0 => select_tile!(@rows $tile, Nibbles, Centred<3>, $n_rows),
            BlockType::Q4_1 => select_tile!(@rows $tile, Nibbles, WithMinimum, $n_rows),
            BlockType::Q5_0 => select_tile!(@rows $tile, FiveBits, Centred<4>, $n_rows),
            BlockType::Q5_1 => select_tile!(@rows $tile, FiveBits, WithMinimum, $n_rows),
            BlockType::Q8_0 => select_tile!(@rows $tile, Bytes, Centred<7>, $n_rows),
            BlockType::Q4_K => select_tile!(@rows $tile, Nibbles, SixBitScales, $n_rows),
            BlockType::Q5_K => select_tile!(@rows $tile, FiveBits, SixBitScales, $n_rows),
            BlockType::Q6_K => select_tile!(@rows $tile, SixBits, SignedScales, $n_rows),
        }
    };
    (@rows $tile:ident, $quants:ty, $scaling:ty, $n_rows:expr) => {
        match $n_rows {
            1 => $tile::<$quants, $scaling, 1> as TileFn,
            2 => $tile::<$quants, $scaling, 2>,
            3 => $tile::<$quants, $scaling, 3>,
            4 => $tile::<$quants, $scaling, 4>,
            5 => $tile::<$quants, $scaling, 5>,
            6 => $tile::<$quants, $scaling, 6>,
            7 => $tile::<$quants, $scaling, 7>,
            8 => $tile::<$quants, $scaling, 8>,
            9 => $tile::<$quants, $scaling, 9>,
            10 => $tile::<$quants, $scaling, 10>,
            11 => $tile::<$quants, $scaling, 11>,
            12 => $tile::<$quants, $scaling, 12>,
            13 => $tile::<$quants, $scaling, 13>,
            14 => $tile::<$quants, $scaling, 14>,
            15 => $tile::<$quants, $scaling, 15>,
            _ => $tile::<$quants, $scaling, 16>,
        }
    };
}
pub(super) use select_tile;
