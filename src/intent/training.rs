//! Fits an intent head: multinomial logistic regression over embeddings, with an L2 penalty.
//!
//! The objective is convex, so there is one best head and nothing to stop early: strength of the
//! penalty decides how far it follows its examples. Stratified cross-validation tells how good
//! that is, and yields the temperature: every example's logits come from a head that has not seen
//! it. The head itself is then fitted to all examples. Same examples, same options, same head.

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::calibration::fit_temperature;
use super::classifier::embed_masked;
use super::evaluate::Prediction;
use super::softmax::{argmax, softmax};
use super::{Evaluation, Example, IntentError, IntentHead, TrainingFacts};
use crate::embed::Embed;

/// How to fit a head.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Strength of the L2 penalty on the mean loss; more of it, smoother and less sure.
    pub l2: f64,
    /// Folds of the cross-validation; every label needs this many examples.
    pub n_folds: usize,
    /// Most steps of the optimiser.
    pub max_steps: usize,
    /// Decides which example falls into which fold.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { l2: 2e-4, n_folds: 5, max_steps: 1000, seed: 0 }
    }
}

/// A new head and how well its kind does on examples that it has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Fitted to all examples.
    pub head: IntentHead,
    /// Over all examples, each predicted by a head fitted to the other folds.
    pub cross_validation: Evaluation,
}

/// Fits a head for the vectors of `embed` to `examples`.
///
/// # Errors
/// [`IntentError::TooFewExamples`] when there are fewer than two labels, or fewer examples of one
/// than folds; [`IntentError::Embed`] and [`IntentError::Training`] when the arithmetic fails.
pub fn train(
    embed: &dyn Embed,
    examples: &[Example],
    options: &TrainOptions,
) -> Result<Trained, IntentError> {
    let labels = checked_labels(examples, options)?;
    let texts: Vec<&str> = examples.iter().map(|e| e.text.as_str()).collect();
    let samples: Vec<Sample> = embed_masked(embed, &texts)?
        .into_iter()
        .zip(examples)
        .filter_map(|(vector, example)| {
            let truth = labels.binary_search(&example.label).ok()?;
            Some(Sample { vector, truth })
        })
        .collect();

    let unfitted = IntentHead {
        weights: Vec::new(),
        bias: Vec::new(),
        temperature: 1.0,
        facts: TrainingFacts {
            n_examples: samples.len(),
            n_folds: options.n_folds,
            accuracy: 0.0,
            l2: options.l2,
        },
        labels,
    };
    let logits = out_of_fold_logits(&samples, &unfitted, options)?;
    let truths: Vec<usize> = samples.iter().map(|s| s.truth).collect();
    let temperature = fit_temperature(&logits, &truths);
    let cross_validation = validate(&unfitted.labels, &truths, &logits, temperature);

    let all: Vec<&Sample> = samples.iter().collect();
    let mut head = fit(&all, &unfitted, options)?;
    head.temperature = temperature;
    head.facts.accuracy = cross_validation.accuracy;
    Ok(Trained { head, cross_validation })
}

/// An embedded example: a unit vector `[dim]` and the index of its label.
struct Sample {
    vector: Vec<f32>,
    truth: usize,
}

/// The labels in alphabetical order, where there is enough of each.
fn checked_labels(examples: &[Example], options: &TrainOptions) -> Result<Vec<String>, IntentError> {
    let mut labels: Vec<String> = examples.iter().map(|e| e.label.clone()).collect();
    labels.sort_unstable();
    labels.dedup();
    if options.n_folds < 2 || labels.len() < 2 {
        return Err(IntentError::TooFewExamples {
            reason: format!(
                "{} labels and {} folds, but both must be at least 2",
                labels.len(),
                options.n_folds
            ),
        });
    }
    for label in &labels {
        let n = examples.iter().filter(|e| e.label == *label).count();
        if n < options.n_folds {
            return Err(IntentError::TooFewExamples {
                reason: format!("{label} has {n}, but needs at least {}", options.n_folds),
            });
        }
    }
    Ok(labels)
}

