//! Exact nearest-neighbour search over unit vectors. A store has hundreds of passages, not
//! millions: comparing with all of them takes less time than embedding the query.

use super::Scored;

/// All passages' vectors, row by row.
pub(super) struct Dense {
    /// The vectors, row-major `[n_passages, dim]`.
    rows: Vec<f32>,
    dim: usize,
}

impl Dense {
    /// An index of `vectors`, `[n_passages][dim]`, each of norm 1.
    pub(super) fn new(vectors: &[Vec<f32>]) -> Self {
        Self { rows: vectors.concat(), dim: vectors.first().map_or(1, Vec::len).max(1) }
    }

    /// The `n` passages nearest to the unit vector `query` `[dim]`, with their cosine similarity, nearest
    /// first; ties in the passages' order.
    pub(super) fn search(&self, query: &[f32], n: usize) -> Vec<Scored> {
        let mut scored: Vec<Scored> = self
            .rows
            .chunks_exact(self.dim)
            .map(|row| row.iter().zip(query).map(|(a, b)| a * b).sum())
            .enumerate()
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        scored.truncate(n);
        scored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::{Embed, testing::HashEmbed};

    #[test]
    fn the_nearest_comes_first_with_its_cosine() {
        let dense = Dense::new(&[vec![1.0, 0.0], vec![0.6, 0.8], vec![0.0, 1.0]]);
        let found = dense.search(&[0.0, 1.0], 2);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].0, found[1].0), (2, 1));
        assert!((found[0].1 - 1.0).abs() < 1e-6 && (found[1].1 - 0.8).abs() < 1e-6);
    }

    #[test]
    fn a_text_finds_itself_among_many() {
        let embed = HashEmbed::new(256);
        let texts: Vec<String> = (0..40).map(|i| format!("passage w{i} x{} y{}", i * 7, i % 5)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = embed.embed(&texts).unwrap();
        let dense = Dense::new(&vectors);
        for (i, vector) in vectors.iter().enumerate() {
            assert_eq!(dense.search(vector, 1)[0].0, i);
        }
    }

    #[test]
    fn no_vectors_no_hits() {
        assert!(Dense::new(&[]).search(&[1.0], 3).is_empty());
    }
}
