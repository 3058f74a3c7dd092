//! The drafter of speculative decoding: prompt lookup (Saxena 2023, "Prompt Lookup Decoding"). Where the
//! text's last tokens occurred before, the tokens that followed them may follow again. They are looked
//! up in the answer that the caller predicts, where there is one, and in prompt and text. The model
//! verifies every draft token in the same step, so a wrong one costs time and nothing else.
//!
//! The cost of a draft token depends on the step. While a step is bound by reading the weights, one row
//! more is nearly free, and even an unlikely guess pays; among many rows a draft token costs as much as
//! the token itself would later, and only a likely guess pays.

use super::request::Speculation;
use crate::model::TokenId;

/// Lengths of the n-grams at the end of the text that are looked up, longest first: a longer match is
/// rarer and more often right. A single token is looked up in a predicted answer only, from the last
/// match on.
const NGRAM_LENS: std::ops::RangeInclusive<usize> = 1..=4;
/// Shortest n-gram that is looked up in prompt and text.
const SHORTEST_IN_PROMPT: usize = 2;
/// Most draft tokens in one step.
const MAX_DRAFT: usize = 16;
/// The fixed cost of a step, in rows, as measured on a processor with two cores.
const STEP_COST: f32 = 3.0;
/// Right and wrong guesses that every request starts with.
const PRIOR: [f32; 2] = [9.0, 1.0];
/// Decay of past outcomes per step.
const DECAY: f32 = 0.95;

/// Drafts for one sequence. How many depends on the success so far and on the step's size.
#[derive(Debug, Clone)]
pub(super) struct PromptLookup {
    /// The end of the prompt and the predicted answer; empty where no answer is predicted.
    predicted: Vec<TokenId>,
    /// Position in `predicted` of the last match.
    followed: usize,
    /// Decayed counts of right and of wrong guesses.
    outcomes: [f32; 2],
}

impl PromptLookup {
    /// A drafter for a request with this prompt; `None` where speculation is off.
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

    /// Draft tokens after `tokens`, the whole sequence so far; often none. The step has `n_rows` rows, not
    /// counting drafts.
    pub(super) fn propose(&mut self, tokens: &[TokenId], n_rows: usize) -> Vec<TokenId> {
        let n_most = self.n_worthwhile(n_rows);
        if n_most == 0 {
            self.decay();
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

    /// Records that `n_right` of `n_drafts` draft tokens were accepted.
    pub(super) fn update(&mut self, n_drafts: usize, n_right: usize) {
        if n_drafts > 0 {
            self.decay();
            // Draft tokens behind a wrong one count neither way.
            self.outcomes[0] += n_right as f32;
            self.outcomes[1] += f32::from(u8::from(n_right < n_drafts));
        }
    }

    /// Moves the outcomes towards the prior.
    fn decay(&mut self) {
        for (outcome, prior) in self.outcomes.iter_mut().zip(PRIOR) {
            *outcome = prior + DECAY * (*outcome - prior);
        }
    }

    /// Number of draft tokens that pay: the last one, and all before it, are right often enough to be worth
    /// a row.
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

    /// What follows `ngram` in the predicted answer: from the last match on, or else anywhere.
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

/// What followed the latest earlier occurrence of the last `n` tokens.
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

    fn drafter() -> PromptLookup {
        PromptLookup::new(Speculation::Prompt, &[]).unwrap()
    }

    #[test]
    fn nothing_is_drafted_with_speculation_off() {
        assert!(PromptLookup::new(Speculation::Off, &[]).is_none());
    }

    #[test]
    fn what_followed_before_is_proposed() {
        assert_eq!(drafter().propose(&ids("order T10023 shipped; order T1"), 1), ids("0023 shipped;"));
        assert_eq!(drafter().propose(&ids("abcdef"), 1), ids(""));
        assert_eq!(drafter().propose(&[], 1), ids(""));
    }

    #[test]
    fn the_latest_and_longest_match_wins() {
        let begins = |text: &str, with: &str| drafter().propose(&ids(text), 1).starts_with(&ids(with));
        assert!(begins("xab1 ab2 ab3 xab", "1 ab"));
        assert!(begins("ab1 ab2 zab", "2 za"));
    }

    #[test]
    fn a_predicted_answer_is_followed_from_its_beginning() {
        let prompt = ids("say it: a b. c d. now:");
        let mut drafter = PromptLookup::new(Speculation::Answer(ids(" a b c d")), &prompt).unwrap();
        assert_eq!(drafter.propose(&prompt, 1), ids(" a b c d"));
        let after = |text: &str| [prompt.clone(), ids(text)].concat();
        assert_eq!(drafter.propose(&after(" a b"), 1), ids(" c d"));
        // A word of its own, and back again.
        assert_eq!(drafter.propose(&after(" a b or c"), 1), ids(" d"));
        // Behind its end, what the prompt says.
        assert!(drafter.propose(&after(" a b or c d"), 1).starts_with(&ids(". now:")));
    }

    #[test]
    fn the_fuller_the_step_the_surer_a_guess_has_to_be() {
        let text = ids("abcdefghijklmnopqrstuvwxyz ab");
        let n_guesses = [1, 8, 64, 512].map(|n_rows| drafter().propose(&text, n_rows).len());
        assert!(n_guesses.windows(2).all(|pair| pair[0] > pair[1] || pair[1] == 0), "{n_guesses:?}");
        assert!(n_guesses[0] >= 8 && n_guesses[3] == 0, "{n_guesses:?}");
    }

    #[test]
    fn success_makes_it_bolder_and_failure_quiet_for_a_while() {
        let text = ids("abcdefghijklmnopqrstuvwxyz ab");
        let mut drafter = drafter();
        let at_first = drafter.propose(&text, 8).len();
        drafter.update(8, 8);
        let bolder = drafter.propose(&text, 8).len();
        assert!(bolder > at_first, "{at_first} {bolder}");
        (0..20).for_each(|_| drafter.update(1, 0));
        assert_eq!(drafter.propose(&text, 8), []);
        assert!((0..200).any(|_| !drafter.propose(&text, 8).is_empty()));
    }
}