/// The logits of every sample, in order, from a head fitted to the folds that it is not in.
fn out_of_fold_logits(
    samples: &[Sample],
    unfitted: &IntentHead,
    options: &TrainOptions,
) -> Result<Vec<Vec<f32>>, IntentError> {
    let folds = stratified_folds(samples, unfitted.labels.len(), options);
    let mut logits = vec![Vec::new(); samples.len()];
    for fold in 0..options.n_folds {
        let others: Vec<&Sample> =
            samples.iter().zip(&folds).filter_map(|(sample, f)| (*f != fold).then_some(sample)).collect();
        let head = fit(&others, unfitted, options)?;
        for (i, sample) in samples.iter().enumerate().filter(|(i, _)| folds[*i] == fold) {
            logits[i] = head.logits(&sample.vector);
        }
    }
    Ok(logits)
}

/// The fold of every sample; each label's samples are spread evenly over the folds.
fn stratified_folds(samples: &[Sample], n_labels: usize, options: &TrainOptions) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut folds = vec![0; samples.len()];
    let mut next = 0;
    for label in 0..n_labels {
        let mut members: Vec<usize> = (0..samples.len()).filter(|i| samples[*i].truth == label).collect();
        members.shuffle(&mut rng);
        for i in members {
            folds[i] = next % options.n_folds;
            next += 1;
        }
    }
    folds
}

fn validate(labels: &[String], truths: &[usize], logits: &[Vec<f32>], temperature: f32) -> Evaluation {
    let predictions: Vec<Prediction<'_>> = truths
        .iter()
        .zip(logits)
        .map(|(&truth, logits)| {
            let predicted = argmax(logits);
            Prediction {
                truth: &labels[truth],
                predicted: &labels[predicted],
                confidence: softmax(logits, temperature)[predicted],
            }
        })
        .collect();
    Evaluation::of(&predictions)
}

/// `unfitted` with the weights and biases that suit `samples` best.
fn fit(
    samples: &[&Sample],
    unfitted: &IntentHead,
    options: &TrainOptions,
) -> Result<IntentHead, IntentError> {
    let problem = Problem::new(samples, unfitted.labels.len(), options.l2)?;
    let rows = problem.minimize(options.max_steps)?.to_vec2::<f32>()?;
    let (mut weights, mut bias) = (Vec::new(), Vec::new());
    for row in &rows {
        if let Some((b, w)) = row.split_last() {
            weights.extend_from_slice(w);
            bias.push(*b);
        }
    }
    Ok(IntentHead { weights, bias, ..unfitted.clone() })
}

/// Minimise, over W `[n_labels, dim + 1]`: mean cross-entropy of softmax(X Wᵀ) + l2/2 ‖W‖².
struct Problem {
    /// X `[n, dim + 1]`; the last column is 1 and carries the bias.
    inputs: Tensor,
    /// One-hot `[n, n_labels]`.
    targets: Tensor,
    l2: f64,
}

impl Problem {
    /// Norm of the gradient at which W counts as found.
    const TOLERANCE: f32 = 1e-5;

    fn new(samples: &[&Sample], n_labels: usize, l2: f64) -> candle_core::Result<Self> {
        let rows: Vec<Vec<f32>> =
            samples.iter().map(|s| s.vector.iter().copied().chain([1.0]).collect()).collect();
        let targets: Vec<Vec<f32>> = samples
            .iter()
            .map(|s| (0..n_labels).map(|l| f32::from(u8::from(l == s.truth))).collect())
            .collect();
        Ok(Self {
            inputs: Tensor::new(rows, &Device::Cpu)?,
            targets: Tensor::new(targets, &Device::Cpu)?,
            l2,
        })
    }

    fn gradient(&self, weights: &Tensor) -> candle_core::Result<Tensor> {
        let n = self.inputs.dim(0)? as f64;
        let logits = self.inputs.matmul(&weights.t()?)?;
        let errors = (candle_nn::ops::softmax(&logits, 1)? - &self.targets)?;
        let gradient = (errors.t()?.matmul(&self.inputs)? / n)?;
        gradient + (weights * self.l2)?
    }

