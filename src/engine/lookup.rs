//! Guesses ahead by lookup: where the text's last tokens stood before, what followed them then may
//! follow again (Saxena 2023, "Prompt Lookup Decoding"). They are looked up in the answer that the
//! caller predicts, where there is one, and in prompt and text. The model verifies every guess in the
//! same step, so a wrong one costs time and nothing else.
//!
//! What a guess costs depends on the step. While a step mostly waits for the weights, one row more is
//! nearly free, and a guess that is seldom right pays; among many rows it costs what the token itself
//! would later, and only a sure one does.

use super::Speculation;
use crate::model::TokenId;

/// Lengths of the ends of the text that are looked for, longest first: a longer match is rarer and
/// surer. A single token is looked for in a predicted answer only, from where it was last followed.
const NGRAM_LENS: std::ops::RangeInclusive<usize> = 1..=4;
const SHORTEST_IN_PROMPT: usize = 2;
/// Most tokens guessed in one step.
const MAX_DRAFT: usize = 16;
/// What a step takes beside its rows, in rows, as measured on a processor of two cores.
const STEP_COST: f32 = 3.0;
/// Guesses right and wrong, as every request begins.
const PRIOR: [f32; 2] = [9.0, 1.0];
/// What a guess still counts after each later one, and after a step without guesses.
const MEMORY: f32 = 0.95;

/// One sequence's guesses. Their number follows their success and the step's size.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    /// The end of the prompt and the predicted answer; nothing where none is.
    predicted: Vec<TokenId>,
    /// How far the text has followed it.
    followed: usize,
    /// Guesses that were right, and wrong ones.
    outcomes: [f32; 2],
}

impl Lookup {
    /// For a request with this prompt; `None` where nothing is to be guessed.
    pub(super) fn new(speculation: Speculation, prompt: &[TokenId]) -> Option<Self> {
        let predicted = match speculation {
            Speculation::Off => return None,
            Speculation::Prompt => Vec::new(),
            Speculation::Answer(answer) => {
                let end = prompt.len().saturating_sub(*NGRAM_LENS.end());
                [&prompt[end..], &answer].concat()
            }
        };
        Some(Self { predicted, followed: 0, outcomes: PRIOR })
    }

    /// Tokens that may follow `tokens`, the whole sequence so far, in a step of `n_rows` rows without
    /// them; often none.
    pub(super) fn propose(&mut self, tokens: &[TokenId], n_rows: usize) -> Vec<TokenId> {
        let n_most = self.n_worthwhile(n_rows);
        if n_most == 0 {
            self.forget();
            return Vec::new();
        }
        for n in NGRAM_LENS.rev().filter(|n| *n <= tokens.len()) {
            let found = match self.continue_predicted(&tokens[tokens.len() - n..]) {
                None if n >= SHORTEST_IN_PROMPT => continuation(tokens, n),
                predicted => predicted,
            };
            if let Some(rest) = found {
                return rest[..rest.len().min(n_most)].to_vec();
            }
        }
        Vec::new()
    }

    /// Learns how many of the tokens that were run as drafts came true.
    pub(super) fn learn(&mut self, n_drafts: usize, n_right: usize) {
        if n_drafts > 0 {
            self.forget();
            // Behind a wrong one nothing is known.
            self.outcomes[0] += n_right as f32;
            self.outcomes[1] += f32::from(u8::from(n_right < n_drafts));
        }
    }

    /// Brings what was learned nearer to what a request begins with.
    fn forget(&mut self) {
        for (outcome, prior) in self.outcomes.iter_mut().zip(PRIOR) {
            *outcome = prior + MEMORY * (*outcome - prior);
        }
    }

    /// Guesses that pay: the last one is right, with all before it, often enough to be worth its row.
    fn n_worthwhile(&self, n_rows: usize) -> usize {
        let [right, wrong] = self.outcomes;
        let each = right / (right + wrong);
        let n_rows = n_rows as f32;
        let least = n_rows / (n_rows + STEP_COST);
        let mut all = each;
        let mut n = 0;
        while n < MAX_DRAFT && all >= least {
            n += 1;
            all *= each;
        }
        n
    }

