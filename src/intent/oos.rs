//! Out-of-scope detection: whether a message is about something that the store's support does not handle.
//!
//! The score is computed from the logits alone. A label for out-of-scope messages, trained on examples,
//! recognises best the topics that it has seen; a low best logit among the other labels also detects
//! topics without examples, such as a question about something the store does not do. (Softmax confidence
//! hides it: some label is always the likeliest. See Hendrycks et al., "Scaling Out-of-Distribution
//! Detection for Real-World Settings", 2022, for the largest logit.)

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use super::lbfgs::{Objective, minimize};

/// The label of out-of-scope examples. A head may lack it.
pub const OUT_OF_SCOPE: &str = "oos";

/// Weight of the best other logit, where that of [`OUT_OF_SCOPE`] has 1.
///
/// 1 is best for held-out topics far from the store; higher values detect more in-domain questions that no
/// label covers. This value costs the former next to nothing.
const BEST_LOGIT_WEIGHT: f32 = 1.5;

/// Share of in-scope examples that get a probability below 1/2 if no example is out of scope.
const IN_SCOPE_SHARE: f64 = 0.95;

/// Most steps of the fit; two numbers need few.
const MAX_STEPS: usize = 100;

/// The uncalibrated score of the logits `[n_labels]`; `oos` is the index of [`OUT_OF_SCOPE`], if any.
pub(super) fn strangeness(logits: &[f32], oos: Option<usize>) -> f32 {
    let best = logits
        .iter()
        .enumerate()
        .filter(|(i, _)| Some(*i) != oos)
        .fold(f32::NEG_INFINITY, |best, (_, logit)| best.max(*logit));
    oos.map_or(0.0, |i| logits[i]) - BEST_LOGIT_WEIGHT * best
}

/// Converts strangeness to a probability: σ(slope · strangeness + offset).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Scale {
    pub(super) slope: f32,
    pub(super) offset: f32,
}

impl Scale {
    /// Fits the scale to held-out examples: each one's strangeness, and whether it is out of scope.
    ///
    /// If none is, a probability of 1/2 means "stranger than 95 % of the in-scope examples".
    pub(super) fn fit(outcomes: &[(f32, bool)]) -> Self {
        let n_out = outcomes.iter().filter(|(_, is_out)| *is_out).count();
        if n_out == 0 {
            let mut sorted: Vec<f32> = outcomes.iter().map(|(strangeness, _)| *strangeness).collect();
            sorted.sort_by(f32::total_cmp);
            let i = (IN_SCOPE_SHARE * sorted.len() as f64) as usize;
            return Self { slope: 1.0, offset: -sorted.get(i).copied().unwrap_or(0.0) };
        }
        let likelihood = Likelihood { outcomes, n_out: n_out as f64 };
        let Ok(point) = minimize(&likelihood, vec![0.0; 2], MAX_STEPS);
        Self { slope: point[0] as f32, offset: point[1] as f32 }
    }

    pub(super) fn probability(self, strangeness: f32) -> f32 {
        1.0 / (1.0 + (-(self.slope * strangeness + self.offset)).exp())
    }
}

/// The mean of −ln p over slope and offset, with the softened targets of Platt, "Probabilistic
/// Outputs for Support Vector Machines" (1999), without which separable examples have no minimum.
struct Likelihood<'a> {
    outcomes: &'a [(f32, bool)],
    n_out: f64,
}

impl Objective for Likelihood<'_> {
    type Error = Infallible;

    fn value(&self, point: &[f64], gradient: &mut [f64]) -> Result<f64, Infallible> {
        let n = self.outcomes.len() as f64;
        let target_out = (self.n_out + 1.0) / (self.n_out + 2.0);
        let target_in = 1.0 / (n - self.n_out + 2.0);
        let mut loss = 0.0;
        gradient.fill(0.0);
        for &(strangeness, is_out) in self.outcomes {
            let x = f64::from(strangeness);
            let target = if is_out { target_out } else { target_in };
            let z = point[0] * x + point[1];
            // ln(1 + eᶻ) without overflow.
            loss += z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z;
            let error = 1.0 / (1.0 + (-z).exp()) - target;
            gradient[0] += error * x / n;
            gradient[1] += error / n;
        }
        Ok(loss / n)
    }
}

