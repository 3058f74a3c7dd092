//! One decoder-only transformer, configured by GGUF metadata, with its tokenizer and chat template.
//!
//! Place in the path: `engine` fills a [`Batch`] and calls [`Forward`]; this room composes
//! [`crate::ops`] into layers. All differences between architectures are data in [`ModelConfig`].

mod batch;
mod block;
pub mod chat;
mod config;
mod decoder;
mod error;
mod gguf;
mod kv;
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

/// A token's number in the model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);

/// Number of a block in the KV cache's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// The logits of a batch's sampled rows: `[n_sampled, n_vocab]`, f32. One serves many passes: megabytes
/// that the system need not clear each time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logits {
    data: Vec<f32>,
    n_vocab: usize,
}

impl Logits {
    /// The memory for rows of `n_vocab` values, one after the other, in place of what was there.
    fn renew(&mut self, n_vocab: usize) -> &mut Vec<f32> {
        self.n_vocab = n_vocab;
        self.data.clear();
        &mut self.data
    }

    /// One row for each sampled token, in the batch's order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.data.chunks_exact(self.n_vocab.max(1))
    }
}

/// A model that turns a batch into logits and keeps its own KV cache.
pub trait Forward: Send {
    /// Copies cache slots between blocks: before a pass that writes to the copies.
    ///
    /// # Errors
    /// When the device fails.
    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), ModelError>;

    /// Runs the batch, writes its keys and values to their slots, and the logits of the rows that are
    /// to be sampled to `logits`: `[n_sampled, n_vocab]`.
    ///
    /// # Errors
    /// When the device fails.
    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), ModelError>;

    /// Tokens in a cache block, and how many blocks there are.
    fn cache_spec(&self) -> KvCacheSpec;
}
