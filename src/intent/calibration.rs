//! Calibrates confidences: of the answers with a confidence of 0.9, nine in ten are right.
//!
//! Temperature scaling and the expected calibration error follow Guo et al., "On Calibration of
//! Modern Neural Networks" (2017).

use super::softmax::softmax;

/// Equal-width bins of confidence in [`expected_calibration_error`].
const N_BINS: usize = 15;

/// Range of the temperatures; a fit at the border means that the head has learnt nothing.
const TEMPERATURES: std::ops::Range<f32> = 0.05..20.0;

/// The temperature that maximises the likelihood of `truths`.
///
/// `logits` is `[n][n_labels]` from models that have not seen these examples; `truths` holds the
/// index of each one's label.
pub(super) fn fit_temperature(logits: &[Vec<f32>], truths: &[usize]) -> f32 {
    let loss = |log_temperature: f32| mean_log_loss(logits, truths, log_temperature.exp());
    minimize_unimodal(loss, TEMPERATURES.start.ln(), TEMPERATURES.end.ln()).exp()
}

/// The mean of −ln p(truth).
fn mean_log_loss(logits: &[Vec<f32>], truths: &[usize], temperature: f32) -> f64 {
    let total: f64 = logits
        .iter()
        .zip(truths)
        .map(|(logits, &truth)| {
            let p = softmax(logits, temperature)[truth];
            -f64::from(p.max(f32::MIN_POSITIVE)).ln()
        })
        .sum();
    total / logits.len().max(1) as f64
}

/// Golden-section search for the minimum of `f` between `low` and `high`.
fn minimize_unimodal(f: impl Fn(f32) -> f64, mut low: f32, mut high: f32) -> f32 {
    const TOLERANCE: f32 = 1e-3;
    let golden = (5f32.sqrt() - 1.0) / 2.0;
    let mut left = high - golden * (high - low);
    let mut right = low + golden * (high - low);
    let (mut f_left, mut f_right) = (f(left), f(right));
    while high - low > TOLERANCE {
        if f_left < f_right {
            (high, right, f_right) = (right, left, f_left);
            left = high - golden * (high - low);
            f_left = f(left);
        } else {
            (low, left, f_left) = (left, right, f_right);
            right = low + golden * (high - low);
            f_right = f(right);
        }
    }
    f32::midpoint(low, high)
}

/// The mean distance between confidence and accuracy, over bins of confidence weighted by their size.
///
/// Each outcome is the confidence of an answer, 0 to 1, and whether it was right.
pub(super) fn expected_calibration_error(outcomes: &[(f32, bool)]) -> f64 {
    let mut bins = [(0.0, 0.0); N_BINS];
    for &(confidence, is_right) in outcomes {
        let bin = ((confidence * N_BINS as f32) as usize).min(N_BINS - 1);
        bins[bin].0 += f64::from(confidence);
        bins[bin].1 += f64::from(u8::from(is_right));
    }
    // |Σ confidence − Σ right| of a bin is already its size times the distance of its means.
    let total: f64 = bins.iter().map(|(confidence, right): &(f64, f64)| (confidence - right).abs()).sum();
    total / outcomes.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two labels; the first is true in three of four cases, whatever its logit says.
    fn three_of_four(logit: f32) -> (Vec<Vec<f32>>, Vec<usize>) {
        (vec![vec![logit, 0.0]; 400], (0..400).map(|i| usize::from(i % 4 == 0)).collect())
    }

    #[test]
    fn the_fitted_temperature_makes_confidence_equal_accuracy() {
        // p = 3/4 needs a logit of ln 3, so the temperature has to bring each logit there.
        for logit in [0.5, 1.0, 8.0] {
            let (logits, truths) = three_of_four(logit);
            let confidence = softmax(&logits[0], fit_temperature(&logits, &truths))[0];
            assert!((confidence - 0.75).abs() < 0.01, "logit {logit}: {confidence}");
        }
    }

    #[test]
    fn overconfidence_is_the_calibration_error() {
        let outcomes: Vec<_> = (0..100).map(|i| (0.9, i < 60)).collect();
        assert!((expected_calibration_error(&outcomes) - 0.3).abs() < 1e-6);
    }

    #[test]
    fn opposite_errors_in_different_bins_do_not_cancel() {
        let too_sure = (0..50).map(|i| (0.95, i < 25));
        let too_shy = (0..50).map(|i| (0.05, i < 25));
        let outcomes: Vec<_> = too_sure.chain(too_shy).collect();
        assert!((expected_calibration_error(&outcomes) - 0.45).abs() < 1e-6);
    }

    #[test]
    fn no_outcome_is_no_error() {
        assert!(expected_calibration_error(&[]).abs() < f64::EPSILON);
    }
}
