//! The model's vocabulary in the grammar engine's form.

use llguidance::toktrie::{TokTrie, TokenizerEnv};

use crate::model::TokenId;

/// Tokenises text as the model was trained. The names of special tokens are ordinary text.
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

    /// The model's tokenisation if its bytes are exactly this text; else greedy, the longest tokens from the
    /// left. A tokenizer may normalise, or put a space in front.
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
