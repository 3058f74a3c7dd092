//! Embedders for tests: a deterministic fake, and the real model where this machine has it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use candle_core::Device;
use sha2::{Digest, Sha256};

use super::{Embed, EmbedError, MiniLm, normalize};

/// A bag of hashed words: texts that share words are similar, and nothing is random.
pub(crate) struct HashEmbed {
    dim: usize,
}

impl HashEmbed {
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim }
    }
}

impl Embed for HashEmbed {
    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| hashed_words(text, self.dim)).collect())
    }
}

fn hashed_words(text: &str, dim: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dim];
    // A constant first component keeps the vector of an empty text from being zero.
    vector[0] = 0.1;
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let digest = Sha256::digest(word.as_bytes());
        let slot = usize::from(u16::from_le_bytes([digest[0], digest[1]])) % dim;
        vector[slot] += if digest[2] % 2 == 0 { 1.0 } else { -1.0 };
    }
    normalize(&mut vector);
    vector
}

/// MiniLM from `$TIER0_MODELS/all-minilm-l6-v2` or the user's data folder, loaded once;
/// `None`, with a line on stderr, where this machine does not have it.
pub(crate) fn real_model() -> Option<Arc<MiniLm>> {
    static MODEL: OnceLock<Option<Arc<MiniLm>>> = OnceLock::new();
    MODEL
        .get_or_init(|| match MiniLm::load(&real_model_dir()?, &Device::Cpu) {
            Ok(model) => Some(Arc::new(model)),
            Err(error) => {
                eprintln!("skipped: needs all-MiniLM-L6-v2 ({error})");
                None
            }
        })
        .clone()
}

/// The folder that [`real_model`] loads from.
pub(crate) fn real_model_dir() -> Option<PathBuf> {
    Some(models_dir()?.join("all-minilm-l6-v2"))
}

fn models_dir() -> Option<PathBuf> {
    std::env::var_os("TIER0_MODELS").map(PathBuf::from).or_else(|| {
        let dirs = directories::ProjectDirs::from("", "", "tier0")?;
        Some(dirs.data_dir().join("models"))
    })
}
