//! How scales and minima lie, and how they enter the sums.

use crate::quant::{
    GROUP,
    record::{block, super_block},
    tile::{F16_ROW, SIX_BIT_BYTES, unpack_six_bit_values},
};
use crate::simd::Simd;

/// The scales and minima of a type. What is multiplied within a span of weights is summed up in
/// integers, which are exact; only the sum over the spans is one of floats.
pub(super) trait Scaling {
    /// Bytes of the header of a span.
    const HEADER: usize;
    /// Blocks of 32 in a span.
    const BLOCKS: usize;
    /// Words of a record of activations, which is as long as a span.
    const RECORD_WORDS: usize;
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
    /// Where the sums of `w·x` over the halves of a block start.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole record lies at `record`.
    unsafe fn start<S: Simd>(record: *const u32, block: usize) -> [S::Int; 2];
    /// `sum` with the sums of the halves of a block added, each times its integer scale if it has one.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn add<S: Simd>(sum: S::Int, halves: [S::Int; 2], block: Self::Block<S>) -> S::Int;
    /// `sum` with a span added, of which `products` is the sum of its blocks.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole record lies at `record`.
    unsafe fn finish<S: Simd>(
        sum: S::Float,
        products: S::Int,
        span: &Self::Span<S>,
        record: *const u32,
    ) -> S::Float;
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
    const RECORD_WORDS: usize = block::WORDS;
    type Span<S: Simd> = S::Float;
    type Block<S: Simd> = ();

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> S::Float {
        // SAFETY: as this function.
        unsafe { S::load_f16(header.add(2 * row)) }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(_: &S::Float, _: *const u8, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn start<S: Simd>(record: *const u32, _: usize) -> [S::Int; 2] {
        // SAFETY: as this function.
        [0, 1].map(|half| unsafe { S::splat_shifted::<Z>(record.add(block::NEGATED_HALF_SUMS + half)) })
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(sum: S::Int, halves: [S::Int; 2], (): ()) -> S::Int {
        // SAFETY: as this function.
        unsafe { add_halves::<S>(sum, halves) }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(
        sum: S::Float,
        products: S::Int,
        scale: &S::Float,
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe { add_scaled::<S>(sum, products, *scale, record) }
    }
}

impl Scaling for WithMinimum {
    const HEADER: usize = 2 * F16_ROW;
    const BLOCKS: usize = 1;
    const RECORD_WORDS: usize = block::WORDS;
    type Span<S: Simd> = [S::Float; 2];
    type Block<S: Simd> = ();

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> [S::Float; 2] {
        // SAFETY: as this function.
        unsafe { [S::load_f16(header.add(2 * row)), S::load_f16(header.add(F16_ROW + 2 * row))] }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(_: &[S::Float; 2], _: *const u8, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn start<S: Simd>(_: *const u32, _: usize) -> [S::Int; 2] {
        // SAFETY: as this function.
        unsafe { [S::zero_int(); 2] }
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(sum: S::Int, halves: [S::Int; 2], (): ()) -> S::Int {
        // SAFETY: as this function.
        unsafe { add_halves::<S>(sum, halves) }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(
        sum: S::Float,
        products: S::Int,
        [scale, minimum]: &[S::Float; 2],
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe {
            let sum = add_scaled::<S>(sum, products, *scale, record);
            S::mul_add(*minimum, S::splat(record.add(block::SCALED_SUM)), sum)
        }
    }
}

/// `sum + halves[0] + halves[1]`.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn add_halves<S: Simd>(sum: S::Int, halves: [S::Int; 2]) -> S::Int {
    // SAFETY: as this function.
    unsafe { S::add_int(sum, S::add_int(halves[0], halves[1])) }
}

/// `sum + products·(scale·s)`, `s` the scale of the activations.
///
/// # Safety
/// As for [`Simd`]; a whole record of a block lies at `record`.
#[inline(always)]
unsafe fn add_scaled<S: Simd>(
    sum: S::Float,
    products: S::Int,
    scale: S::Float,
    record: *const u32,
) -> S::Float {
    // SAFETY: as this function.
    unsafe {
        let scale = S::mul(scale, S::splat(record.add(block::SCALE)));
        S::mul_add(S::to_float(products), scale, sum)
    }
}

/// The header of a span of [`SixBitScales`].
pub(super) struct SixBitSpan<S: Simd> {
    scale: S::Float,
    /// Negative, as these types subtract their minima.
    minimum: S::Float,
    /// The minima of two neighbouring blocks in the halves of a lane.
    minima: [S::Int; 4],
    values: [u8; 16 * GROUP],
}

impl Scaling for SixBitScales {
    const HEADER: usize = 2 * F16_ROW + SIX_BIT_BYTES;
    const BLOCKS: usize = 8;
    const RECORD_WORDS: usize = super_block::WORDS;
    type Span<S: Simd> = SixBitSpan<S>;
    type Block<S: Simd> = S::Int;

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> SixBitSpan<S> {
        // SAFETY: as this function; the packed values follow the two rows of f16, and the upper half of
        // them are the minima, a pair for each row.
        unsafe {
            let values = unpack_six_bit_values(&*header.add(2 * F16_ROW).cast::<[u8; SIX_BIT_BYTES]>());
            let minima = values.as_ptr().add(Self::BLOCKS * GROUP + 2 * row);
            SixBitSpan {
                scale: S::load_f16(header.add(2 * row)),
                minimum: S::negate(S::load_f16(header.add(F16_ROW + 2 * row))),
                minima: [0, 1, 2, 3].map(|pair| S::load_u8_pairs(minima.add(pair * 2 * GROUP))),
                values,
            }
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(span: &SixBitSpan<S>, _: *const u8, row: usize, block: usize) -> S::Int {
        // SAFETY: as this function; the lower half of the values are the scales.
        unsafe { S::load_u8_twice(span.values.as_ptr().add(block * GROUP + row)) }
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(_: *const u32, _: usize) -> [S::Int; 2] {
        // SAFETY: as this function.
        unsafe { [S::zero_int(); 2] }
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(sum: S::Int, halves: [S::Int; 2], scales: S::Int) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::dot_pairs(sum, S::pair(halves), scales) }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(
        sum: S::Float,
        products: S::Int,
        span: &SixBitSpan<S>,
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe {
            let mut minima = S::zero_int();
            for (i, pair) in span.minima.into_iter().enumerate() {
                minima = S::dot_pairs(minima, pair, S::splat_int(record.add(super_block::BLOCK_SUMS + i)));
            }
            let products = S::mul(S::to_float(products), span.scale);
            let both = S::mul_add(S::to_float(minima), span.minimum, products);
            S::mul_add(both, S::splat(record.add(super_block::SCALE)), sum)
        }
    }
}

impl Scaling for SignedScales {
    const HEADER: usize = F16_ROW + 16 * GROUP;
    const BLOCKS: usize = 8;
    const RECORD_WORDS: usize = super_block::WORDS;
    type Span<S: Simd> = S::Float;
    type Block<S: Simd> = S::Int;

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> S::Float {
        // SAFETY: as this function.
        unsafe { S::load_f16(header.add(2 * row)) }
    }

    #[inline(always)]
    unsafe fn block<S: Simd>(_: &S::Float, header: *const u8, row: usize, block: usize) -> S::Int {
        // SAFETY: as this function; the header ends with eight times sixteen pairs of scales.
        unsafe { S::load_i8_pairs(header.add(F16_ROW + 2 * (block * GROUP + row))) }
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(record: *const u32, block: usize) -> [S::Int; 2] {
        // SAFETY: as this function.
        [0, 1].map(|half| unsafe { S::splat_int(record.add(super_block::ZEROS + 2 * block + half)) })
    }

    #[inline(always)]
    unsafe fn add<S: Simd>(sum: S::Int, halves: [S::Int; 2], scales: S::Int) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::dot_pairs(sum, S::pair(halves), scales) }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(
        sum: S::Float,
        products: S::Int,
        scale: &S::Float,
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe {
            let products = S::mul(S::to_float(products), *scale);
            S::mul_add(products, S::splat(record.add(super_block::SCALE)), sum)
        }
    }
}
