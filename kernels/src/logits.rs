//! What sampling asks of a row of logits.

use crate::{cpu::vectorised, vector::exp};

/// Values summed in f32 before the sum goes on in f64.
const STRETCH: usize = 1024;
/// Sums that run side by side.
const LANES: usize = 16;

/// `ln Σ eˣ`, given the largest of `values`; −∞ where there are none. The order of the sum is fixed by
/// the length alone.
pub fn log_sum_exp(values: &[f32], largest: f32) -> f64 {
    let mut sum = 0.0;
    sum_exp(values, largest, &mut sum);
    f64::from(largest) + sum.ln()
}

vectorised! {
    fn sum_exp(values: &[f32], largest: f32, sum: &mut f64) = sum_exp_plain;
}

#[inline(always)]
fn sum_exp_plain(values: &[f32], largest: f32, sum: &mut f64) {
    for stretch in values.chunks(STRETCH) {
        let mut sums = [0f32; LANES];
        let lanes = stretch.chunks_exact(LANES);
        let rest: f32 = lanes.remainder().iter().map(|x| exp(x - largest)).sum();
        for x in lanes {
            for lane in 0..LANES {
                sums[lane] += exp(x[lane] - largest);
            }
        }
        *sum += f64::from(sums.iter().sum::<f32>() + rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(values in proptest::collection::vec(-40f32..40.0, 1..5000)) {
            let largest = values.iter().copied().fold(f32::MIN, f32::max);
            let exact = values.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
            prop_assert!((log_sum_exp(&values, largest) - exact).abs() < 1e-5);
        }
    }

    #[test]
    fn what_cannot_come_adds_nothing() {
        assert_eq!(log_sum_exp(&[1.0, f32::NEG_INFINITY], 1.0), 1.0);
        assert_eq!(log_sum_exp(&[], 0.0), f64::NEG_INFINITY);
    }
}
