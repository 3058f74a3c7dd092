//! What the benchmarks share: timing a load through criterion, and the table at the end, which sets its
//! speed against a peak measured in the same run.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use tier0_kernels::{InstructionSet, pool};

pub(crate) use peak::Peak;

mod peak;

/// What one call of a kernel does.
pub(crate) struct Load {
    /// Names it, in criterion's reports and in the table.
    pub(crate) name: String,
    /// A multiplication and an addition are two.
    pub(crate) operations: usize,
    /// What comes from memory, where that is what the kernel waits for.
    pub(crate) bytes_read: Option<usize>,
}

/// One measurement of a load.
struct Measured {
    operations: usize,
    bytes_read: Option<usize>,
    time: Duration,
}

/// The loads of one benchmark.
pub(crate) struct Report {
    peak: Peak,
    /// What the peak was at the start, in operations a second.
    peak_before: Option<f64>,
    /// The best measurement of each load, by its name.
    best: RefCell<Vec<(String, Measured)>>,
}

/// Short measurements: there are many loads, and the table keeps the best of each.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args()
}

impl Report {
    /// Of loads whose limit is `peak`.
    pub(crate) fn new(peak: Peak) -> Self {
        Self { peak, peak_before: peak.operations_a_second(), best: RefCell::new(Vec::new()) }
    }

    /// Measures `load`. What `prepare` returns is timed, called with the number of the repetition;
    /// `prepare` itself runs only for loads that the command line selects.
    pub(crate) fn bench<S: FnMut(usize)>(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        load: &Load,
        prepare: impl Fn() -> S,
    ) {
        group.throughput(Throughput::Elements(load.operations as u64));
        group.bench_function(BenchmarkId::from_parameter(&load.name), |bencher| {
            let mut step = prepare();
            bencher.iter_custom(|n_iterations| {
                let start = Instant::now();
                (0..n_iterations as usize).for_each(&mut step);
                let time = start.elapsed();
                self.note(load, time / n_iterations.max(1) as u32);
                time
            });
        });
    }

    fn note(&self, load: &Load, time: Duration) {
        let Load { operations, bytes_read, .. } = *load;
        let measured = Measured { operations, bytes_read, time };
        let mut best = self.best.borrow_mut();
        match best.iter_mut().find(|(name, _)| *name == load.name) {
            Some((_, earlier)) if earlier.time <= time => {}
            Some((_, earlier)) => *earlier = measured,
            None => best.push((load.name.clone(), measured)),
        }
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        let unit = self.peak.unit();
        // Before and after, as other work on the machine may hide it.
        let peak = self.peak_before.into_iter().chain(self.peak.operations_a_second()).reduce(f64::max);
        println!("{} threads, {}", pool::global().n_threads(), InstructionSet::chosen().name());
        if let Some(peak) = peak {
            println!("peak of {}: {:.0} {unit}", self.peak.name(), peak / 1e9);
        }
        for (name, Measured { operations, bytes_read, time }) in self.best.borrow().iter() {
            let seconds = time.as_secs_f64();
            let rate = *operations as f64 / seconds;
            let of_peak =
                peak.map_or(String::new(), |peak| format!(", {:3.0} % of the peak", 100.0 * rate / peak));
            let read =
                bytes_read.map_or(String::new(), |n| format!(", {:.1} GB/s", n as f64 / seconds / 1e9));
            println!("{name:30} {:8.1} µs, {:6.1} {unit}{of_peak}{read}", seconds * 1e6, rate / 1e9);
        }
    }
}
