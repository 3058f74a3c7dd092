//! The linear head over a text's features, and its file.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::features::{Features, N_BUCKETS};
use super::oos::{OUT_OF_SCOPE, Scale, strangeness};
use super::regression::Weights;
use super::softmax::softmax;
use super::{Classified, IntentError, Score};

/// The head trained on `examples/demo-store/intents.csv`.
const SHIPPED: &[u8] = include_bytes!("../../models/intent-head.safetensors");

/// Key of the file's metadata under which [`Metadata`] stands as JSON.
const METADATA_KEY: &str = "tier0.intent_head";

/// Names of the fields of [`Weights`] in the file.
const TENSORS: [&str; 3] = ["vector", "bias", "grams"];

/// How a head was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// Number of examples that it was fitted to.
    pub n_examples: usize,
    /// Number of folds of the cross-validation behind `accuracy` and the temperature.
    pub n_folds: usize,
    /// Cross-validated accuracy: share of examples that a head without them classified correctly.
    pub accuracy: f64,
    /// Strength of the L2 penalty.
    pub l2: f64,
}

/// A linear softmax head over a text's embedding and n-grams.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentHead {
    pub(super) labels: Vec<String>,
    pub(super) weights: Weights,
    /// Divides the logits, so that the confidences are calibrated.
    pub(super) temperature: f32,
    /// Converts the logits' strangeness to a probability.
    pub(super) oos_scale: Scale,
    pub(super) facts: TrainingFacts,
}

/// The metadata of a head's file, beside its tensors.
#[derive(Serialize, Deserialize)]
struct Metadata {
    labels: Vec<String>,
    temperature: f32,
    oos_scale: Scale,
    facts: TrainingFacts,
}

impl IntentHead {
    /// The head that comes with the program, for all-MiniLM-L6-v2.
    ///
    /// # Errors
    /// [`IntentError::Head`] when the program was built with a damaged one.
    pub fn shipped() -> Result<Self, IntentError> {
        Self::from_bytes(SHIPPED)
    }

    /// Reads a head that [`save`](Self::save) has written.
    ///
    /// # Errors
    /// [`IntentError::File`] when the file cannot be read, [`IntentError::Head`] when it is not a head.
    pub fn load(path: &Path) -> Result<Self, IntentError> {
        let bytes =
            std::fs::read(path).map_err(|source| IntentError::File { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Writes the head as safetensors. The same head gives the same bytes.
    ///
    /// # Errors
    /// [`IntentError::File`] when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), IntentError> {
        std::fs::write(path, self.to_bytes()?)
            .map_err(|source| IntentError::File { path: path.to_owned(), source })
    }

    /// The labels that it knows, in the order of its weights.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Dimension of the vectors that it reads.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.weights.vector.len() / self.labels.len()
    }

    /// How it was trained.
    #[must_use]
    pub fn facts(&self) -> &TrainingFacts {
        &self.facts
    }

    /// Classifies a text by its features.
    ///
    /// [`Classifier::new`](super::Classifier::new) has checked the vector's length; of another length, only
    /// the common part counts.
    pub(super) fn read(&self, features: &Features) -> Classified {
        let logits = self.weights.logits(features);
        let mut scores: Vec<Score> = self
            .labels
            .iter()
            .zip(softmax(&logits, self.temperature))
            .map(|(label, confidence)| Score { label: label.clone(), confidence })
            .collect();
        scores.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        Classified { scores, oos: self.oos_scale.probability(strangeness(&logits, oos_index(&self.labels))) }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, IntentError> {
        let metadata = Metadata {
            labels: self.labels.clone(),
            temperature: self.temperature,
            oos_scale: self.oos_scale,
            facts: self.facts.clone(),
        };
        let metadata = serde_json::to_string(&metadata).map_err(|e| head_error(&e))?;
        let Weights { vector, bias, grams } = &self.weights;
        let n_labels = self.labels.len();
        let bytes = [vector, bias, grams].map(|values| to_le_bytes(values));
        let shapes = [vec![self.dim(), n_labels], vec![n_labels], vec![grams.len() / n_labels, n_labels]];
        let mut tensors = Vec::new();
        for ((name, shape), bytes) in TENSORS.into_iter().zip(shapes).zip(&bytes) {
            tensors.push((name, TensorView::new(Dtype::F32, shape, bytes).map_err(|e| head_error(&e))?));
        }
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), metadata)]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|e| head_error(&e))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, IntentError> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| head_error(&e))?;
        let metadata = header
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(METADATA_KEY))
            .ok_or_else(|| head_error(&format!("its metadata has no {METADATA_KEY}")))?;
        let metadata: Metadata = serde_json::from_str(metadata).map_err(|e| head_error(&e))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| head_error(&e))?;
        let [vector, bias, grams] = TENSORS.map(|name| read_f32(&tensors, name));
        let head = Self {
            labels: metadata.labels,
            weights: Weights { vector: vector?, bias: bias?, grams: grams? },
            temperature: metadata.temperature,
            oos_scale: metadata.oos_scale,
            facts: metadata.facts,
        };
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), IntentError> {
        let n_labels = self.labels.len();
        if n_labels < 2 {
            return Err(head_error(&format!("it knows {n_labels} labels")));
        }
        let Weights { vector, bias, grams } = &self.weights;
        let fits = bias.len() == n_labels
            && grams.len() == N_BUCKETS * n_labels
            && !vector.is_empty()
            && vector.len().is_multiple_of(n_labels);
        if !fits {
            return Err(head_error(&format!(
                "{} weights of vectors, {} of n-grams and {} biases do not fit {n_labels} labels",
                vector.len(),
                grams.len(),
                bias.len()
            )));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(head_error(&format!("its temperature is {}", self.temperature)));
        }
        Ok(())
    }
}

