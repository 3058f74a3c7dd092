//! Rows of activations on their way into a product.

use std::ops::Range;

use crate::{
    cpu::vectorised,
    elementwise::norm_row,
    pool::{self, Pool},
};

/// Values that a task takes at least: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 8 << 10;

/// What a product takes, and what is done to it first: so that normalised rows need not be written
/// to memory between the two. A row depends on nothing but itself.
#[derive(Debug, Clone, Copy)]
pub enum RowSource<'a> {
    /// `[n_rows, n]` as they are.
    Plain(&'a [f32]),
    /// Root-mean-square normalised: `x / √(mean(x²) + epsilon) · weight` for each row.
    Normed {
        /// `[n_rows, n]`.
        x: &'a [f32],
        /// `[n]`.
        weight: &'a [f32],
        /// Keeps the root away from zero.
        epsilon: f32,
    },
}

impl<'a> RowSource<'a> {
    /// How many rows of `n` values come out.
    ///
    /// # Panics
    /// When the slices are not whole rows of `n`.
    pub fn n_rows(&self, n: usize) -> usize {
        let x = match self {
            Self::Plain(x) => x,
            Self::Normed { x, weight, .. } => {
                assert_eq!(weight.len(), n, "the norm's weight does not fit rows of {n}");
                x
            }
        };
        assert!(n > 0 && x.len().is_multiple_of(n), "{} values are not whole rows of {n}", x.len());
        x.len() / n
    }

    /// The rows themselves, `[n_rows, n]`.
    ///
    /// # Panics
    /// As [`RowSource::n_rows`].
    pub fn write(&self, n: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.n_rows(n) * n, "out must be n_rows × n");
        let chunk = rows_per_task(n) * n;
        pool::global().run_chunks(out, chunk, &|i, out| write_rows(*self, i * chunk / n, n, out));
    }

    /// Row number `row` of `n` values: as it lies there, or made in `scratch`, which is `n` long.
    #[inline(always)]
    pub(crate) fn row<'s>(&self, row: usize, scratch: &'s mut [f32]) -> &'s [f32]
    where
        'a: 's,
    {
        let n = scratch.len();
        match *self {
            Self::Plain(x) => &x[row * n..][..n],
            Self::Normed { x, weight, epsilon } => {
                norm_row(&x[row * n..][..n], weight, epsilon, scratch);
                scratch
            }
        }
    }
}

/// Cuts `n_rows` rows of `n` values into tasks of whole rows and calls `work` with each.
pub(crate) fn for_row_tasks(pool: &Pool, n_rows: usize, n: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let rows = rows_per_task(n);
    pool.run(n_rows.div_ceil(rows), &|task| work(task * rows..((task + 1) * rows).min(n_rows)));
}

fn rows_per_task(n: usize) -> usize {
    (VALUES_PER_TASK / n).max(1)
}

vectorised! {
    fn write_rows(source: RowSource<'_>, first: usize, n: usize, out: &mut [f32]) = write_rows_plain;
}

#[inline(always)]
fn write_rows_plain(source: RowSource<'_>, first: usize, n: usize, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(n).enumerate() {
        if let RowSource::Plain(x) = source {
            out.copy_from_slice(&x[(first + i) * n..][..n]);
        } else {
            source.row(first + i, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn written(source: RowSource<'_>, n: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; source.n_rows(n) * n];
        source.write(n, &mut out);
        out
    }

    proptest! {
        #[test]
        fn a_norm_agrees_with_the_definition_and_with_itself_row_by_row(
            (x, weight) in (1usize..200, 0usize..6).prop_flat_map(|(n, rows)| (
                proptest::collection::vec(-3f32..3.0, n * rows),
                proptest::collection::vec(-2f32..2.0, n),
            )),
        ) {
            let (n, epsilon) = (weight.len(), 1e-5);
            let out = written(RowSource::Normed { x: &x, weight: &weight, epsilon }, n);
            for (x, out) in x.chunks_exact(n).zip(out.chunks_exact(n)) {
                let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n as f64;
                for ((x, weight), out) in x.iter().zip(&weight).zip(out) {
                    let want = f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*weight);
                    prop_assert!((f64::from(*out) - want).abs() <= 1e-5 * (1.0 + want.abs()));
                }
                let alone = written(RowSource::Normed { x, weight: &weight, epsilon }, n);
                prop_assert_eq!(bits(&alone), bits(out));
            }
        }
    }

    #[test]
    fn many_rows_are_cut_into_tasks_without_gaps() {
        let n = 576;
        let x: Vec<f32> = (0..100 * n).map(|i| (i * 7919 % 1001) as f32 / 500.0 - 1.0).collect();
        assert_eq!(written(RowSource::Plain(&x), n), x);
        for row in
            written(RowSource::Normed { x: &x, weight: &vec![1.0; n], epsilon: 0.0 }, n).chunks_exact(n)
        {
            let mean = row.iter().map(|x| x * x).sum::<f32>() / n as f32;
            assert!((mean - 1.0).abs() < 1e-4);
        }
    }
}
