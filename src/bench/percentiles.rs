//! Percentiles of measured times.

use std::time::Duration;

use serde::Serialize;

/// How a set of times is spread, in milliseconds; all 0 for an empty set.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Percentiles {
    /// Arithmetic mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// Ninety-nine of a hundred are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Of `times`, by the nearest rank.
    pub fn of(times: &[Duration]) -> Self {
        let mut ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let Some(&max) = ms.last() else { return Self::default() };
        let rank = |share: f64| {
            let at = (share * ms.len() as f64).ceil() as usize;
            ms[at.clamp(1, ms.len()) - 1]
        };
        let mean = ms.iter().sum::<f64>() / ms.len() as f64;
        Self { mean, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranks_are_values_of_the_set() {
        let times: Vec<Duration> = (1..=10).map(Duration::from_millis).collect();
        let found = Percentiles::of(&times);
        assert_eq!((found.p50, found.p90, found.p99, found.max), (5.0, 9.0, 10.0, 10.0));
        assert!((found.mean - 5.5).abs() < 1e-9);
        assert_eq!(Percentiles::of(&[]), Percentiles::default());
    }

    proptest! {
        #[test]
        fn larger_shares_have_larger_values(ms in prop::collection::vec(0u64..10_000, 1..60)) {
            let times: Vec<Duration> = ms.iter().copied().map(Duration::from_millis).collect();
            let found = Percentiles::of(&times);
            prop_assert!(found.p50 <= found.p90 && found.p90 <= found.p99 && found.p99 <= found.max);
            prop_assert!(found.mean <= found.max);
        }
    }
}
