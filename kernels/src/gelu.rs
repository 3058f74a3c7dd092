//! The activation function of BERT.

use crate::{cpu::vectorised, pool, vector::exp};

/// Values that a task takes: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 16 << 10;

/// `x = x·Φ(x)` for each element, with `Φ` the normal distribution function: GELU as BERT has it
/// (Hendrycks and Gimpel 2016, "Gaussian Error Linear Units"). Off by less than 10⁻⁶.
pub fn gelu(x: &mut [f32]) {
    pool::global().run_chunks(x, VALUES_PER_TASK, &|_, x| gelu_values(x));
}

vectorised! {
    fn gelu_values(x: &mut [f32]) = gelu_values_plain;
}

#[inline(always)]
fn gelu_values_plain(x: &mut [f32]) {
    for x in x {
        *x = gelu_plain(*x);
    }
}

/// The weight of `|x|` in [`TAIL`]'s variable, `p / √2`.
const TAIL_SLOPE: f32 = 0.3275911 * std::f32::consts::FRAC_1_SQRT_2;
/// Half the coefficients of the approximation of `erf`, the highest power first.
const TAIL: [f32; 5] =
    [0.5 * 1.061_405_4, 0.5 * -1.453_152, 0.5 * 1.421_413_7, 0.5 * -0.284_496_74, 0.5 * 0.254_829_6];

/// GELU of one value: `max(x, 0) − |x|·Q(|x|)`, where `Q(x) = 1 − Φ(x)` is
/// `½·(a₁t + … + a₅t⁵)·e^(−x²/2)` with `t = 1 / (1 + p·x/√2)`: equation 7.1.26 of Abramowitz and
/// Stegun 1964, "Handbook of Mathematical Functions", there for `erf` with an error below 1.5·10⁻⁷.
#[inline(always)]
pub(crate) fn gelu_plain(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / TAIL_SLOPE.mul_add(size, 1.0);
    let series = TAIL.iter().fold(0.0, |sum: f32, a| sum.mul_add(t, *a)) * t;
    let tail = series * exp(-0.5 * x * x);
    (-size).mul_add(tail, x.max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `Φ(x)`, by the series `½ + φ(x)·Σ x^(2k+1) / (1·3·…·(2k+1))`, and its mirror image; φ is the
    /// normal density.
    fn normal_distribution(x: f64) -> f64 {
        if x < 0.0 {
            return 1.0 - normal_distribution(-x);
        }
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (mut term, mut sum) = (x, 0.0);
        for k in 1..400 {
            sum += term;
            term *= x * x / f64::from(2 * k + 1);
        }
        0.5 + density * sum
    }

    fn gelu_of(x: f32) -> f32 {
        let mut x = [x];
        gelu(&mut x);
        x[0]
    }

    proptest! {
        #[test]
        fn gelu_is_off_by_less_than_a_millionth(x in prop_oneof![-12f32..12.0, -1f32..1.0]) {
            let want = f64::from(x) * normal_distribution(f64::from(x));
            // Beyond 10⁻⁶, an f32 of this size cannot tell more.
            let rounding = f64::from(f32::EPSILON) * want.abs();
            prop_assert!((f64::from(gelu_of(x)) - want).abs() < 1e-6 + rounding, "{} not {want}", gelu_of(x));
        }
    }

    #[test]
    fn gelu_of_large_values() {
        assert_eq!((gelu_of(100.0), gelu_of(0.0)), (100.0, 0.0));
        assert!(gelu_of(-100.0).abs() < 1e-30 && gelu_of(f32::NAN).is_nan());
    }

    #[test]
    fn long_slices_are_cut_into_tasks_without_gaps() {
        let x: Vec<f32> =
            (0..5 * VALUES_PER_TASK / 2).map(|i| (i * 7919 % 1001) as f32 / 100.0 - 5.0).collect();
        let mut whole = x.clone();
        gelu(&mut whole);
        for (x, y) in x.iter().zip(&whole) {
            assert_eq!(gelu_of(*x).to_bits(), y.to_bits());
        }
    }
}
