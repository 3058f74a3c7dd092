//! Histograms of durations in seconds.

use prometheus_client::metrics::{
    family::{Family, MetricConstructor},
    histogram::Histogram,
};

/// A family of histograms of durations, by label.
pub(super) type Durations<L> = Family<L, Histogram, SecondsBuckets>;

/// Makes histograms with these upper bounds of their buckets.
#[derive(Debug, Clone)]
pub(super) struct SecondsBuckets(pub(super) &'static [f64]);

impl MetricConstructor<Histogram> for SecondsBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}
