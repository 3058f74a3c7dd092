//! What precision would be at every coverage, if only the replies with the highest confidence were
//! sent.
//!
//! Risk–coverage curves and their area follow Geifman and El-Yaniv, "Selective Classification for
//! Deep Neural Networks" (2017), and the same authors' "Bias-Reduced Uncertainty Estimation for Deep
//! Neural Classifiers" (2019).

use serde::Serialize;

use super::Proportion;

/// The risks at which the largest coverage is looked for.
const RISKS_PERCENT: [usize; 3] = [1, 2, 5];

/// A reply that was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankedReply {
    /// How likely the server held it to be right.
    pub confidence: f64,
    /// Whether it was.
    pub is_safe: bool,
}

/// Precision over coverage. Risk is what is missing to a precision of 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskCoverage {
    /// Area under the risk, divided by the coverage reached: the mean risk when the replies are sent
    /// one after the other, most confident first. `None` where nothing was sent.
    pub aurc: Option<f64>,
    /// The largest coverage at each of several risks.
    pub coverage_at_risk: Vec<CoverageAtRisk>,
    /// A point for every confidence that a threshold can be set to, highest first.
    pub points: Vec<RiskPoint>,
}

/// What sending only replies of at least a certain confidence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RiskPoint {
    /// The least confidence that is sent.
    pub min_confidence: f64,
    /// Replies that are sent, of all tickets.
    pub coverage: Proportion,
    /// Safe ones, of those that are sent.
    pub precision: Proportion,
}

/// How much can be sent at a risk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoverageAtRisk {
    /// At most so many in a hundred replies are not safe.
    pub risk_percent: usize,
    /// Replies that can then be sent, of all tickets.
    pub coverage: Proportion,
    /// The threshold that does it; `None` where there is none, and nothing can be sent.
    pub min_confidence: Option<f64>,
}

/// Ranks `replies`, those of `n_tickets` tickets that were sent, by confidence.
///
/// Replies of equal confidence cannot be told apart by any threshold: they come as one point, and
/// count in the area as if in the mean of all orders. The order of `replies` is without effect.
pub fn risk_coverage(n_tickets: usize, replies: &[RankedReply]) -> RiskCoverage {
    let mut ranked = replies.to_vec();
    ranked.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut points = Vec::new();
    let (mut n_sent, mut n_wrong, mut sum_of_risks) = (0, 0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.confidence == b.confidence) {
        let n_wrong_tied = tied.iter().filter(|reply| !reply.is_safe).count();
        sum_of_risks += mean_risks(n_sent, n_wrong, tied.len(), n_wrong_tied);
        n_sent += tied.len();
        n_wrong += n_wrong_tied;
        points.push(RiskPoint {
            min_confidence: tied[0].confidence,
            coverage: Proportion::new(n_sent, n_tickets),
            precision: Proportion::new(n_sent - n_wrong, n_sent),
        });
    }
    RiskCoverage {
        aurc: (n_sent > 0).then(|| sum_of_risks / n_sent as f64),
        coverage_at_risk: RISKS_PERCENT.map(|percent| coverage_at(percent, n_tickets, &points)).into(),
        points,
    }
}

/// The sum of the risks after each of `n_tied` more replies. In the mean of all orders, each of them
/// is as wrong as the others.
fn mean_risks(n_sent: usize, n_wrong: usize, n_tied: usize, n_wrong_tied: usize) -> f64 {
    let wrong_each = n_wrong_tied as f64 / n_tied as f64;
    (1..=n_tied).map(|i| (n_wrong as f64 + i as f64 * wrong_each) / (n_sent + i) as f64).sum()
}