/// How well out-of-scope examples are separated from the others.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutOfScopeReport {
    /// Number of examples with the label [`OUT_OF_SCOPE`].
    pub n_examples: usize,
    /// Area under the ROC curve: how often one of them scores above one that is in scope.
    pub auroc: f64,
    /// Share of in-scope examples at or above `threshold`: false alarms.
    pub fpr_at_95_tpr: f64,
    /// The highest score at which 95 % of the out-of-scope examples are found.
    pub threshold: f32,
}

impl OutOfScopeReport {
    /// Measures the scores of examples, each with whether it is out of scope; `None` unless there are both
    /// kinds.
    pub(super) fn of(outcomes: &[(f32, bool)]) -> Option<Self> {
        let scores_of = |kind: bool| {
            let mut scores: Vec<f32> = outcomes.iter().filter(|o| o.1 == kind).map(|o| o.0).collect();
            scores.sort_by(f32::total_cmp);
            scores
        };
        let (out, within) = (scores_of(true), scores_of(false));
        if within.is_empty() {
            return None;
        }
        // 95 % of n, rounded up, have to lie at or above the threshold.
        let threshold = *out.get(out.len() - (19 * out.len()).div_ceil(20))?;
        let n_alarms = within.len() - within.partition_point(|score| *score < threshold);
        Some(Self {
            n_examples: out.len(),
            auroc: auroc(&out, &within),
            fpr_at_95_tpr: n_alarms as f64 / within.len() as f64,
            threshold,
        })
    }
}

/// The share of pairs in which the score that is `out` is higher; equal ones count half. `within` is sorted.
fn auroc(out: &[f32], within: &[f32]) -> f64 {
    let n_won: f64 = out
        .iter()
        .map(|score| {
            let n_below = within.partition_point(|other| other < score);
            let n_not_above = within.partition_point(|other| other <= score);
            (n_below + n_not_above) as f64 / 2.0
        })
        .sum();
    n_won / (out.len() * within.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_logits_and_a_strong_one_for_out_of_scope_are_strange() {
        let sure = strangeness(&[5.0, -1.0, -2.0], Some(2));
        let weak = strangeness(&[0.2, -0.1, -0.1], Some(2));
        let foreign = strangeness(&[-1.0, -1.0, 4.0], Some(2));
        assert!(sure < weak && weak < foreign);
        assert!(strangeness(&[5.0, -1.0], None) < strangeness(&[0.1, 0.0], None));
    }

    #[test]
    fn the_scale_gives_the_share_of_out_of_scope_examples() {
        // At 0 one of four is out of scope, at 2 three of four.
        let at = |x: f32, n_out: usize| (0..400).map(move |i| (x, i < n_out));
        let outcomes: Vec<_> = at(0.0, 100).chain(at(2.0, 300)).collect();
        let scale = Scale::fit(&outcomes);
        assert!((scale.probability(0.0) - 0.25).abs() < 0.01, "{scale:?}");
        assert!((scale.probability(2.0) - 0.75).abs() < 0.01, "{scale:?}");
    }

    #[test]
    fn without_out_of_scope_examples_the_strangest_twentieth_passes_one_half() {
        let outcomes: Vec<_> = (0..100).map(|i| (i as f32, false)).collect();
        let scale = Scale::fit(&outcomes);
        let n_strange = outcomes.iter().filter(|(x, _)| scale.probability(*x) > 0.5).count();
        assert_eq!(n_strange, 4);
    }

    #[test]
    fn the_report_counts_pairs_and_false_alarms() {
        let out = [0.3, 0.8, 0.9, 0.9].map(|score| (score, true));
        let within = [0.1, 0.2, 0.3, 0.4, 0.9].map(|score| (score, false));
        let report = OutOfScopeReport::of(&[&out[..], &within[..]].concat()).unwrap();
        // Won: 2.5 of 5, 4 of 5, 4.5 of 5 twice.
        assert!((report.auroc - 15.5 / 20.0).abs() < 1e-9, "{report:?}");
        assert!((report.threshold - 0.3).abs() < 1e-6);
        assert!((report.fpr_at_95_tpr - 3.0 / 5.0).abs() < 1e-9);
    }

    #[test]
    fn the_threshold_leaves_out_at_most_a_twentieth() {
        let out: Vec<_> = (0..40).map(|i| (i as f32, true)).chain([(-1.0, false)]).collect();
        assert!((OutOfScopeReport::of(&out).unwrap().threshold - 2.0).abs() < 1e-6);
    }

    #[test]
    fn one_kind_alone_has_no_report() {
        assert_eq!(OutOfScopeReport::of(&[(0.1, false)]), None);
        assert_eq!(OutOfScopeReport::of(&[(0.1, true)]), None);
    }
}