    /// What follows `ngram` in the predicted answer: further on than before, or else anywhere.
    fn continue_predicted(&mut self, ngram: &[TokenId]) -> Option<&[TokenId]> {
        let is_here = |window: &[TokenId]| window == ngram;
        let further = self.predicted[self.followed..].windows(ngram.len()).position(is_here);
        let anywhere = || self.predicted.windows(ngram.len()).position(is_here);
        let at = match further {
            Some(at) => self.followed + at,
            None if ngram.len() >= SHORTEST_IN_PROMPT => anywhere()?,
            None => return None,
        };
        self.followed = at;
        Some(&self.predicted[at + ngram.len()..]).filter(|rest| !rest.is_empty())
    }
}

/// What followed the last `n` tokens where they stood before, the last time that they did.
fn continuation(tokens: &[TokenId], n: usize) -> Option<&[TokenId]> {
    let ngram = &tokens[tokens.len() - n..];
    let at = tokens[..tokens.len() - 1].windows(n).rposition(|window| window == ngram)?;
    Some(&tokens[at + n..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<TokenId> {
        text.bytes().map(|b| TokenId(u32::from(b))).collect()
    }

    fn lookup() -> Lookup {
        Lookup::new(Speculation::Prompt, &[]).unwrap()
    }

    #[test]
    fn nothing_is_guessed_where_nobody_asks() {
        assert!(Lookup::new(Speculation::Off, &[]).is_none());
    }

    #[test]
    fn what_followed_before_is_proposed() {
        assert_eq!(lookup().propose(&ids("order T10023 shipped; order T1"), 1), ids("0023 shipped;"));
        assert_eq!(lookup().propose(&ids("abcdef"), 1), ids(""));
        assert_eq!(lookup().propose(&[], 1), ids(""));
    }

    #[test]
    fn the_latest_and_longest_match_wins() {
        let begins = |text: &str, with: &str| lookup().propose(&ids(text), 1).starts_with(&ids(with));
        assert!(begins("xab1 ab2 ab3 xab", "1 ab"));
        assert!(begins("ab1 ab2 zab", "2 za"));
    }

    #[test]
    fn a_predicted_answer_is_followed_from_its_beginning() {
        let prompt = ids("say it: a b. c d. now:");
        let mut lookup = Lookup::new(Speculation::Answer(ids(" a b c d")), &prompt).unwrap();
        assert_eq!(lookup.propose(&prompt, 1), ids(" a b c d"));
        let after = |text: &str| [prompt.clone(), ids(text)].concat();
        assert_eq!(lookup.propose(&after(" a b"), 1), ids(" c d"));
        // A word of its own, and back again.
        assert_eq!(lookup.propose(&after(" a b or c"), 1), ids(" d"));
        // Behind its end, what the prompt says.
        assert!(lookup.propose(&after(" a b or c d"), 1).starts_with(&ids(". now:")));
    }

    #[test]
    fn the_fuller_the_step_the_surer_a_guess_has_to_be() {
        let text = ids("abcdefghijklmnopqrstuvwxyz ab");
        let n_guesses = [1, 8, 64, 512].map(|n_rows| lookup().propose(&text, n_rows).len());
        assert!(n_guesses.windows(2).all(|pair| pair[0] > pair[1] || pair[1] == 0), "{n_guesses:?}");
        assert!(n_guesses[0] >= 8 && n_guesses[3] == 0, "{n_guesses:?}");
    }

    #[test]
    fn success_makes_it_bolder_and_failure_quiet_for_a_while() {
        let text = ids("abcdefghijklmnopqrstuvwxyz ab");
        let mut lookup = lookup();
        let at_first = lookup.propose(&text, 8).len();
        lookup.learn(8, 8);
        let bolder = lookup.propose(&text, 8).len();
        assert!(bolder > at_first, "{at_first} {bolder}");
        (0..20).for_each(|_| lookup.learn(1, 0));
        assert_eq!(lookup.propose(&text, 8), []);
        assert!((0..200).any(|_| !lookup.propose(&text, 8).is_empty()));
    }
}