/// The last point at which the risk is low enough; before it, it may have been higher.
fn coverage_at(risk_percent: usize, n_tickets: usize, points: &[RiskPoint]) -> CoverageAtRisk {
    let is_low_enough = |point: &&RiskPoint| {
        let Proportion { count: n_safe, of: n_sent, .. } = point.precision;
        (n_sent - n_safe) * 100 <= risk_percent * n_sent
    };
    let point = points.iter().rev().find(is_low_enough);
    CoverageAtRisk {
        risk_percent,
        coverage: point.map_or(Proportion::new(0, n_tickets), |point| point.coverage),
        min_confidence: point.map(|point| point.min_confidence),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replies(of: &[(f64, bool)]) -> Vec<RankedReply> {
        of.iter().map(|&(confidence, is_safe)| RankedReply { confidence, is_safe }).collect()
    }

    fn counts(curve: &RiskCoverage) -> Vec<(usize, usize)> {
        curve.points.iter().map(|point| (point.coverage.count, point.precision.count)).collect()
    }

    fn assert_near(aurc: Option<f64>, expected: f64) {
        assert!((aurc.unwrap() - expected).abs() < 1e-12, "{aurc:?} is not {expected}");
    }

    #[test]
    fn the_area_is_the_mean_of_the_risks() {
        // Risks after each reply: 0/1, 1/2, 1/3, 2/4. Mean: (0 + 1/2 + 1/3 + 1/2)/4 = 1/3.
        let curve = risk_coverage(8, &replies(&[(0.6, true), (0.9, true), (0.8, false), (0.5, false)]));
        assert_eq!(counts(&curve), [(1, 1), (2, 1), (3, 2), (4, 2)]);
        assert_near(curve.aurc, 1.0 / 3.0);
        assert_eq!(curve.points[3].coverage.rate, Some(0.5));
    }

    #[test]
    fn ties_count_as_in_the_mean_of_all_orders() {
        // 0.9 safe; 0.5 one safe, one not. Orders: 0/1, 0/2, 1/3 and 0/1, 1/2, 1/3.
        // Means: (0 + 0 + 1/3)/3 = 1/9 and (0 + 1/2 + 1/3)/3 = 5/18; their mean is 7/36.
        let curve = risk_coverage(3, &replies(&[(0.5, true), (0.9, true), (0.5, false)]));
        assert_eq!(counts(&curve), [(1, 1), (3, 2)]);
        assert_near(curve.aurc, 7.0 / 36.0);
    }

    #[test]
    fn the_largest_coverage_counts_though_the_risk_was_higher_before() {
        // Wrong at rank 2, then safe up to rank 40: the risk falls below 5 % at rank 20 (1/20).
        let wrong_second = |i: i32| (1.0 - f64::from(i) / 100.0, i != 1);
        let curve = risk_coverage(50, &replies(&(0..40).map(wrong_second).collect::<Vec<_>>()));
        let [one, two, five] = curve.coverage_at_risk[..] else { unreachable!() };
        assert_eq!((one.risk_percent, one.coverage.count, one.min_confidence), (1, 1, Some(1.0)));
        assert_eq!((two.risk_percent, two.coverage.count), (2, 1));
        assert_eq!((five.risk_percent, five.coverage.count, five.coverage.of), (5, 40, 50));
    }

    #[test]
    fn a_risk_that_is_met_exactly_counts() {
        // One wrong of 100: exactly 1 %.
        let last_wrong = |i: i32| (1.0 - f64::from(i) / 1000.0, i != 99);
        let curve = risk_coverage(100, &replies(&(0..100).map(last_wrong).collect::<Vec<_>>()));
        assert_eq!(curve.coverage_at_risk[0].coverage.count, 100);
    }

    #[test]
    fn where_the_surest_reply_is_wrong_nothing_can_be_sent() {
        let curve = risk_coverage(2, &replies(&[(0.9, false), (0.8, true)]));
        for at in curve.coverage_at_risk {
            assert_eq!((at.coverage.count, at.min_confidence), (0, None));
        }
    }

    #[test]
    fn no_reply_has_no_area() {
        let curve = risk_coverage(5, &[]);
        assert_eq!(curve.aurc, None);
        assert!(curve.points.is_empty());
        assert_eq!(curve.coverage_at_risk[2].coverage, Proportion::new(0, 5));
    }

    fn some_replies() -> impl Strategy<Value = Vec<RankedReply>> {
        // Few confidences, so that many are equal.
        let reply = (0_u8..6, any::<bool>());
        prop::collection::vec(reply, 0..40).prop_map(|replies| {
            let ranked = |(c, is_safe)| RankedReply { confidence: f64::from(c) / 5.0, is_safe };
            replies.into_iter().map(ranked).collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_the_replies_does_not_matter(
            (replies, shuffled) in some_replies()
                .prop_flat_map(|replies| (Just(replies.clone()), Just(replies).prop_shuffle())),
        ) {
            prop_assert_eq!(risk_coverage(50, &replies), risk_coverage(50, &shuffled));
        }

        #[test]
        fn coverage_rises_while_the_threshold_falls(replies in some_replies()) {
            let curve = risk_coverage(50, &replies);
            for pair in curve.points.windows(2) {
                prop_assert!(pair[0].min_confidence > pair[1].min_confidence);
                prop_assert!(pair[0].coverage.count < pair[1].coverage.count);
            }
            prop_assert_eq!(curve.points.last().map_or(0, |last| last.coverage.count), replies.len());
        }

        #[test]
        fn a_higher_risk_allows_at_least_the_same_coverage(replies in some_replies()) {
            let at = risk_coverage(50, &replies).coverage_at_risk;
            prop_assert!(at.is_sorted_by_key(|at| at.coverage.count));
        }

        #[test]
        fn the_area_lies_between_no_risk_and_certain_harm(replies in some_replies()) {
            if let Some(aurc) = risk_coverage(50, &replies).aurc {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&aurc));
            }
        }
    }
}
