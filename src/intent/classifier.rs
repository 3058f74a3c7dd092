//! The classifier: an embedding model with a head; text in, intents out.

use std::sync::Arc;

use serde::Serialize;

use super::features::read;
use super::{IntentError, IntentHead};
use crate::embed::Embed;

/// An intent and its confidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The intent, such as `track_order`.
    pub label: String,
    /// 0 to 1; the confidences of all labels sum to 1.
    pub confidence: f32,
}

/// The classification of a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classified {
    /// Every label with its confidence, likeliest first. Never empty.
    pub scores: Vec<Score>,
    /// Probability that the text is out of scope, 0 to 1.
    pub oos: f32,
}

/// An embedding model with a head that fits it.
#[derive(Clone)]
pub struct Classifier {
    embed: Arc<dyn Embed>,
    head: Arc<IntentHead>,
}

impl Classifier {
    /// A classifier from an embedding model and a head.
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

    /// Classifies each text as a whole, in order. See [`parts`](super::parts()) for a message that may ask
    /// for several things.
    ///
    /// # Errors
    /// [`IntentError::Embed`] when the embedding model fails.
    pub fn classify(&self, texts: &[&str]) -> Result<Vec<Classified>, IntentError> {
        Ok(read(self.embed.as_ref(), texts)?.iter().map(|features| self.head.read(features)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::testing::HashEmbed;

    #[test]
    fn a_head_for_other_vectors_is_refused() {
        let head = IntentHead::shipped().unwrap();
        let error = Classifier::new(Arc::new(HashEmbed::new(8)), head).err().unwrap();
        assert!(matches!(error, IntentError::Dimension { head_dim: 384, embed_dim: 8 }));
    }

    #[test]
    fn the_order_number_does_not_change_the_intent() {
        let classifier =
            Classifier::new(Arc::new(HashEmbed::new(384)), IntentHead::shipped().unwrap()).unwrap();
        let classified = classifier.classify(&["where is #W2611340?", "where is #W9999999?"]).unwrap();
        assert_eq!(classified[0], classified[1]);
    }
}
