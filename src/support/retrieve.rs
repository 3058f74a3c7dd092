//! Picks the sentences of the store's articles that a question is about, for quoting.

use crate::{
    embed::Embed,
    retrieval::{Hit, Index},
};

use super::{Citation, SupportError, verify::sentences};

/// Sentences quoted from one passage at most, and how much further from the question than the nearest
/// one they may be.
const MAX_SENTENCES: usize = 3;
const MAX_DISTANCE: f32 = 0.15;

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

    /// The sentences, as they stand in the article.
    pub(super) fn quote(&self) -> String {
        self.sentences.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// The passages nearest to `question`, best first, each with the sentences that answer it.
///
/// # Errors
/// When searching or embedding fails.
pub(super) fn retrieve(
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
