//! Measures a classifier against labelled examples.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::calibration::expected_calibration_error;
use super::oos::{OUT_OF_SCOPE, OutOfScopeReport};
use super::{Classifier, Example, IntentError};

/// How many confused pairs and weak labels [`Evaluation`] prints.
const N_SHOWN: usize = 10;

/// The quality of predictions, over all labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of examples.
    pub n_examples: usize,
    /// Accuracy: share of examples whose likeliest label is the right one.
    pub accuracy: f64,
    /// Macro F1: mean F1 over the labels of the examples.
    pub macro_f1: f64,
    /// Expected calibration error: mean distance between confidence and accuracy.
    pub ece: f64,
    /// How well the examples labelled [`OUT_OF_SCOPE`] are separated from the others, if there are both.
    pub out_of_scope: Option<OutOfScopeReport>,
    /// Every label of the examples, in alphabetical order.
    pub labels: Vec<LabelReport>,
    /// The confused pairs of labels, most frequent first.
    pub confusions: Vec<Confusion>,
}

/// The quality of predictions of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// Name of the label.
    pub label: String,
    /// Number of examples with it.
    pub n_examples: usize,
    /// Precision: share of its predictions that were right; 0 if it was never predicted.
    pub precision: f64,
    /// Recall: share of its examples that were found.
    pub recall: f64,
    /// F1: harmonic mean of the two.
    pub f1: f64,
}

/// How often one label was predicted instead of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// The right label.
    pub truth: String,
    /// The predicted label.
    pub predicted: String,
    /// Number of examples.
    pub n_examples: usize,
}

/// One example's right and predicted labels, the confidence, and the out-of-scope score.
pub(super) struct Prediction<'a> {
    pub(super) truth: &'a str,
    pub(super) predicted: &'a str,
    pub(super) confidence: f32,
    pub(super) oos: f32,
}

/// Classifies every example and compares the predictions with the labels.
///
/// # Errors
/// [`IntentError::Embed`] when the embedding model fails.
pub fn evaluate(classifier: &Classifier, examples: &[Example]) -> Result<Evaluation, IntentError> {
    let texts: Vec<&str> = examples.iter().map(|e| e.text.as_str()).collect();
    let readings = classifier.classify(&texts)?;
    let predictions: Vec<Prediction<'_>> = examples
        .iter()
        .zip(&readings)
        .map(|(example, reading)| Prediction {
            truth: &example.label,
            predicted: &reading.scores[0].label,
            confidence: reading.scores[0].confidence,
            oos: reading.oos,
        })
        .collect();
    Ok(Evaluation::of(&predictions))
}

impl Evaluation {
    pub(super) fn of(predictions: &[Prediction<'_>]) -> Self {
        let n_examples = predictions.len();
        let n_right = predictions.iter().filter(|p| p.truth == p.predicted).count();
        let outcomes: Vec<(f32, bool)> =
            predictions.iter().map(|p| (p.confidence, p.truth == p.predicted)).collect();
        let scopes: Vec<(f32, bool)> = predictions.iter().map(|p| (p.oos, p.truth == OUT_OF_SCOPE)).collect();
        let labels = label_reports(predictions);
        Self {
            n_examples,
            accuracy: ratio(n_right, n_examples),
            macro_f1: labels.iter().map(|l| l.f1).sum::<f64>() / labels.len().max(1) as f64,
            ece: expected_calibration_error(&outcomes),
            out_of_scope: OutOfScopeReport::of(&scopes),
            confusions: confusions(predictions),
            labels,
        }
    }
}

fn label_reports(predictions: &[Prediction<'_>]) -> Vec<LabelReport> {
    #[derive(Default)]
    struct Counts {
        n_right: usize,
        n_predicted: usize,
        n_true: usize,
    }
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for p in predictions {
        counts.entry(p.truth).or_default().n_true += 1;
        counts.entry(p.predicted).or_default().n_predicted += 1;
        if p.truth == p.predicted {
            counts.entry(p.truth).or_default().n_right += 1;
        }
    }
    counts
        .into_iter()
        .filter(|(_, c)| c.n_true > 0)
        .map(|(label, c)| LabelReport {
            label: label.to_owned(),
            n_examples: c.n_true,
            precision: ratio(c.n_right, c.n_predicted),
            recall: ratio(c.n_right, c.n_true),
            f1: ratio(2 * c.n_right, c.n_predicted + c.n_true),
        })
        .collect()
}

fn confusions(predictions: &[Prediction<'_>]) -> Vec<Confusion> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for p in predictions.iter().filter(|p| p.truth != p.predicted) {
        *counts.entry((p.truth, p.predicted)).or_default() += 1;
    }
    let mut confusions: Vec<Confusion> = counts
        .into_iter()
        .map(|((truth, predicted), n_examples)| Confusion {
            truth: truth.to_owned(),
            predicted: predicted.to_owned(),
            n_examples,
        })
        .collect();
    // Stable, so equally frequent pairs stay in alphabetical order.
    confusions.sort_by_key(|c| std::cmp::Reverse(c.n_examples));
    confusions
}

/// `part / whole`; 0 if `whole` is 0.
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "examples  {}", self.n_examples)?;
        writeln!(f, "accuracy  {:.1} %", 100.0 * self.accuracy)?;
        writeln!(f, "macro F1  {:.1} %", 100.0 * self.macro_f1)?;
        writeln!(f, "ECE       {:.1} %", 100.0 * self.ece)?;
        self.write_out_of_scope(f)?;
        self.write_weakest(f)?;
        self.write_confusions(f)
    }
}

