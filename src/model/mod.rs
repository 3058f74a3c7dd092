//! One decoder-only transformer, configured by GGUF metadata, with its tokenizer and chat template.

pub mod chat;

use serde::{Deserialize, Serialize};

/// A token's number in the model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);
