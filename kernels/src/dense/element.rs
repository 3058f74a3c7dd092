//! The element types of dense weights, and rounding to them.

/// What a dense weight is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenseType {
    /// The upper half of an f32: eight bits of mantissa.
    Bf16,
    /// IEEE half precision: eleven bits of mantissa.
    F16,
}

/// The bits of an f32 that hold the exponent.
const EXPONENT: u32 = 0x7f80_0000;
/// The sign bit of an f32.
const SIGN: u32 = 0x8000_0000;
/// A quiet NaN in bf16.
const NAN: u32 = 0x7fc0;

/// The bf16 nearest to `x`, the even one of two, in the low half of the result. Subnormal numbers
/// become zero, as the processors' bf16 products take them. Branch-free, so that it vectorises.
#[inline(always)]
pub(super) fn to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1))) >> 16;
    let kept = if bits & EXPONENT == 0 { (bits & SIGN) >> 16 } else { rounded };
    if bits & !SIGN > EXPONENT { NAN } else { kept }
}

/// `x` rounded to bf16, as f32.
#[inline(always)]
pub(super) fn round_to_bf16(x: f32) -> f32 {
    f32::from_bits(to_bf16(x) << 16)
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_to_the_nearest_and_flushes_what_is_subnormal(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            let rounded = round_to_bf16(x);
            if x.is_nan() {
                prop_assert!(rounded.is_nan());
            } else if x.is_subnormal() {
                prop_assert_eq!(rounded.to_bits(), (0f32).copysign(x).to_bits());
            } else {
                prop_assert_eq!(rounded.to_bits(), bf16::from_f32(x).to_f32().to_bits());
            }
        }
    }
}
