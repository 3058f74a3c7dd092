//! One decoder-only transformer, configured by GGUF metadata, with its tokenizer and chat template.
//!
//! Place in the path: `engine` fills a [`Batch`] and calls [`Forward`]; this room composes
//! [`crate::ops`] into layers. All differences between architectures are data in [`ModelConfig`].

mod batch;
pub mod chat;
mod config;
mod decoder;
mod error;
mod gguf;
mod kv;
mod layer;
mod tokenizer;

use serde::{Deserialize, Serialize};

pub use batch::{Batch, BatchError, SequenceSlice};
pub use chat::ChatTemplate;
pub use config::{AttentionWindow, ModelConfig};
pub use decoder::{CausalLm, Decoder};
pub use error::ModelError;
pub use gguf::Gguf;
pub use kv::{BlockCopy, KvCache, KvCacheSpec};
pub use tokenizer::{TextDecoder, Tokenizer};

/// A token's index in the model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);

/// Index of a block in the KV cache's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// The logits of a batch's sampled rows: `[n_sampled, n_vocab]`, f32. Reuse one for many passes: it is
/// megabytes, which the system would clear for each new allocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logits {
    data: Vec<f32>,
    n_vocab: usize,
}

impl Logits {
    /// Empties the buffer for rows of `n_vocab` values and returns it.
    fn renew(&mut self, n_vocab: usize) -> &mut Vec<f32> {
        self.n_vocab = n_vocab;
        self.data.clear();
        &mut self.data
    }

    /// One row of logits for each sampled token, in the batch's order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.n_vocab.max(1))
    }
}

/// A model that turns a batch into logits and keeps its own KV cache.
pub trait Forward: Send {
    /// Copies cache slots between blocks. Called before a pass that writes to the copies.
    ///
    /// # Errors
    /// When the device fails.
    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), ModelError>;

    /// Runs the batch: writes its keys and values to their slots, and the logits of the sampled rows to
    /// `logits`, `[n_sampled, n_vocab]`.
    ///
    /// # Errors
    /// When the device fails.
    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), ModelError>;

    /// Number and size of the cache's blocks.
    fn cache_spec(&self) -> KvCacheSpec;
}
