//! How many sentences a second the embedding model takes.

use std::time::Instant;

use serde::Serialize;

use crate::embed::{Embed, EmbedError};

/// Words that are one token each.
const WORDS: [&str; 20] = [
    "where", "is", "my", "order", "the", "box", "was", "late", "again", "please", "send", "it", "back",
    "today", "and", "tell", "me", "when", "money", "comes",
];
/// `[CLS]` and `[SEP]`.
const CONTROL_TOKENS: usize = 2;

/// What is measured.
#[derive(Debug, Clone)]
pub struct EmbedBench {
    /// Sentences to embed at each batch size.
    pub n_sentences: usize,
    /// Tokens of each sentence, the model's two control tokens included.
    pub n_tokens: usize,
    /// Sentences at a time.
    pub batch_sizes: Vec<usize>,
}

/// What was measured at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EmbedRate {
    /// Sentences at a time.
    pub batch: usize,
    /// Tokens of each sentence.
    pub tokens: usize,
    /// Sentences a second, from text to vector.
    pub sentences_per_s: f64,
}

impl EmbedBench {
    /// Embeds the sentences once for each batch size, after a first batch that does not count.
    ///
    /// # Errors
    /// When the model fails.
    pub fn run(&self, model: &dyn Embed) -> Result<Vec<EmbedRate>, EmbedError> {
        let sentences: Vec<String> = (0..self.n_sentences).map(|i| sentence(i, self.n_tokens)).collect();
        let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let measure = |&batch: &usize| {
            let batch = batch.max(1);
            model.embed(&texts[..batch.min(texts.len())])?;
            let start = Instant::now();
            texts.chunks(batch).try_for_each(|texts| model.embed(texts).map(drop))?;
            let sentences_per_s = texts.len() as f64 / start.elapsed().as_secs_f64();
            Ok(EmbedRate { batch, tokens: self.n_tokens, sentences_per_s })
        };
        self.batch_sizes.iter().map(measure).collect()
    }
}

/// A sentence of `n_tokens`, another for each `seed`.
fn sentence(seed: usize, n_tokens: usize) -> String {
    let word = |i: usize| WORDS[(seed * 7 + i * 3 + seed * i) % WORDS.len()];
    (0..n_tokens.saturating_sub(CONTROL_TOKENS)).map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::testing::HashEmbed;

    #[test]
    fn every_batch_size_gets_a_rate() {
        let bench = EmbedBench { n_sentences: 7, n_tokens: 6, batch_sizes: vec![1, 3, 100] };
        let rates = bench.run(&HashEmbed::new(16)).unwrap();
        assert_eq!(rates.iter().map(|rate| rate.batch).collect::<Vec<_>>(), [1, 3, 100]);
        assert!(rates.iter().all(|rate| rate.tokens == 6 && rate.sentences_per_s > 0.0));
    }

    #[test]
    fn sentences_have_their_length_and_differ() {
        assert_eq!(sentence(3, 12).split(' ').count(), 10);
        assert_ne!(sentence(3, 12), sentence(4, 12));
        assert_eq!(sentence(0, 1), "");
    }
}