impl Evaluation {
    fn write_out_of_scope(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(report) = &self.out_of_scope else {
            return Ok(());
        };
        writeln!(f, "\nout of scope: {} examples", report.n_examples)?;
        writeln!(f, "AUROC       {:.1} %", 100.0 * report.auroc)?;
        writeln!(
            f,
            "FPR@95TPR   {:.1} %: the others from {:.3} up, where 95 % of these are found",
            100.0 * report.fpr_at_95_tpr,
            report.threshold
        )
    }

    fn write_weakest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut weakest: Vec<&LabelReport> = self.labels.iter().collect();
        weakest.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        writeln!(f, "\nweakest labels       precision  recall      F1  examples")?;
        for label in weakest.into_iter().take(N_SHOWN) {
            writeln!(
                f,
                "{:<20}  {:>8.1}  {:>6.1}  {:>6.1}  {:>8}",
                label.label,
                100.0 * label.precision,
                100.0 * label.recall,
                100.0 * label.f1,
                label.n_examples
            )?;
        }
        Ok(())
    }

    fn write_confusions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.confusions.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nmost confused")?;
        for c in self.confusions.iter().take(N_SHOWN) {
            writeln!(f, "{:>4} × {} taken for {}", c.n_examples, c.truth, c.predicted)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction<'a>(truth: &'a str, predicted: &'a str) -> Prediction<'a> {
        Prediction { truth, predicted, confidence: 1.0, oos: f32::from(u8::from(predicted == OUT_OF_SCOPE)) }
    }

    fn four_predictions() -> Evaluation {
        Evaluation::of(&[
            prediction("cancel", "cancel"),
            prediction("cancel", "track"),
            prediction("track", "track"),
            prediction("other", "track"),
        ])
    }

    #[test]
    fn the_rates_are_those_of_the_textbook() {
        let evaluation = four_predictions();
        assert!((evaluation.accuracy - 0.5).abs() < 1e-9);
        // F1: cancel 2·1/(1+2), track 2·1/(3+1), other 0.
        assert!((evaluation.macro_f1 - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-9);
        assert!((evaluation.ece - 0.5).abs() < 1e-9);
        let track = &evaluation.labels[2];
        assert_eq!((track.label.as_str(), track.n_examples), ("track", 1));
        assert!((track.precision - 1.0 / 3.0).abs() < 1e-9);
        assert!((track.recall - 1.0).abs() < 1e-9);
    }

    #[test]
    fn frequent_confusions_come_first() {
        let mut predictions = vec![prediction("a", "b")];
        predictions.extend([prediction("b", "c"), prediction("b", "c"), prediction("c", "c")]);
        let confusions = Evaluation::of(&predictions).confusions;
        assert_eq!(confusions.len(), 2);
        assert_eq!((confusions[0].truth.as_str(), confusions[0].n_examples), ("b", 2));
    }

    #[test]
    fn the_report_names_rates_weak_labels_and_confusions() {
        let report = four_predictions().to_string();
        for part in ["accuracy  50.0 %", "other", "1 × other taken for track"] {
            assert!(report.contains(part), "{part:?} is not in\n{report}");
        }
    }

    #[test]
    fn the_report_tells_how_well_out_of_scope_is_found() {
        let predictions =
            [prediction("oos", "oos"), prediction("track", "track"), prediction("track", "oos")];
        let report = Evaluation::of(&predictions).to_string();
        for part in ["out of scope: 1 examples", "AUROC       75.0 %", "FPR@95TPR   50.0 %"] {
            assert!(report.contains(part), "{part:?} is not in\n{report}");
        }
        assert!(!four_predictions().to_string().contains("AUROC"));
    }

    #[test]
    fn nothing_to_look_at_is_no_division_by_zero() {
        let evaluation = Evaluation::of(&[]);
        assert_eq!(evaluation.n_examples, 0);
        assert!(evaluation.accuracy.abs() < f64::EPSILON && evaluation.macro_f1.abs() < f64::EPSILON);
    }
}
