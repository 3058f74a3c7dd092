//! Fits an intent head and its calibration.
//!
//! The objective is convex, so there is one best head and no early stopping: the strength of the penalty
//! decides how closely the head fits its examples. Stratified cross-validation measures its accuracy and
//! yields the temperature and the out-of-scope scale: every example's logits come from a head that has
//! not seen it. The head itself is then fitted to all examples. The same examples and options give the
//! same head.

use std::collections::HashSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::calibration::fit_temperature;
use super::evaluate::Prediction;
use super::features::read;
use super::head::oos_index;
use super::oos::{Scale, strangeness};
use super::regression::{Sample, fit};
use super::softmax::{argmax, softmax};
use super::{Evaluation, Example, IntentError, IntentHead, TrainingFacts, mask};
use crate::embed::Embed;

/// Options of the training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Strength of the L2 penalty on the mean loss; a larger one makes the head smoother and less confident.
    pub l2: f64,
    /// Number of folds of the cross-validation; every label needs at least this many examples.
    pub n_folds: usize,
    /// Most steps of the optimiser.
    pub max_steps: usize,
    /// Seed of the assignment of examples to folds.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { l2: 2e-5, n_folds: 5, max_steps: 100, seed: 0 }
    }
}

/// A new head, and its evaluation on examples that it has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The head, fitted to all examples.
    pub head: IntentHead,
    /// The evaluation over all examples, each predicted by a head fitted to the other folds.
    pub cross_validation: Evaluation,
}

/// Fits a head for the vectors of `embed` to `examples`.
///
/// Examples that are equal after [`mask`] count once: in two folds, they would test a head on examples
/// that it has seen.
///
/// # Errors
/// [`IntentError::TooFewExamples`] when there are fewer than two labels, or fewer examples of one
/// than folds; [`IntentError::Embed`] and [`IntentError::Training`] when the arithmetic fails.
pub fn train(
    embed: &dyn Embed,
    examples: &[Example],
    options: &TrainOptions,
) -> Result<Trained, IntentError> {
    let examples = distinct(examples);
    let labels = checked_labels(&examples, options)?;
    let samples = samples(embed, &examples, &labels)?;
    let logits = out_of_fold_logits(&samples, labels.len(), options)?;
    let calibration = Calibration::fit(&labels, &samples, &logits);
    let cross_validation = Evaluation::of(&calibration.predictions(&labels, &samples, &logits));

    let all: Vec<&Sample> = samples.iter().collect();
    let head = IntentHead {
        weights: fit(&all, labels.len(), options.l2, options.max_steps)?,
        labels,
        temperature: calibration.temperature,
        oos_scale: calibration.oos_scale,
        facts: TrainingFacts {
            n_examples: samples.len(),
            n_folds: options.n_folds,
            accuracy: cross_validation.accuracy,
            l2: options.l2,
        },
    };
    Ok(Trained { head, cross_validation })
}

fn distinct(examples: &[Example]) -> Vec<&Example> {
    let mut seen = HashSet::new();
    examples.iter().filter(|example| seen.insert(mask(&example.text).to_lowercase())).collect()
}

fn samples(embed: &dyn Embed, examples: &[&Example], labels: &[String]) -> Result<Vec<Sample>, IntentError> {
    let texts: Vec<&str> = examples.iter().map(|e| e.text.as_str()).collect();
    let features = read(embed, &texts)?;
    let samples = features.into_iter().zip(examples).filter_map(|(features, example)| {
        let truth = labels.binary_search(&example.label).ok()?;
        Some(Sample { features, truth })
    });
    Ok(samples.collect())
}

