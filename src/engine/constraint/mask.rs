//! The set of tokens that may come next.

use llguidance::toktrie::{SimpleVob, TokTrie};

use crate::model::TokenId;

/// Bits of a word of the set.
const WORD_BITS: usize = u32::BITS as usize;

/// The tokens that a grammar allows next: one bit for each token of the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMask(SimpleVob);

impl TokenMask {
    pub(super) fn new(allowed: SimpleVob) -> Self {
        Self(allowed)
    }

    /// A mask that allows only this token.
    pub(super) fn only(token: TokenId, trie: &TokTrie) -> Self {
        Self(trie.singleton_token_set(token.0))
    }

    /// A mask that allows only end tokens.
    pub(super) fn ends(trie: &TokTrie) -> Self {
        Self(trie.eos_token_set())
    }

    /// Whether the token may come next. Ids outside the vocabulary are never allowed.
    pub fn allows(&self, token: TokenId) -> bool {
        (token.0 as usize) < self.0.len() && self.0.is_allowed(token.0)
    }

    /// Number of tokens that may come next.
    pub fn n_allowed(&self) -> usize {
        self.0.num_set()
    }

    /// Sets the logits of all other tokens to negative infinity, padding of the vocabulary included.
    pub fn apply(&self, logits: &mut [f32]) {
        let words = self.0.as_slice().iter().copied().chain(std::iter::repeat(0));
        for (chunk, word) in logits.chunks_mut(WORD_BITS).zip(words) {
            match word {
                0 => chunk.fill(f32::NEG_INFINITY),
                u32::MAX => {}
                bits => {
                    let forbidden = chunk.iter_mut().enumerate().filter(|(bit, _)| bits >> bit & 1 == 0);
                    forbidden.for_each(|(_, logit)| *logit = f32::NEG_INFINITY);
                }
            }
        }
    }
}
