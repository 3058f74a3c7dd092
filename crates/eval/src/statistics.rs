//! Rates with their intervals, and percentiles.

use serde::Serialize;

/// The 97.5 % quantile of the standard normal distribution: 95 % lie between it and its negative.
const Z_95: f64 = 1.959_963_984_540_054;

/// A count out of a total, as a rate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Proportion {
    /// How many.
    pub count: usize,
    /// Out of how many.
    pub of: usize,
    /// Their quotient; `None` out of nothing.
    pub rate: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

impl Proportion {
    /// The rate `count / of` with Wilson's score interval (Wilson, "Probable Inference, the Law of
    /// Succession, and Statistical Inference", 1927), which stays within 0 and 1 and has a width
    /// even where nothing was ever seen.
    pub fn new(count: usize, of: usize) -> Self {
        if of == 0 {
            return Self { count, of, rate: None, low: 0.0, high: 1.0 };
        }
        let n = of as f64;
        let rate = count as f64 / n;
        let z_squared_by_n = Z_95 * Z_95 / n;
        let center = rate + z_squared_by_n / 2.0;
        let half_width = Z_95 * (rate * (1.0 - rate) / n + z_squared_by_n / (4.0 * n)).sqrt();
        let scale = 1.0 + z_squared_by_n;
        // The ends meet the rate at 0 and 1; rounding must not push them past it.
        let low = ((center - half_width) / scale).clamp(0.0, rate);
        let high = ((center + half_width) / scale).clamp(rate, 1.0);
        Self { count, of, rate: Some(rate), low, high }
    }
}

/// How long answers took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the answers took no longer.
    pub p50_ms: u64,
    /// Nine in ten took no longer.
    pub p90_ms: u64,
    /// 95 in 100 took no longer.
    pub p95_ms: u64,
    /// 99 in 100 took no longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
    /// The mean.
    pub mean_ms: f64,
}

impl Latency {
    /// Of the given times; `None` where there are none.
    pub fn of(mut times_ms: Vec<u64>) -> Option<Self> {
        times_ms.sort_unstable();
        let max_ms = *times_ms.last()?;
        let total: f64 = times_ms.iter().map(|&ms| ms as f64).sum();
        Some(Self {
            p50_ms: percentile(&times_ms, 50),
            p90_ms: percentile(&times_ms, 90),
            p95_ms: percentile(&times_ms, 95),
            p99_ms: percentile(&times_ms, 99),
            max_ms,
            mean_ms: total / times_ms.len() as f64,
        })
    }
}

/// The smallest value that at least `percent` of all values do not exceed (nearest rank). `sorted`
/// must hold values.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (percent * sorted.len()).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    // By hand, with z² = 3.841459: (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n).
    // 8 of 10: (0.8 + 0.192073 ± 1.959964·√(0.016 + 0.009604)) / 1.384146 = 0.716740 ± 0.226577
    // 0 of 10: 0 and z²/(10 + z²) = 3.841459/13.841459; 10 of 10 is its mirror image.
    // 50 of 100: 0.5 ± 1.959964·√(0.0025 + 0.000096)/1.038415 = 0.5 ± 0.096170
    #[rstest]
    #[case(8, 10, 0.490_162, 0.943_318)]
    #[case(0, 10, 0.0, 0.277_533)]
    #[case(10, 10, 0.722_467, 1.0)]
    #[case(50, 100, 0.403_830, 0.596_170)]
    fn intervals_are_those_of_wilson(
        #[case] count: usize,
        #[case] of: usize,
        #[case] low: f64,
        #[case] high: f64,
    ) {
        let proportion = Proportion::new(count, of);
        assert!((proportion.low - low).abs() < 1e-5, "{proportion:?}");
        assert!((proportion.high - high).abs() < 1e-5, "{proportion:?}");
    }

    #[test]
    fn nothing_out_of_nothing_can_be_anything() {
        let expected = Proportion { count: 0, of: 0, rate: None, low: 0.0, high: 1.0 };
        assert_eq!(Proportion::new(0, 0), expected);
    }

    #[rstest]
    #[case(50, 20)]
    #[case(90, 40)]
    #[case(1, 10)]
    #[case(100, 40)]
    #[case(26, 20)]
    #[case(25, 10)]
    fn a_percentile_is_the_value_at_the_nearest_rank(#[case] percent: usize, #[case] expected: u64) {
        assert_eq!(percentile(&[10, 20, 30, 40], percent), expected);
    }

    #[test]
    fn latency_of_a_hundred_answers() {
        let latency = Latency::of((1..=100).rev().collect()).unwrap();
        let expected = Latency { p50_ms: 50, p90_ms: 90, p95_ms: 95, p99_ms: 99, max_ms: 100, mean_ms: 50.5 };
        assert_eq!(latency, expected);
    }

    #[test]
    fn no_answer_has_no_latency() {
        assert_eq!(Latency::of(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn an_interval_contains_its_rate(
            (count, of) in (1_usize..5_000).prop_flat_map(|of| (0..=of, Just(of))),
        ) {
            let p = Proportion::new(count, of);
            let rate = p.rate.unwrap();
            prop_assert!(0.0 <= p.low && p.low <= rate && rate <= p.high && p.high <= 1.0, "{p:?}");
            prop_assert!(p.high - p.low > 0.0);
        }

        #[test]
        fn the_same_rate_of_more_has_a_narrower_interval(
            (count, of) in (1_usize..500).prop_flat_map(|of| (0..=of, Just(of))),
        ) {
            let (few, many) = (Proportion::new(count, of), Proportion::new(10 * count, 10 * of));
            prop_assert!(many.high - many.low < few.high - few.low);
        }

        #[test]
        fn percentiles_rise_and_lie_between_the_ends(times in prop::collection::vec(0_u64..100_000, 1..50)) {
            let (min, max) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
            let l = Latency::of(times).unwrap();
            let rising = [min, l.p50_ms, l.p90_ms, l.p95_ms, l.p99_ms, l.max_ms];
            prop_assert!(rising.is_sorted(), "{rising:?}");
            prop_assert_eq!(l.max_ms, max);
        }
    }
}