/// The labels in alphabetical order, after a check that each has enough examples.
fn checked_labels(examples: &[&Example], options: &TrainOptions) -> Result<Vec<String>, IntentError> {
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
    n_labels: usize,
    options: &TrainOptions,
) -> Result<Vec<Vec<f32>>, IntentError> {
    let folds = stratified_folds(samples, n_labels, options);
    let mut logits = vec![Vec::new(); samples.len()];
    for fold in 0..options.n_folds {
        let others: Vec<&Sample> =
            samples.iter().zip(&folds).filter_map(|(sample, f)| (*f != fold).then_some(sample)).collect();
        let weights = fit(&others, n_labels, options.l2, options.max_steps)?;
        for (i, sample) in samples.iter().enumerate().filter(|(i, _)| folds[*i] == fold) {
            logits[i] = weights.logits(&sample.features);
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

/// The calibration of a head.
struct Calibration {
    temperature: f32,
    oos: Option<usize>,
    oos_scale: Scale,
}

impl Calibration {
    /// Fits the calibration to the logits of held-out samples.
    fn fit(labels: &[String], samples: &[Sample], logits: &[Vec<f32>]) -> Self {
        let truths: Vec<usize> = samples.iter().map(|s| s.truth).collect();
        let oos = oos_index(labels);
        let outcomes: Vec<(f32, bool)> = logits
            .iter()
            .zip(&truths)
            .map(|(logits, truth)| (strangeness(logits, oos), Some(*truth) == oos))
            .collect();
        Self { temperature: fit_temperature(logits, &truths), oos, oos_scale: Scale::fit(&outcomes) }
    }

    fn predictions<'a>(
        &self,
        labels: &'a [String],
        samples: &[Sample],
        logits: &[Vec<f32>],
    ) -> Vec<Prediction<'a>> {
        let prediction = |(sample, logits): (&Sample, &Vec<f32>)| {
            let predicted = argmax(logits);
            Prediction {
                truth: &labels[sample.truth],
                predicted: &labels[predicted],
                confidence: softmax(logits, self.temperature)[predicted],
                oos: self.oos_scale.probability(strangeness(logits, self.oos)),
            }
        };
        samples.iter().zip(logits).map(prediction).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::embed::testing::HashEmbed;
    use crate::intent::features::Features;
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
        let unseen = classifier.classify(&["could you cancel this for me"]).unwrap();
        assert_eq!(unseen[0].scores[0].label, "cancel_order");
    }

    #[test]
    fn training_twice_gives_the_same_head() {
        let embed = HashEmbed::new(64);
        let first = train(&embed, &examples(), &options()).unwrap();
        let second = train(&embed, &examples(), &options()).unwrap();
        assert_eq!(first, second);
    }

    #[test]
    fn what_is_out_of_scope_can_be_a_label() {
        let mut examples = examples();
        let foreign =
            ["weather today", "sing a song", "who won the match", "a good film", "a joke", "hot rain"];
        examples.extend(foreign.map(|text| Example { text: text.to_owned(), label: "oos".to_owned() }));
        let embed = HashEmbed::new(256);
        let trained = train(&embed, &examples, &options()).unwrap();
        assert_eq!(trained.cross_validation.out_of_scope.as_ref().unwrap().n_examples, 6);
        let classifier = Classifier::new(Arc::new(embed), trained.head).unwrap();
        let read = classifier.classify(&["is the weather hot today", "please cancel my parcel"]).unwrap();
        assert!(read[0].oos > read[1].oos);
    }

    #[test]
    fn an_example_that_differs_only_in_its_number_counts_once() {
        let mut twice = examples();
        twice.extend(
            ["where is #W1000001", "Where is #W1000002"]
                .map(|text| Example { text: text.to_owned(), label: "track_order".to_owned() }),
        );
        let trained = train(&HashEmbed::new(64), &twice, &options()).unwrap();
        assert_eq!(trained.head.facts().n_examples, examples().len() + 1);
    }

    #[test]
    fn every_fold_holds_its_share_of_every_label() {
        let features = Features { vector: vec![1.0], grams: Vec::new() };
        let samples: Vec<Sample> =
            (0..60).map(|i| Sample { features: features.clone(), truth: i % 4 }).collect();
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
