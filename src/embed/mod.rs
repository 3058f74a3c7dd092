//! Sentence embeddings: text in, unit vectors out. `intent` and `retrieval` compare the vectors.
//!
//! Place in the path: below `intent` and `retrieval`, which only know the trait [`Embed`];
//! [`MiniLm`] is the model that the server runs behind it.

mod bert;
#[cfg(test)]
pub(crate) mod testing;

pub use bert::MiniLm;

/// Why the embedding model could not be loaded, or a text not embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file of the model is missing or cannot be read.
    #[error("cannot load the embedding model from {path}: {reason}")]
    Load {
        /// The folder or file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The text could not be tokenised or run.
    #[error("cannot embed the text: {0}")]
    Run(String),
}

/// Turns texts into vectors whose dot product is their similarity.
pub trait Embed: Send + Sync {
    /// Length of every vector.
    fn dim(&self) -> usize;

    /// One unit vector (L2 norm 1) for each text, in order: `[texts.len()][dim]`.
    /// A text's vector does not depend on the texts beside it.
    ///
    /// # Errors
    /// [`EmbedError::Run`] when the model fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// Scales `vector` to L2 norm 1. A zero vector has no direction and stays as it is.
fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        for x in vector {
            *x /= norm;
        }
    }
}
