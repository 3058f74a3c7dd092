//! The product of sixteen weight rows with a few rows of activations, written once for all
//! instruction sets and types with blocks of 32; [`super_block`](super::super_block) has the others.
//!
//! A weight is `scale·q + minimum` and an activation `s·x`, with `q` and `x` integers. Over the weights
//! of a block: `Σ (scale·q + minimum)·s·x = scale·s·Σ q·x + minimum·(s·Σ x)`. The first sum is one of
//! integers, the second comes with the activations. A type with a zero point `z` in place of minima
//! starts the first sum at `−z·Σ x`.
//!
//! The sums over the blocks are floats, added block by block in order: the order, and with it every
//! bit, is the same however many rows there are.

use super::{quants::Quants, scaling::Scaling};
use crate::{
    quant::{BLOCK, GROUP, record::block},
    simd::Simd,
};

/// How far ahead of their use weights are fetched into the second cache, in bytes: the first can wait
/// for too few lines at once to keep the memory busy. The processor's own prefetching ends with a page of
/// 4096 bytes, and a fetch from the page behind it starts the next.
const TO_SECOND_CACHE: usize = 6144;
/// How far ahead they go on into the first cache, where a tile has more rows than these. Then its
/// records leave the processor little room to wait for weights; with fewer the second fetch only costs
/// time. All as measured on Zen 4.
const TO_FIRST_CACHE: usize = 2048;
const FEW_ROWS: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Words of activations in half a block of 32.
const HALF_WORDS: usize = BLOCK / 8;

/// The packed weights that a tile reads.
#[derive(Clone, Copy)]
pub(super) struct Stream<'g> {
    /// Those of sixteen rows.
    pub(super) group: &'g [u8],
    /// Where the same thread goes on reading afterwards.
    pub(super) next: &'g [u8],
}

/// `out[c][r]`: row `r` of the sixteen of `weights` times row `c` of the `C` of `records`.
///
/// # Panics
/// When the lengths do not fit one another.
///
/// # Safety
/// The processor has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, Q: Quants, K: Scaling, const C: usize>(
    weights: Stream<'_>,
    records: &[u32],
    out: &mut [[f32; GROUP]],
) {
    let span_bytes = K::HEADER + Q::BYTES;
    let Stream { group, .. } = weights;
    let ahead = Ahead::of(weights, span_bytes, C);
    let n_spans = group.len() / span_bytes;
    assert_eq!(group.len(), n_spans * span_bytes);
    assert_eq!(records.len(), n_spans * C * block::WORDS);
    assert_eq!(out.len(), C);
    for row in (0..GROUP).step_by(S::ROWS) {
        let (mut header, mut record) = (group.as_ptr(), records.as_ptr());
        // SAFETY: the lengths above: `header` walks over whole spans, `record` over `C` records for
        // each of them.
        unsafe {
            let mut sums = [S::zero(); C];
            for _ in 0..n_spans {
                let planes = header.add(K::HEADER);
                ahead.fetch::<S>(header);
                let span = K::span::<S>(header, row);
                let w = Q::unpack::<S>(planes.add(4 * row));
                for sum in &mut sums {
                    // Two chains, so that one need not wait for the other.
                    let mut halves = [K::start::<S>(record), S::zero_int()];
                    for j in 0..HALF_WORDS {
                        halves[0] = Q::dot::<S>(halves[0], w[j], record.add(j));
                        halves[1] = Q::dot::<S>(halves[1], w[HALF_WORDS + j], record.add(HALF_WORDS + j));
                    }
                    *sum = K::finish::<S>(*sum, S::add_int(halves[0], halves[1]), &span, record);
                    record = record.add(block::WORDS);
                }
                header = header.add(span_bytes);
            }
            for (sum, out) in sums.into_iter().zip(out.iter_mut()) {
                S::store(out.as_mut_ptr().add(row), sum);
            }
        }
    }
}

/// Fetches weights ahead of their use, a block's share with each block.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    /// Bytes of a share.
    share: usize,
    /// The group's end, and how far from there the reading goes on.
    end: *const u8,
    gap: usize,
    n_rows: usize,
}

impl Ahead {
    /// For a tile of `n_rows` whose blocks have `share` bytes each.
    #[inline(always)]
    pub(super) fn of(weights: Stream<'_>, share: usize, n_rows: usize) -> Self {
        let end = weights.group.as_ptr_range().end;
        Self { share, end, gap: weights.next.as_ptr().addr().wrapping_sub(end.addr()), n_rows }
    }

    /// Later blocks' shares, while the block whose share begins at `weights` is multiplied.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    pub(super) unsafe fn fetch<S: Simd>(&self, weights: *const u8) {
        // SAFETY: as this function.
        unsafe {
            for line in self.lines(weights, TO_SECOND_CACHE) {
                S::prefetch_to_second_cache(line);
            }
            if self.n_rows > FEW_ROWS {
                for line in self.lines(weights, TO_FIRST_CACHE) {
                    S::prefetch(line);
                }
            }
        }
    }

    /// The cache lines of the share that is read `distance` behind `weights`: in whole shares, so none
    /// lies on both sides of the group's end.
    #[inline(always)]
    fn lines(&self, weights: *const u8, distance: usize) -> impl Iterator<Item = *const u8> + use<> {
        let within = weights.wrapping_add(distance.next_multiple_of(self.share));
        let from = if within < self.end { within } else { within.wrapping_add(self.gap) };
        (0..self.share).step_by(LINE).map(move |line| from.wrapping_add(line))
    }
}

/// The instance of `$function::<…, C>` for a number of rows of 1 to 16.
macro_rules! for_rows {
    ($n_rows:expr, $function:ident $(, $generic:ty)*) => {
        match $n_rows {
            1 => $function::<$($generic,)* 1> as TileFn,
            2 => $function::<$($generic,)* 2>,
            3 => $function::<$($generic,)* 3>,
            4 => $function::<$($generic,)* 4>,
            5 => $function::<$($generic,)* 5>,
            6 => $function::<$($generic,)* 6>,
            7 => $function::<$($generic,)* 7>,
            8 => $function::<$($generic,)* 8>,
            9 => $function::<$($generic,)* 9>,
            10 => $function::<$($generic,)* 10>,
            11 => $function::<$($generic,)* 11>,
            12 => $function::<$($generic,)* 12>,
            13 => $function::<$($generic,)* 13>,
            14 => $function::<$($generic,)* 14>,
            15 => $function::<$($generic,)* 15>,
            _ => $function::<$($generic,)* 16>,
        }
    };
}
pub(super) use for_rows;
