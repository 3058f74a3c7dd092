//! The product of sixteen weight rows with a few rows of activations, written once for all
//! instruction sets and types.
//!
//! A weight is `scale·q + minimum` and an activation `s·x`, with `q` and `x` integers. Over a block:
//! `Σ (scale·q + minimum)·s·x = scale·s·Σ q·x + minimum·(s·Σ x)`. The first sum is one of integers, the
//! second comes with the activations. A type with a zero point `z` in place of minima starts the first
//! sum at `−z·Σ x`.
//!
//! The sums over the blocks are floats, added block by block in order: the order, and with it every
//! bit, is the same however many rows there are.

use crate::quant::{
    BLOCK, GROUP, RECORD_WORDS,
    tile::{F16_ROW, PLANE, SIX_BIT_BYTES, unpack_six_bit_values},
};
use crate::simd::Simd;

/// How far ahead of their use weights are fetched, in bytes. Few rows: the processor's own prefetching
/// keeps up with the stream and only needs a push. More rows: it falls behind between two blocks, and
/// fetching far ahead, past the second cache, is faster. Both as measured on Zen 4.
const FEW_ROWS: usize = 4;
const PREFETCH_FEW: usize = 512;
const PREFETCH_MORE: usize = 2048;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Words of a record, after the eight with the quantised activations.
const SCALE: usize = 8;
const SCALED_SUM: usize = 9;
const HALF_SUMS: [usize; 2] = [10, 11];
/// Quads in half a block of 32.
const HALF: usize = 4;

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

    /// `sum + Σ w·x` over a quad.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn dot<S: Simd>(sum: S::Int, w: S::Int, x: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::dot(sum, w, x) }
    }
}

/// How scales and minima lie, and how they enter the sum.
pub(super) trait Scaling {
    /// Bytes of the header of a span.
    const HEADER: usize;
    /// Blocks of 32 in a span.
    const BLOCKS: usize;
    /// What is worked out once for a span.
    type Span<S: Simd>;
    /// What is worked out once for a block of 32.
    type Block<S: Simd>: Copy;

    /// # Safety
    /// As for [`Simd`]; a whole header lies at `header`. `row` is a multiple of `S::ROWS` below 16.
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> Self::Span<S>;
    /// # Safety
    /// As [`Scaling::span`]; `block` is below [`Scaling::BLOCKS`].
    unsafe fn block<S: Simd>(
        span: &Self::Span<S>,
        header: *const u8,
        row: usize,
        block: usize,
    ) -> Self::Block<S>;
    /// Where the integer sum of half a block starts; `half_sum` is the negated sum of activations.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn start<S: Simd>(half_sum: *const u32) -> S::Int;
    /// The sum with that of a block added.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole record lies at `record`.
    unsafe fn add<S: Simd>(
        sum: S::Float,
        block: Self::Block<S>,
        halves: [S::Int; 2],
        record: *const u32,
    ) -> S::Float;
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
        unsafe { S::dot_wide(sum, w, x) }
    }
}

/// A scale, and a zero point of 2ᶻ: Q4_0, Q5_0, Q8_0.
pub(super) struct Centred<const Z: i32>;
/// A scale and a minimum: Q4_1, Q5_1.
pub(super) struct WithMinimum;
/// Scales and minima of 6 bits under a scale each: Q4_K, Q5_K.
pub(super) struct SixBitScales;
/// Signed scales of 8 bits a half block under a scale, and a zero point of 32: Q6_K.
pub(super) struct SignedScales;

impl<const Z: i32> Scaling for Centred<Z> {
    const HEADER: usize = F16_ROW;
    const BLOCKS: usize = 1;
    type Span<S: Simd> = ();
    type Block<S: Simd> = S::Float;

    #[inline(always)]
    unsafe fn span<S: Simd>(_: *const u8, _: usize) -> Self::Span<S> {}

    #[inline(always)]
    unsafe fn block<S: Simd>((): &(), header: *const u8, row: usize, _: usize) -> S::Float {
        // SAFETY: as this function.
        unsafe { S::load_f16(header.add(2 * row)) }
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(half_sum: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::splat_shifted::<Z>(half_sum) }
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(
        sum: S::Float,
        scale: S::Float,
        halves: [S::Int; 2],
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe { add_scaled::<S>(sum, scale, halves, record) }
    }
}

impl Scaling for WithMinimum {
    const HEADER: usize = 2 * F16_ROW;
    const BLOCKS: usize = 1;
    type Span<S: Simd> = ();
    type Block<S: Simd> = [S::Float; 2];

    #[inline(always)]
    unsafe fn span<S: Simd>(_: *const u8, _: usize) -> Self::Span<S> {}

