//! How the scales and minima of a block of 32 lie, and how they enter the sums.

use crate::quant::{record::block, tile::F16_ROW};
use crate::simd::Simd;

/// The `z` of a zero point of 128, which is that of biased bytes.
const BIASED: i32 = 7;

/// The scales and minima of a type.
pub(super) trait Scaling {
    /// Bytes of the header of a span.
    const HEADER: usize;
    /// What is read once for a span.
    type Span<S: Simd>;

    /// # Safety
    /// As for [`Simd`]; a whole header lies at `header`. `row` is a multiple of `S::ROWS` below 16.
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> Self::Span<S>;
    /// Where the sum of `w·x` over the block starts.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole record lies at `record`.
    #[inline(always)]
    unsafe fn start<S: Simd>(_record: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe { S::zero_int() }
    }
    /// `sum` with a span added, of which `products` is the sum of `w·x`.
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

/// A scale, and a zero point of 2ᶻ: Q4_0, Q5_0, and Q8_0, whose bytes are biased ones.
pub(super) struct Centred<const Z: i32>;
/// A scale and a minimum: Q4_1, Q5_1.
pub(super) struct WithMinimum;

/// The scale of the sixteen rows.
///
/// # Safety
/// As [`Scaling::span`].
#[inline(always)]
unsafe fn load_scale<S: Simd>(header: *const u8, row: usize) -> S::Float {
    // SAFETY: as this function.
    unsafe { S::load_f16(header.add(2 * row)) }
}

/// `sum + products·(scale·s)`, `s` the scale of the activations.
///
/// # Safety
/// As for [`Simd`]; the scale of a record lies at `record_scale`.
#[inline(always)]
pub(super) unsafe fn add_scaled<S: Simd>(
    sum: S::Float,
    products: S::Int,
    scale: S::Float,
    record_scale: *const u32,
) -> S::Float {
    // SAFETY: as this function.
    unsafe {
        let scale = S::mul(scale, S::splat(record_scale));
        S::mul_add(S::to_float(products), scale, sum)
    }
}

impl<const Z: i32> Scaling for Centred<Z> {
    const HEADER: usize = F16_ROW;
    type Span<S: Simd> = S::Float;

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> S::Float {
        // SAFETY: as this function.
        unsafe { load_scale::<S>(header, row) }
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(record: *const u32) -> S::Int {
        // SAFETY: as this function.
        unsafe {
            match Z {
                BIASED => S::start_biased(record.add(block::START)),
                _ => S::splat_shifted::<Z>(record.add(block::NEGATED_SUM)),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(
        sum: S::Float,
        products: S::Int,
        scale: &S::Float,
        record: *const u32,
    ) -> S::Float {
        // SAFETY: as this function.
        unsafe { add_scaled::<S>(sum, products, *scale, record.add(block::SCALE)) }
    }
}

impl Scaling for WithMinimum {
    const HEADER: usize = 2 * F16_ROW;
    type Span<S: Simd> = [S::Float; 2];

    #[inline(always)]
    unsafe fn span<S: Simd>(header: *const u8, row: usize) -> [S::Float; 2] {
        // SAFETY: as this function.
        unsafe { [load_scale::<S>(header, row), load_scale::<S>(header.add(F16_ROW), row)] }
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
            let sum = add_scaled::<S>(sum, products, *scale, record.add(block::SCALE));
            S::mul_add(*minimum, S::splat(record.add(block::SCALED_SUM)), sum)
        }
    }
}
