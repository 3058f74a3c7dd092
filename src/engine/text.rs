//! Turns a sequence's tokens into text for the caller: whole characters, cut at stop strings.

use crate::model::{TextDecoder, TokenId, Tokenizer};

/// Detokeniser and stop strings of one generation.
#[derive(Debug)]
pub(super) struct TextStream {
    decoder: TextDecoder,
    stop: StopStrings,
}

/// Text that may be sent now, and whether a stop string has ended the generation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) stopped: bool,
}

impl TextStream {
    pub(super) fn new(tokenizer: &Tokenizer, stop: &[String]) -> Self {
        Self { decoder: tokenizer.decoder(), stop: StopStrings::new(stop) }
    }

    pub(super) fn push(&mut self, token: TokenId, tokenizer: &Tokenizer) -> Piece {
        let text = self.decoder.push(tokenizer.bytes(token));
        self.stop.push(&text)
    }

    /// The text that was held back. Called after the last token.
    pub(super) fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.decoder).finish();
        let mut piece = self.stop.push(&rest);
        if !piece.stopped {
            piece.text.push_str(&std::mem::take(&mut self.stop.held));
        }
        piece.text
    }
}

/// Finds stop strings in a text that arrives in pieces. A possible beginning of a stop string is held
/// back until more text decides.
#[derive(Debug, Default)]
struct StopStrings {
    strings: Vec<String>,
    held: String,
}

impl StopStrings {
    fn new(strings: &[String]) -> Self {
        Self { strings: strings.iter().filter(|s| !s.is_empty()).cloned().collect(), held: String::new() }
    }

    fn push(&mut self, text: &str) -> Piece {
        self.held.push_str(text);
        let first = self.strings.iter().filter_map(|s| self.held.find(s.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return Piece { text: std::mem::take(&mut self.held), stopped: true };
        }
        let keep = self.strings.iter().map(|s| overlap(&self.held, s)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Piece { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }
}

/// Length in bytes of the longest suffix of `text` that is a prefix of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).rev();
    ends.filter(|n| *n > 0).find(|n| text.ends_with(&stop[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(stop: &[&str], pieces: &[&str]) -> (String, bool) {
        let stop: Vec<String> = stop.iter().map(|s| (*s).to_owned()).collect();
        let mut stream = StopStrings::new(&stop);
        let mut out = String::new();
        for piece in pieces {
            let piece = stream.push(piece);
            out.push_str(&piece.text);
            if piece.stopped {
                return (out, true);
            }
        }
        out.push_str(&stream.held);
        (out, false)
    }

    #[test]
    fn a_stop_string_across_pieces_ends_the_text_before_it() {
        assert_eq!(run(&["\n\n", "END"], &["one E", "N", "D two"]), ("one ".to_owned(), true));
    }

    #[test]
    fn what_only_looked_like_one_comes_out() {
        assert_eq!(run(&["END"], &["one EN", "E", "MY"]), ("one ENEMY".to_owned(), false));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in "[abß]{0,24}", stop in proptest::collection::vec("[abß]{1,3}", 0..3), cut in 0usize..24,
        ) {
            let stop: Vec<&str> = stop.iter().map(String::as_str).collect();
            let expected = stop.iter().filter_map(|s| text.find(s)).min();
            let cut = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
            let (out, stopped) = run(&stop, &[&text[..cut], &text[cut..]]);
            prop_assert_eq!(stopped, expected.is_some());
            // A stop string that is whole in an early piece wins over one that begins earlier but
            // ends later, so the text may be longer than up to the very first match; never shorter.
            prop_assert!(text.starts_with(&out));
            prop_assert!(out.len() >= expected.unwrap_or(text.len()));
            prop_assert!(stop.iter().all(|s| !out.contains(s)));
        }
    }
}
