//! Multinomial logistic regression with an L2 penalty, over embeddings and n-grams together.

use candle_core::{Device, Tensor};

use super::features::{Features, N_BUCKETS};
use super::lbfgs::{Objective, minimize};
use super::softmax::softmax;

/// The weights of a fitted regression; every row holds one value for each label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    /// Weights of the embedding's components, row-major `[dim, n_labels]`.
    pub(super) vector: Vec<f32>,
    /// Bias of each label, `[n_labels]`.
    pub(super) bias: Vec<f32>,
    /// Weights of the n-gram buckets, row-major `[N_BUCKETS, n_labels]`.
    pub(super) grams: Vec<f32>,
}

impl Weights {
    /// The logits `[n_labels]`, before temperature and softmax.
    pub(super) fn logits(&self, features: &Features) -> Vec<f32> {
        let mut logits = self.bias.clone();
        for (row, x) in self.vector.chunks_exact(logits.len()).zip(&features.vector) {
            add(&mut logits, *x, row);
        }
        add_grams(&mut logits, features, &self.grams);
        logits
    }
}

/// A text's features and the index of its label.
pub(super) struct Sample {
    pub(super) features: Features,
    pub(super) truth: usize,
}

/// Fits the weights to `samples`: minimises mean cross-entropy + l2/2 ‖weights‖².
pub(super) fn fit(
    samples: &[&Sample],
    n_labels: usize,
    l2: f64,
    max_steps: usize,
) -> candle_core::Result<Weights> {
    let problem = Problem::new(samples, n_labels, l2)?;
    let point = minimize(&problem, vec![0.0; problem.n_weights()], max_steps)?;
    let point: Vec<f32> = point.iter().map(|x| *x as f32).collect();
    let (vector, rest) = point.split_at((problem.n_dense - 1) * n_labels);
    let (bias, grams) = rest.split_at(n_labels);
    Ok(Weights { vector: vector.to_vec(), bias: bias.to_vec(), grams: grams.to_vec() })
}

/// A point is `[n_dense + N_BUCKETS, n_labels]`: vector, bias and grams of [`Weights`] in a row.
struct Problem<'a> {
    samples: &'a [&'a Sample],
    /// `[n, n_dense]`; the last column is 1 and carries the bias.
    dense: Tensor,
    n_dense: usize,
    n_labels: usize,
    l2: f64,
}

impl<'a> Problem<'a> {
    fn new(samples: &'a [&'a Sample], n_labels: usize, l2: f64) -> candle_core::Result<Self> {
        let rows: Vec<Vec<f32>> =
            samples.iter().map(|s| s.features.vector.iter().copied().chain([1.0]).collect()).collect();
        let dense = Tensor::new(rows, &Device::Cpu)?;
        Ok(Self { samples, n_dense: dense.dim(1)?, dense, n_labels, l2 })
    }

    fn n_weights(&self) -> usize {
        (self.n_dense + N_BUCKETS) * self.n_labels
    }

    /// Row-major `[n, n_labels]`.
    fn logits(&self, dense: &[f32], grams: &[f32]) -> candle_core::Result<Vec<f32>> {
        let dense = Tensor::from_slice(dense, (self.n_dense, self.n_labels), &Device::Cpu)?;
        let mut logits = self.dense.matmul(&dense)?.flatten_all()?.to_vec1::<f32>()?;
        for (row, sample) in logits.chunks_exact_mut(self.n_labels).zip(self.samples) {
            add_grams(row, &sample.features, grams);
        }
        Ok(logits)
    }

    /// The gradient of the mean cross-entropy from the probabilities' errors `[n, n_labels]`.
    fn data_gradient(&self, errors: Vec<f32>) -> candle_core::Result<Vec<f32>> {
        let mut grams = vec![0.0; N_BUCKETS * self.n_labels];
        for (row, sample) in errors.chunks_exact(self.n_labels).zip(self.samples) {
            for gram in &sample.features.grams {
                let start = gram.bucket * self.n_labels;
                add(&mut grams[start..start + self.n_labels], gram.value, row);
            }
        }
        let errors = Tensor::from_vec(errors, (self.samples.len(), self.n_labels), &Device::Cpu)?;
        let mut gradient = self.dense.t()?.matmul(&errors)?.flatten_all()?.to_vec1::<f32>()?;
        gradient.append(&mut grams);
        Ok(gradient)
    }
}

impl Objective for Problem<'_> {
    type Error = candle_core::Error;

    fn value(&self, point: &[f64], gradient: &mut [f64]) -> candle_core::Result<f64> {
        let n = self.samples.len() as f64;
        let weights: Vec<f32> = point.iter().map(|x| *x as f32).collect();
        let (dense, grams) = weights.split_at(self.n_dense * self.n_labels);
        let mut errors = self.logits(dense, grams)?;
        let mut loss = 0.0;
        for (row, sample) in errors.chunks_exact_mut(self.n_labels).zip(self.samples) {
            row.copy_from_slice(&softmax(row, 1.0));
            loss -= f64::from(row[sample.truth].max(f32::MIN_POSITIVE)).ln();
            row[sample.truth] -= 1.0;
        }
        for ((to, data), x) in gradient.iter_mut().zip(self.data_gradient(errors)?).zip(point) {
            *to = f64::from(data) / n + self.l2 * x;
        }
        Ok(loss / n + self.l2 / 2.0 * point.iter().map(|x| x * x).sum::<f64>())
    }
}

fn add_grams(logits: &mut [f32], features: &Features, weights: &[f32]) {
    let n_labels = logits.len();
    for gram in &features.grams {
        let start = gram.bucket * n_labels;
        add(logits, gram.value, &weights[start..start + n_labels]);
    }
}

fn add(to: &mut [f32], factor: f32, row: &[f32]) {
    for (x, w) in to.iter_mut().zip(row) {
        *x += factor * w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::features::Gram;

    fn samples() -> Vec<Sample> {
        let of = |vector: [f32; 2], bucket, value, truth| Sample {
            features: Features { vector: vector.to_vec(), grams: vec![Gram { bucket, value }] },
            truth,
        };
        vec![of([1.0, 0.0], 7, 1.0, 0), of([0.8, 0.6], 7, -1.0, 1), of([0.0, 1.0], 9, 1.0, 2)]
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_value() {
        let samples = samples();
        let samples: Vec<&Sample> = samples.iter().collect();
        let problem = Problem::new(&samples, 3, 1e-2).unwrap();
        let point: Vec<f64> = (0..problem.n_weights()).map(|i| (i as f64).sin()).collect();
        let mut gradient = vec![0.0; point.len()];
        let mut unused = gradient.clone();
        problem.value(&point, &mut gradient).unwrap();
        for i in [0, 4, 7, 9 + 7 * 3, 9 + 7 * 3 + 2, 9 + 9 * 3 + 1] {
            let mut beside = |by: f64| {
                let mut point = point.clone();
                point[i] += by;
                problem.value(&point, &mut unused).unwrap()
            };
            let slope = (beside(1e-2) - beside(-1e-2)) / 2e-2;
            assert!((slope - gradient[i]).abs() < 1e-3, "{i}: {slope}, not {}", gradient[i]);
        }
    }

    #[test]
    fn what_is_fitted_tells_its_samples_apart() {
        let samples = samples();
        let weights = fit(&samples.iter().collect::<Vec<_>>(), 3, 1e-4, 100).unwrap();
        for sample in &samples {
            let logits = weights.logits(&sample.features);
            assert_eq!(crate::intent::softmax::argmax(&logits), sample.truth, "{logits:?}");
        }
    }
}