/// Index of the label of out-of-scope messages, if the head has one.
pub(super) fn oos_index(labels: &[String]) -> Option<usize> {
    labels.iter().position(|label| label == OUT_OF_SCOPE)
}

fn to_le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn read_f32(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>, IntentError> {
    let tensor = tensors.tensor(name).map_err(|e| head_error(&e))?;
    if tensor.dtype() != Dtype::F32 {
        return Err(head_error(&format!("{name} is {:?}, not F32", tensor.dtype())));
    }
    let (values, _) = tensor.data().as_chunks::<4>();
    Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn head_error(reason: &impl ToString) -> IntentError {
    IntentError::Head { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::features::Gram;

    fn head() -> IntentHead {
        let mut grams = vec![0.0; N_BUCKETS * 3];
        grams[7 * 3] = 9.0;
        IntentHead {
            labels: vec!["track_order".into(), "cancel_order".into(), "oos".into()],
            weights: Weights {
                vector: vec![4.0, 0.0, -1.0, 0.0, 4.0, -1.0],
                bias: vec![0.0, 0.0, 0.5],
                grams,
            },
            temperature: 0.8,
            oos_scale: Scale { slope: 1.0, offset: 2.0 },
            facts: TrainingFacts { n_examples: 9, n_folds: 3, accuracy: 0.9, l2: 1e-3 },
        }
    }

    fn features(vector: [f32; 2]) -> Features {
        Features { vector: vector.to_vec(), grams: Vec::new() }
    }

    #[test]
    fn confidences_fall_and_sum_to_one() {
        let scores = head().read(&features([0.6, 0.8])).scores;
        let labels: Vec<_> = scores.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["cancel_order", "track_order", "oos"]);
        assert!(scores.is_sorted_by(|a, b| a.confidence >= b.confidence));
        let sum: f32 = scores.iter().map(|s| s.confidence).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn n_grams_speak_beside_the_vector() {
        let gram = Gram { bucket: 7, value: 1.0 };
        let reading = head().read(&Features { grams: vec![gram], ..features([0.6, 0.8]) });
        assert_eq!(reading.scores[0].label, "track_order");
    }

    #[test]
    fn what_no_label_speaks_for_is_out_of_scope() {
        assert!(head().read(&features([1.0, 0.0])).oos < 0.05);
        assert!(head().read(&features([-0.7, -0.7])).oos > 0.95);
    }

    #[test]
    fn a_higher_temperature_is_less_sure_of_the_same() {
        let sharp = head().read(&features([1.0, 0.0])).scores;
        let soft = IntentHead { temperature: 3.0, ..head() }.read(&features([1.0, 0.0])).scores;
        assert_eq!(sharp[0].label, soft[0].label);
        assert!(sharp[0].confidence > soft[0].confidence);
    }

    #[test]
    fn a_saved_head_is_the_same_head_and_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        head().save(&first).unwrap();
        let loaded = IntentHead::load(&first).unwrap();
        assert_eq!(loaded, head());
        loaded.save(&second).unwrap();
        assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let cut = &head().to_bytes().unwrap()[..100];
        let no_metadata = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
        let mut uneven = head();
        uneven.weights.bias.pop();
        let frozen = IntentHead { temperature: 0.0, ..head() };
        assert!(IntentHead::from_bytes(cut).is_err());
        assert!(IntentHead::from_bytes(&no_metadata).is_err());
        assert!(uneven.check().is_err());
        assert!(IntentHead::from_bytes(&frozen.to_bytes().unwrap()).is_err());
    }
}
