//! Dot products and scaled sums over short vectors, in an order fixed by the length alone.

use half::{bf16, vec::HalfBitsVecExt};

/// Independent partial sums of a dot product: enough to fill the widest vector registers, and few
/// enough that head sizes of 64 and up need no tail.
const LANES: usize = 16;

mod sealed {
    /// Keeps [`KvElement`](super::KvElement) to the types that the kernels can load.
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

/// What a KV cache may hold: f32 or bf16, and nothing else.
pub trait KvElement: sealed::Sealed + Copy + Send + Sync {
    /// The value as f32, exactly.
    fn to_f32(self) -> f32;
    /// The nearest value, of two equally near ones the even. A NaN stays one.
    fn from_f32(x: f32) -> Self;
    /// So many zeros, as the system hands them out: without touching them.
    fn zeros(n: usize) -> Vec<Self>;
}

impl KvElement for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }

    fn zeros(n: usize) -> Vec<Self> {
        vec![0.0; n]
    }
}

impl KvElement for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        // Two integer operations that vectorise; `bf16::to_f32` branches on NaN.
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        // As `bf16::from_f32`, without branches, so that it vectorises.
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet_nan = bits >> 16 | 0x40;
        Self::from_bits(if x.is_nan() { quiet_nan } else { rounded } as u16)
    }

    fn zeros(n: usize) -> Vec<Self> {
        vec![0u16; n].reinterpret_into()
    }
}

/// `Σ a[i]·b[i]`.
#[inline(always)]
pub(crate) fn dot<T: KvElement>(a: &[f32], b: &[T]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y.to_f32()).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] = x[lane].mul_add(y[lane].to_f32(), sums[lane]);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + tail
}

/// Bounds within which [`exp`] computes: what is below counts as the lower, what is above as the upper.
const EXP_BOUNDS: [f32; 2] = [-87.0, 88.0];
/// ln 2 in two parts: the first has few enough bits that products with small integers are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// 1.5·2²³: adding it rounds a small float to the nearest integer, ties to even, and leaves that integer
/// in the low bits.
pub(crate) const ROUNDER: f32 = 12_582_912.0;
/// 1/n! from n = 7 down to 0.
const INVERSE_FACTORIALS: [f32; 8] =
    [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// `eˣ` to within two units in the last place, in operations that vectorise: `eˣ = 2ⁿ·eʳ` with
/// `|r| ≤ ln 2 / 2`, and a Taylor series for `eʳ`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(EXP_BOUNDS[0], EXP_BOUNDS[1]);
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let [first, others @ ..] = INVERSE_FACTORIALS;
    let series = others.iter().fold(first, |sum: f32, c| sum.mul_add(r, *c));
    // The low bits of `rounded` are n; they become the exponent.
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    series * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exp_is_exact_to_two_units(x in -87f32..88.0) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= exact * f64::from(f32::EPSILON));
        }
    }

    #[test]
    fn exp_at_its_bounds() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!((exp(f32::NEG_INFINITY), exp(-1e9)), (exp(-87.0), exp(-87.0)));
        assert!(exp(-87.0) < 2e-38 && exp(f32::INFINITY) > 1e38 && exp(f32::INFINITY).is_finite());
        assert!(exp(f32::NAN).is_nan());
    }
}
