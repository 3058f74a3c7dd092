//! The model's vocabulary as the grammar engine wants it.

use llguidance::toktrie::{TokTrie, TokenizerEnv};

use crate::model::TokenId;

/// Tokenises text as the model was trained; names of special tokens are text to it.
pub(super) type Encode = Box<dyn Fn(&str) -> Vec<TokenId> + Send + Sync>;

/// The tokens as a prefix tree, and the tokenizer for text that a grammar forces.
pub(super) struct ModelTokens {
    trie: TokTrie,
    encode: Encode,
}

impl ModelTokens {
    pub(super) fn new(trie: TokTrie, encode: Encode) -> Self {
        Self { trie, encode }
    }

    /// The model's tokenisation where it stands for this very text. It need not: a tokenizer may
    /// normalise, or put a space in front. Then the longest tokens from the left.
    fn encode_exactly(&self, text: &str) -> Vec<u32> {
        let ids: Vec<u32> = (self.encode)(text).into_iter().map(|token| token.0).collect();
        let bytes = ids.iter().flat_map(|id| self.trie.token(*id));
        if bytes.eq(text.as_bytes()) { ids } else { self.trie.greedy_tokenize(text.as_bytes()) }
    }
}

impl TokenizerEnv for ModelTokens {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.encode_exactly(text))
    }
}
