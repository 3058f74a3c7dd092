//! The linear head over sentence embeddings, its file, and the two together.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::softmax::softmax;
use super::{IntentError, mask};
use crate::embed::Embed;

/// The head trained on `examples/demo-store/intents.csv`.
const SHIPPED: &[u8] = include_bytes!("../../models/intent-head.safetensors");

/// Key of the file's metadata under which [`Metadata`] stands as JSON.
const METADATA_KEY: &str = "tier0.intent_head";

/// One intent with the confidence in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The intent, such as `track_order`.
    pub label: String,
    /// 0 to 1; the confidences of all labels sum to 1.
    pub confidence: f32,
}

/// How a head came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// Examples that it was fitted to.
    pub n_examples: usize,
    /// Folds of the cross-validation behind `accuracy` and the temperature.
    pub n_folds: usize,
    /// Share of examples that heads which had not seen them got right.
    pub accuracy: f64,
    /// Strength of the L2 penalty.
    pub l2: f64,
}

/// A linear softmax head: what every label's direction in the embedding space is.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentHead {
    pub(super) labels: Vec<String>,
    /// Row-major `[n_labels, dim]`.
    pub(super) weights: Vec<f32>,
    /// `[n_labels]`
    pub(super) bias: Vec<f32>,
    pub(super) temperature: f32,
    pub(super) facts: TrainingFacts,
}

/// What a head's file says beside its tensors.
#[derive(Serialize, Deserialize)]
struct Metadata {
    labels: Vec<String>,
    temperature: f32,
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
    /// [`IntentError::File`] when the file cannot be read, [`IntentError::Head`] when it is none.
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

