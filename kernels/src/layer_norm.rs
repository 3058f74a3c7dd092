//! Layer normalisation, row by row.

use crate::{cpu::vectorised, pool};

/// Values that a task takes: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 16 << 10;
/// Independent partial sums of a row.
const LANES: usize = 16;

/// The weights of a layer normalisation: `(x − mean) / √(variance + epsilon) · weight + bias` for each
/// row (Ba, Kiros and Hinton 2016, "Layer Normalization").
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// `[n]`.
    pub weight: &'a [f32],
    /// `[n]`.
    pub bias: &'a [f32],
    /// Keeps the root of a constant row's variance from zero.
    pub epsilon: f32,
}

/// Normalises the rows of `x`, `[n_rows, n]`, in place.
///
/// # Panics
/// When a slice's length does not fit.
pub fn layer_norm(x: &mut [f32], norm: &LayerNorm<'_>) {
    let n = norm.weight.len();
    assert!(n > 0 && x.len().is_multiple_of(n), "x must be whole rows of {n}, not {} values", x.len());
    assert_eq!(norm.bias.len(), n, "bias must be as long as weight");
    let chunk = (VALUES_PER_TASK / n).max(1) * n;
    pool::global().run_chunks(x, chunk, &|_, x| norm_rows(x, norm));
}

vectorised! {
    fn norm_rows(x: &mut [f32], norm: &LayerNorm<'_>) = norm_rows_plain;
}

#[inline(always)]
fn norm_rows_plain(x: &mut [f32], norm: &LayerNorm<'_>) {
    let n = norm.weight.len();
    for row in x.chunks_exact_mut(n) {
        let mean = sum(row, |x| x) / n as f32;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n as f32;
        let scale = 1.0 / (variance + norm.epsilon).sqrt();
        for ((x, weight), bias) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
            *x = ((*x - mean) * scale).mul_add(*weight, *bias);
        }
    }
}

/// `Σ term(x[i])`, in an order fixed by the length alone.
#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += term(chunk[lane]);
        }
    }
    let tail: f32 = tail.iter().map(|x| term(*x)).sum();
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + tail
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_definition_and_with_itself_row_by_row(
            (x, weight, bias) in (1usize..200, 0usize..6).prop_flat_map(|(n, rows)| (
                proptest::collection::vec(-3f32..3.0, n * rows),
                proptest::collection::vec(-2f32..2.0, n),
                proptest::collection::vec(-2f32..2.0, n),
            )),
        ) {
            let n = weight.len();
            let norm = LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-3 };
            let mut out = x.clone();
            layer_norm(&mut out, &norm);
            for (x, out) in x.chunks_exact(n).zip(out.chunks_exact(n)) {
                let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
                let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n as f64;
                for i in 0..n {
                    let want = (f64::from(x[i]) - mean) / (variance + 1e-3).sqrt() * f64::from(weight[i])
                        + f64::from(bias[i]);
                    prop_assert!((f64::from(out[i]) - want).abs() <= 1e-5 * (1.0 + want.abs()));
                }
                let mut alone = x.to_vec();
                layer_norm(&mut alone, &norm);
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&alone), bits(out));
            }
        }
    }
}
