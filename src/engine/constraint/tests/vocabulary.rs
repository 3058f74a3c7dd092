//! A byte-level vocabulary with a few merges, and byte pair encoding over it.

use super::super::ConstraintFactory;
use crate::model::TokenId;

/// Ids of the tokens that end a text. The last has its name for its text, as some files have it.
pub(super) const END: [TokenId; 2] = [TokenId(0), TokenId(2)];

/// A token that opens a turn, and that no grammar may allow.
pub(super) const CONTROL: TokenId = TokenId(1);

const N_CONTROL: usize = 3;

/// Pairs that merge, first ones first.
const MERGES: [(&str, &str); 34] = [
    (" ", "\""),
    ("\"", ":"),
    ("\":", " \""),
    ("\":", " "),
    (",", " "),
    (", ", "\""),
    ("{", "\""),
    ("\"", "}"),
    ("}", "]"),
    ("[", "{\""),
    ("a", "b"),
    ("ab", "c"),
    ("b", "c"),
    ("n", "a"),
    ("na", "m"),
    ("nam", "e"),
    ("r", "e"),
    ("t", "u"),
    ("tu", "r"),
    ("re", "tur"),
    ("retur", "n"),
    ("f", "u"),
    ("n", "d"),
    ("fu", "nd"),
    ("1", "2"),
    ("0", "0"),
    ("t", "r"),
    ("tr", "ue"),
    ("u", "e"),
    ("(", "("),
    (")", ")"),
    ("c", "a"),
    ("\u{e4}", "\u{f6}"),
    ("a", "a"),
];

pub(super) struct Vocabulary {
    tokens: Vec<Vec<u8>>,
}

pub(super) fn shared() -> &'static Vocabulary {
    static SHARED: std::sync::LazyLock<Vocabulary> = std::sync::LazyLock::new(Vocabulary::new);
    &SHARED
}

impl Vocabulary {
    fn new() -> Self {
        let control = [Vec::new(), Vec::new(), b"</s>".to_vec()];
        let bytes = (0..=255u8).map(|byte| vec![byte]);
        let merged = MERGES.iter().map(|(left, right)| format!("{left}{right}").into_bytes());
        Self { tokens: control.into_iter().chain(bytes).chain(merged).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn bytes(&self, token: TokenId) -> &[u8] {
        self.tokens.get(token.0 as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn text(&self, tokens: &[TokenId]) -> Vec<u8> {
        tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = TokenId> {
        (0..self.tokens.len() as u32).map(TokenId)
    }

    /// A token for each byte.
    pub(super) fn bytewise(&self, text: &str) -> Vec<TokenId> {
        text.bytes().map(|byte| TokenId(u32::from(byte) + N_CONTROL as u32)).collect()
    }

    /// Byte pair encoding: as long as there is a pair that merges, the earliest one of the list.
    pub(super) fn encode(&self, text: &str) -> Vec<TokenId> {
        let mut ids = self.bytewise(text);
        let first_merged = N_CONTROL + 256;
        loop {
            let merged = |pair: &[TokenId]| {
                let bytes = self.text(pair);
                self.tokens[first_merged..].iter().position(|token| *token == bytes)
            };
            let best = ids.windows(2).enumerate().filter_map(|(at, pair)| Some((merged(pair)?, at))).min();
            let Some((merge, at)) = best else { return ids };
            ids.splice(at..at + 2, [TokenId((first_merged + merge) as u32)]);
        }
    }

    pub(super) fn factory(&self) -> ConstraintFactory {
        let encoder = Self { tokens: self.tokens.clone() };
        ConstraintFactory::new(self.tokens.iter(), &END, move |text| encoder.encode(text)).unwrap()
    }
}

#[test]
fn encoding_merges_and_keeps_the_text() {
    let vocabulary = shared();
    let text = "{\"name\": \"refund abc\"}";
    let ids = vocabulary.encode(text);
    assert_eq!(vocabulary.text(&ids), text.as_bytes());
    assert!(ids.len() < text.len() / 2 + 3, "{ids:?}");
}
