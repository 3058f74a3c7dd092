//! The weights of a super-block as bytes of one step.
//!
//! Q4_K, Q5_K and Q6_K have a scale for each block of 32 or 16, and a product that follows them spends
//! a fifth of its time on scales. So the weights are brought to one step for all 256 of them when they
//! are unpacked, as bytes: `w ≈ step·(⌊q·factor/256⌋ + offset − 128)`, with `q` the weight's own bits
//! and a factor and an offset for each block. The step is as small as the scales allow. The error
//! is at most 1.2 steps and usually below half of one, an eighth of what four bits have already cost.

use half::f16;

use super::{BLOCK, SUPER_BLOCK};

/// The byte of a zero weight.
pub(crate) const ZERO: u8 = 128;
/// The largest magnitude in steps; the bytes' other values are for what rounding adds.
const LARGEST: f32 = 126.0;

/// What the blocks of a super-block of one row have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// The step.
    pub(super) step: f16,
    /// What a block's scale times a power of two is multiplied with.
    pub(super) common: i16,
    inverse: f32,
}

impl Steps {
    /// Where no weight's magnitude is above `largest`, scales are multiples of `scale`, and `common` has
    /// the factor of a scale of 1 in units of `2⁻ᵇⁱᵗˢ`.
    fn new(scale: f32, largest: f32, bits: i32) -> Self {
        let step = at_least(largest / LARGEST);
        let inverse = if step > f16::ZERO { 1.0 / step.to_f32() } else { 0.0 };
        let common = (scale * inverse * 256.0 * 2f32.powi(bits)).round() as i16;
        Self { step, common, inverse }
    }
}

/// The f16 nearest to `value` that is not below it.
fn at_least(value: f32) -> f16 {
    let near = f16::from_f32(value);
    if near.to_f32() < value { f16::from_bits(near.to_bits() + 1) } else { near }
}

/// How often `scale` can be doubled and stay at most `most`.
fn doublings(scale: u8, most: u8) -> i32 {
    (most / scale.max(1)).checked_ilog2().unwrap_or(0).cast_signed()
}

/// The factor of a block: `⌊scale·common/2⁷⌋`.
pub(super) fn factor_of_six_bits(scale: u8, common: i16) -> i16 {
    ((i32::from(scale) * i32::from(common)) >> 7) as i16
}

/// The factor of half a block: `⌊scale·common/2⁸⌋`.
pub(super) fn factor_of_signed(scale: i8, common: i16) -> i16 {
    ((i32::from(scale) * i32::from(common)) >> 8) as i16
}

/// `⌊q·factor/256⌋ + offset`, its lowest eight bits.
pub(super) fn byte(q: u8, factor: i16, offset: u8) -> u8 {
    (((i32::from(q) * i32::from(factor)) >> 8) as u8).wrapping_add(offset)
}

/// The offset of half a block whose `q` stands for `q − 32`: one of 32 becomes zero.
pub(super) fn offset_of_signed(factor: i16) -> u8 {
    ZERO.wrapping_sub(byte(32, factor, 0))
}

/// Scales of 6 bits and minima: `w = scale·scales[block]·q − minimum·minima[block]`.
pub(super) struct SixBits {
    pub(super) steps: Steps,
    /// Doubled together until the largest has all of its bits.
    pub(super) scales: [u8; 8],
    /// Such that the bytes of a block are right on average: an error that all had in common would add up.
    pub(super) offsets: [u8; 8],
}

impl SixBits {
    /// `values` are scales and minima, `quants` the weights' own bits, up to `most`.
    pub(super) fn new(
        [scale, minimum]: [f32; 2],
        values: [u8; 16],
        quants: &[u8; SUPER_BLOCK],
        most: u8,
    ) -> Self {
        let (scales, minima) = values.split_at(8);
        let lowest = |block: usize| -minimum * f32::from(minima[block]);
        let highest = |block: usize| lowest(block) + scale * f32::from(scales[block]) * f32::from(most);
        let mut largest = (0..8).fold(0f32, |m, b| m.max(lowest(b).abs()).max(highest(b).abs()));
        if !(scale.is_finite() && minimum.is_finite()) {
            largest = f32::NAN;
        }
        let shift = doublings(scales.iter().copied().max().unwrap_or(0), 63);
        let steps = Steps::new(scale, largest, 7 - shift);
        let quants = quants.as_chunks::<BLOCK>().0;
        let offsets = std::array::from_fn(|b| {
            let factor = factor_of_six_bits(scales[b] << shift, steps.common);
            let [sum, scaled] = sums(&quants[b], factor);
            let exact =
                steps.inverse * (lowest(b) + scale * f32::from(scales[b]) * (sum as f32 / BLOCK as f32));
            (exact - scaled as f32 / BLOCK as f32 + f32::from(ZERO) + 0.5) as u8
        });
        Self { steps, scales: std::array::from_fn(|b| scales[b] << shift), offsets }
    }
}

/// `Σ q` and `Σ ⌊q·factor/256⌋` over a block; in sixteen bits, which hold them and are quick.
fn sums(quants: &[u8; BLOCK], factor: i16) -> [i32; 2] {
    let magnitude = factor.unsigned_abs();
    let up = if factor < 0 { 255 } else { 0 };
    let (mut sum, mut scaled) = (0u16, 0u16);
    for q in quants {
        sum += u16::from(*q);
        scaled += u16::from(*q).wrapping_mul(magnitude).wrapping_add(up) >> 8;
    }
    [i32::from(sum), if factor < 0 { -i32::from(scaled) } else { i32::from(scaled) }]
}

/// Signed scales of halves of blocks: `w = scale·scales[half]·(q − 32)`.
pub(super) struct Signed {
    pub(super) steps: Steps,
    /// Doubled together until the largest has all of its bits.
    pub(super) scales: [i8; 16],
}

impl Signed {
    pub(super) fn new(scale: f32, scales: [i8; 16]) -> Self {
        let most = scales.iter().map(|scale| scale.unsigned_abs()).max().unwrap_or(0);
        let largest = if scale.is_finite() { scale.abs() * f32::from(most) * 32.0 } else { f32::NAN };
        let shift = doublings(most, 127);
        let steps = Steps::new(scale, largest, 8 - shift);
        Self { steps, scales: scales.map(|scale| scale << shift) }
    }
}
