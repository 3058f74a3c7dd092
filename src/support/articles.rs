//! What the store's articles say to a question: the passages near it, and of each the sentences that
//! are about it, for quoting.

use std::sync::Arc;

use super::{Citation, Outcome, SupportError, brief::Brief, brief::Point, run_blocking, verify::sentences};
use crate::{
    embed::Embed,
    retrieval::{Hit, Index},
};

/// Sentences quoted from one passage at most, and how much further from the question than the nearest
/// one they may be.
const MAX_SENTENCES: usize = 3;
const MAX_DISTANCE: f32 = 0.15;
/// Similarity of a sentence to its question from which it surely answers it.
const SURE_SIMILARITY: f32 = 0.6;
/// Sentences of a section that a citation quotes where no sentence was chosen.
const MAX_QUOTED: usize = 2;

/// The store's articles.
#[derive(Clone)]
pub(super) struct Articles {
    pub(super) index: Arc<Index>,
    /// Compares sentences with questions.
    pub(super) embed: Arc<dyn Embed>,
    /// Passages looked at for a question.
    pub(super) n_passages: usize,
    /// Similarity, −1 to 1, below which a passage does not answer a question.
    pub(super) min_similarity: f32,
}

impl Articles {
    /// The passages nearest to `question`, best first, each with the sentences that are about it.
    ///
    /// # Errors
    /// When searching or embedding fails.
    pub(super) async fn find(&self, question: String) -> Result<Vec<Quoted>, SupportError> {
        let Self { index, embed, n_passages, .. } = self.clone();
        run_blocking("retrieve", move || find(&index, embed.as_ref(), &question, n_passages)).await
    }

    /// The best of what was found, if it is near enough to its question to answer it.
    pub(super) fn answer<'a>(&self, found: &'a [Quoted]) -> Option<&'a Quoted> {
        found.first().filter(|best| best.similarity() >= self.min_similarity)
    }

    /// Fills in what the sections say that a brief only names.
    pub(super) fn quote_in(&self, brief: &mut Brief) {
        for citation in brief.citations.iter_mut().filter(|citation| citation.quote.is_empty()) {
            let passage = self.index.passages().iter().find(|passage| passage.id == citation.id);
            if let Some(passage) = passage {
                let mut quoted = sentences(&passage.text);
                quoted.truncate(MAX_QUOTED);
                citation.title.clone_from(&passage.title);
                citation.quote = quoted.join(" ");
            }
        }
    }
}

/// A passage that a reply may rest on, with the sentences that matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Quoted {
    /// The passage and its ranks.
    pub hit: Hit,
    /// The chosen sentences, in the passage's order.
    pub sentences: Vec<QuotedSentence>,
}

/// A sentence of an article, and how near it is to the question.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotedSentence {
    /// The article's own words.
    pub text: String,
    /// Cosine similarity to the question, −1 to 1.
    pub similarity: f32,
}

impl Quoted {
    /// Similarity of the best sentence; −1 where there is none.
    pub fn similarity(&self) -> f32 {
        self.sentences.iter().map(|s| s.similarity).fold(-1.0, f32::max)
    }

    /// As the reply's report names it.
    pub fn citation(&self) -> Citation {
        let passage = &self.hit.passage;
        Citation { id: passage.id.clone(), title: passage.title.clone(), quote: self.quote() }
    }

    /// The same with its nearest sentence alone.
    pub(super) fn best_sentence(mut self) -> Self {
        let best = self.similarity();
        self.sentences.retain(|s| s.similarity >= best);
        self
    }

    /// How surely it answers its question, 0 to 1.
    pub(super) fn sureness(&self) -> f32 {
        (self.similarity() / SURE_SIMILARITY).clamp(0.0, 1.0)
    }

    /// The brief that quotes it.
    pub(super) fn brief(&self, confidence: f32) -> Brief {
        let points = self.sentences.iter().map(|sentence| Point::quoting(&sentence.text)).collect();
        Brief {
            citations: vec![self.citation()],
            speaks_for_itself: false,
            ..Brief::new(Outcome::Answer, points, confidence * self.sureness())
        }
    }

    /// The sentences, as they stand in the article.
    pub(super) fn quote(&self) -> String {
        self.sentences.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

fn find(
    index: &Index,
    embed: &dyn Embed,
    question: &str,
    n_passages: usize,
) -> Result<Vec<Quoted>, SupportError> {
    let failed = |reason: String| SupportError::Stage { stage: "retrieve", reason };
    let hits = index.search(question, n_passages).map_err(|e| failed(e.to_string()))?;
    let quoted = hits.into_iter().map(|hit| quote(embed, question, hit));
    let mut quoted = quoted.collect::<Result<Vec<_>, _>>().map_err(|e| failed(e.to_string()))?;
    // The searches find the neighbourhood; which section answers, a sentence of it tells best.
    quoted.sort_by(|a, b| b.similarity().total_cmp(&a.similarity()));
    Ok(quoted)
}

fn quote(embed: &dyn Embed, question: &str, hit: Hit) -> Result<Quoted, crate::embed::EmbedError> {
    let candidates = sentences(&hit.passage.text);
    // The headings say what a sentence's "it" is.
    let place = format!("{}, {}", hit.passage.article, hit.passage.title);
    let texts: Vec<String> = candidates.iter().map(|s| format!("{place}: {s}")).collect();
    let refs: Vec<&str> = std::iter::once(question).chain(texts.iter().map(String::as_str)).collect();
    let vectors = embed.embed(&refs)?;
    let (question, rest) = vectors.split_first().map_or((&[][..], &[][..]), |(q, rest)| (q.as_slice(), rest));
    let similarity = |v: &Vec<f32>| question.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
    let mut ranked: Vec<(usize, f32)> = rest.iter().map(similarity).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let best = ranked.first().map_or(0.0, |(_, similarity)| *similarity);
    ranked.retain(|(_, similarity)| *similarity >= best - MAX_DISTANCE);
    ranked.truncate(MAX_SENTENCES);
    ranked.sort_unstable_by_key(|(i, _)| *i);
    let sentence = |(i, similarity): (usize, f32)| QuotedSentence { text: candidates[i].clone(), similarity };
    Ok(Quoted { hit, sentences: ranked.into_iter().map(sentence).collect() })
}
