//! Guesses ahead by prompt lookup: where the text's last tokens stood before, what followed them
//! then may follow again (Saxena 2023, "Prompt Lookup Decoding"). The model verifies every guess in
//! the same step, so a wrong one costs time and nothing else.

use crate::model::TokenId;

/// Lengths of the ends of the text that are looked for, longest first: a longer match is rarer and
/// surer.
const NGRAM_LENS: std::ops::RangeInclusive<usize> = 2..=4;
/// Most tokens guessed in one step.
const MAX_DRAFT: usize = 8;
/// Guesses to begin with.
const FIRST_DRAFT: usize = 4;
/// Steps without guesses after guessing has not paid.
const PAUSE_STEPS: usize = 8;

/// One sequence's guesses. Their number follows their success.
#[derive(Debug, Clone)]
pub(super) struct PromptLookup {
    n_draft: usize,
    pause: usize,
}

impl PromptLookup {
    pub(super) fn new() -> Self {
        Self { n_draft: FIRST_DRAFT, pause: 0 }
    }

    /// Tokens that may follow `tokens`, the whole sequence so far; often none.
    pub(super) fn propose(&mut self, tokens: &[TokenId]) -> Vec<TokenId> {
        if self.pause > 0 {
            self.pause -= 1;
            return Vec::new();
        }
        let found = NGRAM_LENS.rev().find_map(|n| continuation(tokens, n));
        found.map_or_else(Vec::new, |rest| rest[..rest.len().min(self.n_draft)].to_vec())
    }

    /// Learns how many of the tokens that were run as drafts came true.
    pub(super) fn learn(&mut self, n_drafts: usize, n_right: usize) {
        if n_drafts == 0 {
            return;
        }
        if n_right == n_drafts {
            self.n_draft = (2 * self.n_draft).min(MAX_DRAFT);
        } else if n_right == 0 {
            self.n_draft /= 2;
            if self.n_draft == 0 {
                (self.n_draft, self.pause) = (1, PAUSE_STEPS);
            }
        }
    }
}

/// What followed the last earlier occurrence of the final `n` tokens.
fn continuation(tokens: &[TokenId], n: usize) -> Option<&[TokenId]> {
    let start = tokens.len().checked_sub(n)?;
    let (before, ngram) = (&tokens[..tokens.len() - 1], &tokens[start..]);
    let at = before.windows(n).rposition(|window| window == ngram)?;
    Some(&tokens[at + n..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<TokenId> {
        text.bytes().map(|b| TokenId(u32::from(b))).collect()
    }

    #[test]
    fn what_followed_before_is_proposed() {
        let mut lookup = PromptLookup::new();
        assert_eq!(lookup.propose(&ids("order T10023 shipped; order T1")), ids("0023"));
        assert_eq!(lookup.propose(&ids("abcdef")), ids(""));
        assert_eq!(lookup.propose(&[]), ids(""));
    }

    #[test]
    fn the_latest_and_longest_match_wins() {
        let mut lookup = PromptLookup::new();
        assert_eq!(lookup.propose(&ids("xab1 ab2 ab3 xab")), ids("1 ab"));
        assert_eq!(lookup.propose(&ids("ab1 ab2 zab")), ids("2 za"));
    }

    #[test]
    fn success_makes_it_bolder_and_failure_quiet() {
        let text = ids("abcdefghijklmnopq ab");
        let mut lookup = PromptLookup::new();
        lookup.learn(4, 4);
        assert_eq!(lookup.propose(&text).len(), 8);
        for _ in 0..4 {
            lookup.learn(1, 0);
        }
        for _ in 0..PAUSE_STEPS {
            assert_eq!(lookup.propose(&text), []);
        }
        assert_eq!(lookup.propose(&text).len(), 1);
    }
}
