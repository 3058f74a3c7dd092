//! Hybrid search for the passages of the store's articles that a question is about.
//!
//! Place in the path: `support` calls [`Index::search`] once the intent is known. Articles become
//! passages ([`passages`], one for each section); a query ranks them by words (BM25 in tantivy) and by
//! meaning (dot products of [`embed`](crate::embed) vectors); reciprocal rank fusion merges the two
//! rankings. A [`Hit`] has both ranks, so that a result can be explained.

mod corpus;
mod dense;
mod fusion;
mod lexical;
mod vectors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use corpus::{Article, Passage, passages};

use crate::embed::{Embed, EmbedError};
use dense::Dense;
use lexical::Lexical;

/// Number of candidates that each ranking passes to the fusion, unless more hits are requested: the same
/// for every number of hits, so that a request for more does not change the first ones.
const N_CANDIDATES: usize = 20;

/// Why an index could not be built or searched.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// The vectors could not be saved.
    #[error("cannot keep the passages' vectors in {path}: {reason}")]
    Vectors {
        /// Path of the file.
        path: PathBuf,
        /// Why it could not be written.
        reason: String,
    },
    /// The embedding model failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The full-text index failed.
    #[error("the full-text index failed: {0}")]
    Lexical(#[from] tantivy::TantivyError),
}

/// A passage that was found, with its ranks.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The passage that was found.
    pub passage: Arc<Passage>,
    /// The fused score, by which hits are ordered; comparable within one search only.
    pub score: f32,
    /// Rank (from 1) and BM25 score by words, if it is among the candidates by words.
    pub lexical: Option<(usize, f32)>,
    /// Rank (from 1) and cosine similarity, if it is among the candidates by meaning.
    pub dense: Option<(usize, f32)>,
}

/// All passages, searchable by words and by meaning.
pub struct Index {
    passages: Vec<Arc<Passage>>,
    lexical: Lexical,
    dense: Dense,
    embed: Arc<dyn Embed>,
}

impl Index {
    /// Embeds and indexes `passages` in memory.
    ///
    /// # Errors
    /// [`RetrievalError::Embed`] and [`RetrievalError::Lexical`] when embedding or indexing fails.
    pub fn build(passages: Vec<Passage>, embed: Arc<dyn Embed>) -> Result<Self, RetrievalError> {
        let vectors = embed_passages(&passages, embed.as_ref())?;
        Self::assemble(passages, &vectors, embed)
    }

    /// Like [`build`](Self::build), but caches the vectors in `dir`. They are read from there if they belong
    /// to these passages and this embedding model; if the file is old, damaged or missing, they are
    /// computed again.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and [`RetrievalError::Vectors`] when `dir` cannot be
    /// written.
    pub fn open_or_build(
        dir: &Path,
        passages: Vec<Passage>,
        embed: Arc<dyn Embed>,
    ) -> Result<Self, RetrievalError> {
        let fingerprint = vectors::fingerprint(&passages, embed.as_ref())?;
        let kept = vectors::load(dir, &fingerprint, passages.len(), embed.dim());
        let vectors = match kept {
            Some(vectors) => vectors,
            None => {
                let vectors = embed_passages(&passages, embed.as_ref())?;
                vectors::save(dir, &fingerprint, &vectors, embed.dim())?;
                vectors
            }
        };
        Self::assemble(passages, &vectors, embed)
    }

    fn assemble(
        passages: Vec<Passage>,
        vectors: &[Vec<f32>],
        embed: Arc<dyn Embed>,
    ) -> Result<Self, RetrievalError> {
        Ok(Self {
            lexical: Lexical::build(&passages)?,
            dense: Dense::new(vectors),
            passages: passages.into_iter().map(Arc::new).collect(),
            embed,
        })
    }

    /// All passages, in the order in which they were given.
    #[must_use]
    pub fn passages(&self) -> &[Arc<Passage>] {
        &self.passages
    }

    /// The `k` passages that `query` is most likely about, best first. The query is plain text without any
    /// syntax.
    ///
    /// # Errors
    /// [`RetrievalError::Embed`] and [`RetrievalError::Lexical`] when the search fails.
    pub fn search(&self, query: &str, k: usize) -> Result<Vec<Hit>, RetrievalError> {
        if k == 0 || self.passages.is_empty() {
            return Ok(Vec::new());
        }
        let n_candidates = N_CANDIDATES.max(k);
        let by_words = self.lexical.search(query, n_candidates)?;
        let query_vector = self.embed.embed(&[query])?.swap_remove(0);
        let by_meaning = self.dense.search(&query_vector, n_candidates);

        let rankings = [ids(&by_words), ids(&by_meaning)];
        let (words, meaning) = (with_ranks(&by_words), with_ranks(&by_meaning));
        Ok(fusion::reciprocal_rank(&rankings)
            .into_iter()
            .take(k)
            .map(|(passage, score)| Hit {
                passage: Arc::clone(&self.passages[passage]),
                score,
                lexical: words.get(&passage).copied(),
                dense: meaning.get(&passage).copied(),
            })
            .collect())
    }
}

/// A passage's place in [`Index::passages`] and its score in one ranking.
type Scored = (usize, f32);

fn ids(ranking: &[Scored]) -> Vec<usize> {
    ranking.iter().map(|(passage, _)| *passage).collect()
}

/// Passage → (rank from 1, score).
fn with_ranks(ranking: &[Scored]) -> BTreeMap<usize, (usize, f32)> {
    ranking.iter().zip(1..).map(|(&(passage, score), rank)| (passage, (rank, score))).collect()
}

/// A heading often says what the text below it only implies, so both are embedded.
fn embed_passages(passages: &[Passage], embed: &dyn Embed) -> Result<Vec<Vec<f32>>, RetrievalError> {
    let texts: Vec<String> = passages.iter().map(|p| format!("{}\n{}", p.title, p.text)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(embed.embed(&texts)?)
}

#[cfg(test)]
mod tests;