    /// Length of the vectors that it reads.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.weights.len() / self.labels.len()
    }

    /// How it came about.
    #[must_use]
    pub fn facts(&self) -> &TrainingFacts {
        &self.facts
    }

    /// Every label with its confidence, likeliest first, for one unit vector `[dim]`.
    ///
    /// A vector of another length is read as far as both go; [`Classifier::new`] has checked it.
    #[must_use]
    pub fn classify(&self, embedding: &[f32]) -> Vec<Score> {
        let confidences = softmax(&self.logits(embedding), self.temperature);
        let mut scores: Vec<Score> = self
            .labels
            .iter()
            .zip(confidences)
            .map(|(label, confidence)| Score { label: label.clone(), confidence })
            .collect();
        scores.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        scores
    }

    /// One value for each label, before temperature and softmax: `[n_labels]`.
    pub(super) fn logits(&self, embedding: &[f32]) -> Vec<f32> {
        self.weights
            .chunks_exact(self.dim())
            .zip(&self.bias)
            .map(|(row, bias)| row.iter().zip(embedding).map(|(w, x)| w * x).sum::<f32>() + bias)
            .collect()
    }

    fn to_bytes(&self) -> Result<Vec<u8>, IntentError> {
        let metadata = Metadata {
            labels: self.labels.clone(),
            temperature: self.temperature,
            facts: self.facts.clone(),
        };
        let metadata = serde_json::to_string(&metadata).map_err(|e| head_error(&e))?;
        let weights = to_le_bytes(&self.weights);
        let bias = to_le_bytes(&self.bias);
        let weights_shape = vec![self.labels.len(), self.dim()];
        let tensors = [
            (
                "bias",
                TensorView::new(Dtype::F32, vec![self.labels.len()], &bias).map_err(|e| head_error(&e))?,
            ),
            ("weights", TensorView::new(Dtype::F32, weights_shape, &weights).map_err(|e| head_error(&e))?),
        ];
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
        let head = Self {
            weights: read_f32(&tensors, "weights")?,
            bias: read_f32(&tensors, "bias")?,
            labels: metadata.labels,
            temperature: metadata.temperature,
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
        if self.bias.len() != n_labels
            || self.weights.is_empty()
            || !self.weights.len().is_multiple_of(n_labels)
        {
            return Err(head_error(&format!(
                "{} weights and {} biases do not fit {n_labels} labels",
                self.weights.len(),
                self.bias.len()
            )));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(head_error(&format!("its temperature is {}", self.temperature)));
        }
        Ok(())
    }
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

/// An embedding model and a head that fits it.
#[derive(Clone)]
pub struct Classifier {
    embed: Arc<dyn Embed>,
    head: Arc<IntentHead>,
}

impl Classifier {
    /// Puts the two together.
    ///
    /// # Errors
    /// [`IntentError::Dimension`] when the head was trained on vectors of another length.
    pub fn new(embed: Arc<dyn Embed>, head: IntentHead) -> Result<Self, IntentError> {
        if head.dim() != embed.dim() {
            return Err(IntentError::Dimension { head_dim: head.dim(), embed_dim: embed.dim() });
        }
        Ok(Self { embed, head: Arc::new(head) })
    }

    /// The head in use.
    #[must_use]
    pub fn head(&self) -> &IntentHead {
        &self.head
    }

    /// Every label with its confidence, likeliest first.
    ///
    /// # Errors
    /// [`IntentError::Embed`] when the embedding model fails.
    pub fn classify(&self, text: &str) -> Result<Vec<Score>, IntentError> {
        let mut scores = self.classify_all(&[text])?;
        Ok(scores.swap_remove(0))
    }

    /// [`classify`](Self::classify) for many texts, in order.
    ///
    /// # Errors
    /// [`IntentError::Embed`] when the embedding model fails.
    pub fn classify_all(&self, texts: &[&str]) -> Result<Vec<Vec<Score>>, IntentError> {
        let vectors = embed_masked(self.embed.as_ref(), texts)?;
        Ok(vectors.iter().map(|v| self.head.classify(v)).collect())
    }
}

/// Masks and embeds: the one way from a customer's words to what heads are trained on and read.
pub(super) fn embed_masked(embed: &dyn Embed, texts: &[&str]) -> Result<Vec<Vec<f32>>, IntentError> {
    let masked: Vec<String> = texts.iter().map(|text| mask(text)).collect();
    let masked: Vec<&str> = masked.iter().map(String::as_str).collect();
    Ok(embed.embed(&masked)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

    use super::*;
    use crate::embed::testing::HashEmbed;

    fn head() -> IntentHead {
        IntentHead {
            labels: vec!["track_order".into(), "cancel_order".into(), "other".into()],
            weights: vec![4.0, 0.0, 0.0, 4.0, -1.0, -1.0],
            bias: vec![0.0, 0.0, 0.5],
            temperature: 0.8,
            facts: TrainingFacts { n_examples: 9, n_folds: 3, accuracy: 0.9, l2: 1e-3 },
        }
    }

    #[test]
    fn confidences_fall_and_sum_to_one() {
        let scores = head().classify(&[0.6, 0.8]);
        let labels: Vec<_> = scores.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["cancel_order", "track_order", "other"]);
        assert!(scores.is_sorted_by(|a, b| a.confidence >= b.confidence));
        let sum: f32 = scores.iter().map(|s| s.confidence).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_higher_temperature_is_less_sure_of_the_same() {
        let sharp = head().classify(&[1.0, 0.0]);
        let soft = IntentHead { temperature: 3.0, ..head() }.classify(&[1.0, 0.0]);
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
        let uneven = IntentHead { bias: vec![0.0], ..head() };
        let frozen = IntentHead { temperature: 0.0, ..head() };
        assert!(IntentHead::from_bytes(cut).is_err());
        assert!(IntentHead::from_bytes(&no_metadata).is_err());
        assert!(uneven.check().is_err());
        assert!(IntentHead::from_bytes(&frozen.to_bytes().unwrap()).is_err());
    }

    #[test]
    fn a_head_for_other_vectors_is_refused() {
        let error = Classifier::new(Arc::new(HashEmbed::new(8)), head()).err().unwrap();
        assert!(matches!(error, IntentError::Dimension { head_dim: 2, embed_dim: 8 }));
    }

    #[test]
    fn the_order_number_does_not_change_the_intent() {
        let classifier =
            Classifier::new(Arc::new(HashEmbed::new(384)), IntentHead::shipped().unwrap()).unwrap();
        let of = |text| classifier.classify(text).unwrap();
        assert_eq!(of("where is #W2611340?"), of("where is #W9999999?"));
    }
}
