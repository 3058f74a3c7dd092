//! An embedding model and a head together: text in, intents out.

use std::sync::Arc;

use serde::Serialize;

use super::features::read;
use super::head::Reading;
use super::oos::OUT_OF_SCOPE;
use super::parts::parts;
use super::{IntentError, IntentHead};
use crate::embed::Embed;

/// The label of what asks for nothing: greetings, thanks, fragments.
const SMALL_TALK: &str = "other";

/// Confidence in a part's intent below which the part says nothing of its own.
const MIN_PART_CONFIDENCE: f32 = 0.7;

/// One intent with the confidence in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The intent, such as `track_order`.
    pub label: String,
    /// 0 to 1; the confidences of all labels sum to 1.
    pub confidence: f32,
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classified {
    /// Every label with its confidence in the message as a whole, likeliest first.
    pub scores: Vec<Score>,
    /// What the message asks for, surest first: the likeliest label of the whole, or two and more
    /// where its parts clearly ask for different things. Never empty.
    pub intents: Vec<Score>,
    /// Probability that the message as a whole is out of scope, 0 to 1.
    pub oos: f32,
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

    /// What `text` asks for.
    ///
    /// # Errors
    /// [`IntentError::Embed`] when the embedding model fails.
    pub fn classify(&self, text: &str) -> Result<Classified, IntentError> {
        let parts = parts(text);
        let parts = if parts.len() > 1 { parts } else { Vec::new() };
        let texts: Vec<&str> = std::iter::once(text).chain(parts.iter().map(String::as_str)).collect();
        let mut readings = self.read_all(&texts)?;
        let Reading { scores, oos } = readings.remove(0);
        let intents = intents_of(&readings).unwrap_or_else(|| scores[..1].to_vec());
        Ok(Classified { scores, intents, oos })
    }

    /// Reads every text as a whole, in order.
    pub(super) fn read_all(&self, texts: &[&str]) -> Result<Vec<Reading>, IntentError> {
        Ok(read(self.embed.as_ref(), texts)?.iter().map(|features| self.head.read(features)).collect())
    }
}

/// The intents of a message's parts, each with its highest confidence; `None` unless they differ.
fn intents_of(parts: &[Reading]) -> Option<Vec<Score>> {
    let mut clear: Vec<Score> = parts
        .iter()
        .map(|part| &part.scores[0])
        .filter(|best| best.confidence >= MIN_PART_CONFIDENCE)
        .filter(|best| ![SMALL_TALK, OUT_OF_SCOPE].contains(&best.label.as_str()))
        .cloned()
        .collect();
    clear.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut intents: Vec<Score> = Vec::new();
    for score in clear {
        if intents.iter().all(|intent| intent.label != score.label) {
            intents.push(score);
        }
    }
    (intents.len() > 1).then_some(intents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

    use rstest::rstest;

    use super::*;
    use crate::embed::testing::HashEmbed;

    fn part(label: &str, confidence: f32) -> Reading {
        let rest = Score { label: "rest".to_owned(), confidence: 1.0 - confidence };
        Reading { scores: vec![Score { label: label.to_owned(), confidence }, rest], oos: 0.0 }
    }

    #[rstest]
    #[case::two(&[("track_order", 0.8), ("cancel_order", 0.9)], Some(&["cancel_order", "track_order"][..]))]
    #[case::the_same_twice(&[("track_order", 0.8), ("track_order", 0.9)], None)]
    #[case::one_unclear(&[("track_order", 0.8), ("cancel_order", 0.5)], None)]
    #[case::small_talk(&[("track_order", 0.8), ("other", 0.9)], None)]
    #[case::nothing(&[], None)]
    fn parts_count_where_they_clearly_differ(
        #[case] parts: &[(&str, f32)],
        #[case] expected: Option<&[&str]>,
    ) {
        let parts: Vec<Reading> = parts.iter().map(|(label, confidence)| part(label, *confidence)).collect();
        let intents = intents_of(&parts);
        let labels = intents.as_ref().map(|i| i.iter().map(|s| s.label.as_str()).collect::<Vec<_>>());
        assert_eq!(labels.as_deref(), expected);
    }

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
        let of = |text| classifier.classify(text).unwrap();
        assert_eq!(of("where is #W2611340?"), of("where is #W9999999?"));
    }
}
