//! Products of rows with an f32 weight matrix.

use crate::{cpu::vectorised, pool, vector::dot};

/// Columns that one task takes: enough work to be worth a task, few enough to share out evenly.
const COLUMNS_PER_TASK: usize = 16;

/// `out[r][c] = x[r] · weight[c]`: `x` is `[n_rows, n_in]`, `weight` `[n_out, n_in]`, `out`
/// `[n_rows, n_out]`. An element depends on its row and column alone, whatever else is computed.
///
/// # Panics
/// When a slice's length does not fit.
pub fn linear_f32(x: &[f32], weight: &[f32], n_in: usize, out: &mut [f32]) {
    assert!(n_in > 0 && x.len().is_multiple_of(n_in), "x must be whole rows of {n_in}");
    assert!(weight.len().is_multiple_of(n_in), "the weight must be whole rows of {n_in}");
    let (n_rows, n_out) = (x.len() / n_in, weight.len() / n_in);
    assert_eq!(out.len(), n_rows * n_out, "out must be n_rows × n_out");
    if out.is_empty() {
        return;
    }
    // By columns, so that a weight row is read once for all rows; then turned into rows.
    let mut columns = vec![0f32; out.len()];
    let work = |task: usize, columns: &mut [f32]| {
        multiply_columns(x, &weight[task * COLUMNS_PER_TASK * n_in..], n_in, columns);
    };
    pool::global().run_chunks(&mut columns, COLUMNS_PER_TASK * n_rows, &work);
    for (r, row) in out.chunks_exact_mut(n_out).enumerate() {
        for (c, value) in row.iter_mut().enumerate() {
            *value = columns[c * n_rows + r];
        }
    }
}

vectorised! {
    /// `columns[c][r] = x[r] · weights[c]`, for as many columns as `columns` has room for.
    fn multiply_columns(x: &[f32], weights: &[f32], n_in: usize, columns: &mut [f32]) = plain_multiply_columns;
}

#[inline(always)]
fn plain_multiply_columns(x: &[f32], weights: &[f32], n_in: usize, columns: &mut [f32]) {
    let n_rows = x.len() / n_in;
    for (column, weight) in columns.chunks_exact_mut(n_rows).zip(weights.chunks_exact(n_in)) {
        for (value, x) in column.iter_mut().zip(x.chunks_exact(n_in)) {
            *value = dot(x, weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_definition_and_with_itself_row_by_row(
            (n_in, x, weight) in (1usize..70, 0usize..5, 0usize..40).prop_flat_map(|(n_in, rows, columns)| (
                Just(n_in),
                proptest::collection::vec(-2f32..2.0, rows * n_in),
                proptest::collection::vec(-2f32..2.0, columns * n_in),
            )),
        ) {
            let (n_rows, n_out) = (x.len() / n_in, weight.len() / n_in);
            let mut out = vec![f32::NAN; n_rows * n_out];
            linear_f32(&x, &weight, n_in, &mut out);
            for r in 0..n_rows {
                let row = &x[r * n_in..(r + 1) * n_in];
                let mut alone = vec![f32::NAN; n_out];
                linear_f32(row, &weight, n_in, &mut alone);
                for c in 0..n_out {
                    let exact: f64 = row
                        .iter()
                        .zip(&weight[c * n_in..(c + 1) * n_in])
                        .map(|(a, b)| f64::from(*a) * f64::from(*b))
                        .sum();
                    prop_assert!((f64::from(out[r * n_out + c]) - exact).abs() < 1e-4);
                    prop_assert_eq!(out[r * n_out + c].to_bits(), alone[c].to_bits());
                }
            }
        }
    }
}