    #[inline(always)]
    unsafe fn block<S: Simd>((): &(), header: *const u8, row: usize, _: usize) -> [S::Float; 2] {
        // SAFETY: as this function.
        unsafe { [S::load_f16(header.add(2 * row)), S::load_f16(header.add(F16_ROW + 2 * row))] }
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(_: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::zero_int() }
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(
        sum: S::Float,
        [scale, minimum]: [S::Float; 2],
        halves: [S::Int; 2],
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe {
            let sum = add_scaled::<S>(sum, scale, halves, record);
            S::mul_add(minimum, S::splat(record.add(SCALED_SUM)), sum)
        }
    }
}

/// The header of a span of [`SixBitScales`].
pub(super) struct SixBitSpan<S: Simd> {
    scale: S::Float,
    /// Negative, as these types subtract their minima.
    minimum: S::Float,
    values: [u8; GROUP * 16],
}

impl Scaling for SixBitScales {
    const HEADER: usize = 2 * F16_ROW + SIX_BIT_BYTES;
    const BLOCKS: usize = 8;
    type Span<S: Simd> = SixBitSpan<S>;
    type Block<S: Simd> = [S::Float; 2];

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> SixBitSpan<S> {
        // SAFETY: as this function; the packed values follow the two rows of f16.
        unsafe {
            SixBitSpan {
                scale: S::load_f16(header.add(2 * row)),
                minimum: S::negate(S::load_f16(header.add(F16_ROW + 2 * row))),
                values: unpack_six_bit_values(&*header.add(2 * F16_ROW).cast::<[u8; SIX_BIT_BYTES]>()),
            }
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(span: &SixBitSpan<S>, _: *const u8, row: usize, block: usize) -> [S::Float; 2] {
        let values = span.values.as_ptr();
        // SAFETY: as this function; `values` has sixteen rows of sixteen.
        unsafe {
            let scale = S::load_u8(values.add(block * GROUP + row));
            let minimum = S::load_u8(values.add((Self::BLOCKS + block) * GROUP + row));
            [S::mul(span.scale, scale), S::mul(span.minimum, minimum)]
        }
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(half_sum: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { WithMinimum::start::<S>(half_sum) }
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(
        sum: S::Float,
        block: [S::Float; 2],
        halves: [S::Int; 2],
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe { WithMinimum::add::<S>(sum, block, halves, record) }
    }
}

impl Scaling for SignedScales {
    const HEADER: usize = F16_ROW + 16 * GROUP;
    const BLOCKS: usize = 8;
    type Span<S: Simd> = S::Float;
    type Block<S: Simd> = [S::Float; 2];

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> S::Float {
        // SAFETY: as this function.
        unsafe { S::load_f16(header.add(2 * row)) }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(scale: &S::Float, header: *const u8, row: usize, block: usize) -> [S::Float; 2] {
        // SAFETY: as this function; the header ends with sixteen rows of signed scales.
        let half = |half: usize| unsafe {
            S::mul(*scale, S::load_i8(header.add(F16_ROW + (2 * block + half) * GROUP + row)))
        };
        [half(0), half(1)]
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(half_sum: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::splat_shifted::<5>(half_sum) }
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(
        sum: S::Float,
        scales: [S::Float; 2],
        halves: [S::Int; 2],
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe {
            let first = S::mul(S::to_float(halves[0]), scales[0]);
            let both = S::mul_add(S::to_float(halves[1]), scales[1], first);
            S::mul_add(both, S::splat(record.add(SCALE)), sum)
        }
    }
}

/// `sum + halves·(scale·s)`, `s` the scale of the activations.
///
/// # Safety
/// As for [`Simd`]; a whole record lies at `record`.
#[inline(always)]
unsafe fn add_scaled<S: Simd>(
    sum: S::Float,
    scale: S::Float,
    halves: [S::Int; 2],
    record: *const u32,
) -> S::Float {
    // SAFETY: as this function.
    unsafe {
        let scale = S::mul(scale, S::splat(record.add(SCALE)));
        S::mul_add(S::to_float(S::add_int(halves[0], halves[1])), scale, sum)
    }
}

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
    assert_eq!(records.len(), n_spans * K::BLOCKS * C * RECORD_WORDS);
    assert_eq!(out.len(), C);
    for row in (0..GROUP).step_by(S::ROWS) {
        let (mut header, mut record) = (group.as_ptr(), records.as_ptr());
        // SAFETY: the lengths above: `header` walks over whole spans, `record` over `C` records for
        // each of their blocks.
        unsafe {
            let mut sums = [S::zero(); C];
            for _ in 0..n_spans {
                let span = K::span::<S>(header, row);
                let mut planes = header.add(K::HEADER);
                for i in 0..K::BLOCKS {
                    prefetch::<S>(planes, Q::BYTES + K::HEADER / K::BLOCKS, C);
                    let w = Q::unpack::<S>(planes.add(4 * row));
                    let block = K::block::<S>(&span, header, row, i);
                    for (c, sum) in sums.iter_mut().enumerate() {
                        let record = record.add(c * RECORD_WORDS);
                        let mut halves = HALF_SUMS.map(|at| K::start::<S>(record.add(at)));
                        for j in 0..HALF {
                            halves[0] = Q::dot::<S>(halves[0], w[j], record.add(j));
                            halves[1] = Q::dot::<S>(halves[1], w[HALF + j], record.add(HALF + j));
                        }
                        *sum = K::add::<S>(*sum, block, halves, record);
                    }
                    planes = planes.add(Q::BYTES);
                    record = record.add(C * RECORD_WORDS);
                }
                header = header.add(span_bytes);
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