    /// Nesterov's accelerated gradient with the constants for a strongly convex objective
    /// (Nesterov, "Introductory Lectures on Convex Optimization", 2.2.22).
    ///
    /// Its curvature lies between `l2` and `1 + l2`: softmax curves by at most 1/2, and an input
    /// is a unit vector and a 1, so ‖x‖² = 2.
    fn minimize(&self, max_steps: usize) -> candle_core::Result<Tensor> {
        let (smallest, largest) = (self.l2, 1.0 + self.l2);
        let momentum = (largest.sqrt() - smallest.sqrt()) / (largest.sqrt() + smallest.sqrt());
        let shape = (self.targets.dim(1)?, self.inputs.dim(1)?);
        let mut weights = Tensor::zeros(shape, self.inputs.dtype(), &Device::Cpu)?;
        let mut ahead = weights.clone();
        for _ in 0..max_steps {
            let gradient = self.gradient(&ahead)?;
            let next = (&ahead - (&gradient / largest)?)?;
            ahead = (&next + ((&next - &weights)? * momentum)?)?;
            weights = next;
            if gradient.sqr()?.sum_all()?.to_scalar::<f32>()?.sqrt() < Self::TOLERANCE {
                break;
            }
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::embed::testing::HashEmbed;
    use crate::intent::{Classifier, evaluate};

    fn examples() -> Vec<Example> {
        let of = |label: &str, texts: [&str; 6]| {
            texts.map(|text| Example { text: text.to_owned(), label: label.to_owned() })
        };
        [
            of(
                "track_order",
                [
                    "where is my parcel",
                    "where is the parcel now",
                    "has my parcel shipped",
                    "when is my parcel here",
                    "track the parcel",
                    "parcel still not here",
                ],
            ),
            of(
                "cancel_order",
                [
                    "cancel it please",
                    "please cancel my purchase",
                    "cancel the thing",
                    "i want to cancel",
                    "cancel before it ships",
                    "stop and cancel",
                ],
            ),
            of(
                "invoice",
                [
                    "send an invoice",
                    "i need the invoice",
                    "invoice for the tax office",
                    "invoice missing",
                    "no invoice in the box",
                    "invoice copy please",
                ],
            ),
        ]
        .concat()
    }

    fn options() -> TrainOptions {
        TrainOptions { n_folds: 3, ..TrainOptions::default() }
    }

    #[test]
    fn a_head_learns_its_examples_and_unseen_ones_like_them() {
        let embed = HashEmbed::new(256);
        let trained = train(&embed, &examples(), &options()).unwrap();
        assert!(trained.cross_validation.accuracy > 0.8, "{}", trained.cross_validation);

        let classifier = Classifier::new(Arc::new(embed), trained.head).unwrap();
        let on_training = evaluate(&classifier, &examples()).unwrap();
        assert!((on_training.accuracy - 1.0).abs() < 1e-9, "{on_training}");
        let unseen = classifier.classify("could you cancel this for me").unwrap();
        assert_eq!(unseen[0].label, "cancel_order");
    }

    #[test]
    fn training_twice_gives_the_same_head() {
        let embed = HashEmbed::new(64);
        let first = train(&embed, &examples(), &options()).unwrap();
        let second = train(&embed, &examples(), &options()).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn the_optimiser_ends_where_the_gradient_is_zero() {
        let vectors = [vec![1.0, 0.0], vec![0.8, 0.6], vec![0.0, 1.0]];
        let samples: Vec<Sample> =
            vectors.into_iter().zip([0, 1, 1]).map(|(vector, truth)| Sample { vector, truth }).collect();
        let samples: Vec<&Sample> = samples.iter().collect();
        let problem = Problem::new(&samples, 2, 1e-2).unwrap();
        let gradient = problem.gradient(&problem.minimize(2000).unwrap()).unwrap();
        let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        assert!(norm < 2e-5, "norm {norm}");
    }

    #[test]
    fn every_fold_holds_its_share_of_every_label() {
        let samples: Vec<Sample> = (0..60).map(|i| Sample { vector: vec![1.0], truth: i % 4 }).collect();
        let options = TrainOptions::default();
        let folds = stratified_folds(&samples, 4, &options);
        for fold in 0..options.n_folds {
            for label in 0..4 {
                let n = (0..60).filter(|i| folds[*i] == fold && samples[*i].truth == label).count();
                assert_eq!(n, 3, "label {label} in fold {fold}");
            }
        }
    }

    #[test]
    fn a_label_with_too_few_examples_is_named() {
        let mut examples = examples();
        examples.push(Example { text: "any gift cards".to_owned(), label: "gift_card".to_owned() });
        let error = train(&HashEmbed::new(8), &examples, &options()).unwrap_err();
        assert!(error.to_string().contains("gift_card has 1"), "{error}");
    }

    #[test]
    fn one_label_is_too_few() {
        let error = train(&HashEmbed::new(8), &examples()[..6], &options()).unwrap_err();
        assert!(matches!(error, IntentError::TooFewExamples { .. }));
    }
}
