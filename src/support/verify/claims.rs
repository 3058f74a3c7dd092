//! What a text claims to have happened, to be possible or to come: the verb, whether it is denied,
//! and how much is claimed of it.

use std::collections::BTreeSet;

use tier0_text::sentences;

/// Beginnings of words that state what happened or promise what will.
const STEMS: [&str; 29] = [
    "deliver",
    "ship",
    "dispatch",
    "cancel",
    "refund",
    "return",
    "exchang",
    "replac",
    "discount",
    "voucher",
    "coupon",
    "guarante",
    "compensat",
    "credit",
    "waive",
    "reimburs",
    "approv",
    "arriv",
    "pending",
    "process",
    "modif",
    "updat",
    "chang",
    "charg",
    "upgrad",
    "reserv",
    "extend",
    "schedul",
    "swap",
];

/// Words for a time or a manner that a text may only use if its evidence does.
const WORDS: [&str; 14] = [
    "today",
    "tomorrow",
    "yesterday",
    "tonight",
    "immediate",
    "instant",
    "right away",
    "on its way",
    "in transit",
    "week",
    "month",
    "soon",
    "free",
    "gift",
];

/// Words before a verb that deny it. Apostrophes are left out.
const DENIALS: [&str; 22] = [
    "not",
    "cannot",
    "cant",
    "couldnt",
    "isnt",
    "arent",
    "wasnt",
    "werent",
    "wont",
    "hasnt",
    "havent",
    "dont",
    "doesnt",
    "didnt",
    "unable",
    "never",
    "neither",
    "nor",
    "without",
    "impossible",
    "no",
    "only",
];
/// The same behind it.
const DENIALS_BEHIND: [&str; 5] =
    ["not possible", "impossible", "not allowed", "not permitted", "not eligible"];

/// Words before a verb that tell how much is claimed of it.
const DONE: [&str; 10] =
    ["has", "have", "had", "was", "were", "been", "already", "successfully", "ive", "weve"];
const COMING: [&str; 12] = [
    "will",
    "well",
    "shall",
    "going",
    "youll",
    "ill",
    "itll",
    "happy",
    "glad",
    "pleased",
    "gladly",
    "certainly",
];
const SUPPOSED: [&str; 2] = ["would", "should"];
const POSSIBLE: [&str; 5] = ["can", "could", "may", "might", "able"];

/// Words before a verb that belong to it, and those behind it.
const REACH_BEFORE: usize = 5;
const REACH_BEHIND: usize = 9;

/// How much is claimed, from nothing to a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    /// It is spoken of.
    Named,
    /// It can happen.
    Possible,
    /// It would happen.
    Supposed,
    /// It will happen.
    Coming,
    /// It has happened.
    Done,
}

/// A claim: of which verb, how much, and whether it is denied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    stem: &'static str,
    denied: bool,
    strength: Strength,
}

/// Claims of `draft` that `evidence` does not make, in words.
pub(super) fn unlicensed(draft: &str, evidence: &str) -> Vec<String> {
    let known = claims(evidence);
    let unlicensed = claims(draft).into_iter().filter(|claim| !known.iter().any(|k| k.licenses(claim)));
    let (said, may) = (draft.to_lowercase(), evidence.to_lowercase());
    let words = WORDS.iter().filter(|word| begins_a_word(&said, word) && !begins_a_word(&may, word));
    unlicensed.map(|claim| claim.to_string()).chain(words.map(|word| format!("{word}…"))).collect()
}

impl Claim {
    /// Whether evidence of this claim lets a draft make `other`: the same or less. What is denied,
    /// may be denied in any tense, and spoken of.
    fn licenses(&self, other: &Self) -> bool {
        if self.stem != other.stem {
            return false;
        }
        match (self.denied, other.denied) {
            (true, true) => true,
            (false, false) => self.strength >= other.strength,
            (true, false) => other.strength == Strength::Named,
            (false, true) => false,
        }
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let not = if self.denied { "not " } else { "" };
        let strength = match self.strength {
            Strength::Named => "",
            Strength::Possible => "can ",
            Strength::Supposed => "would ",
            Strength::Coming => "will ",
            Strength::Done => "has been ",
        };
        write!(f, "{strength}{not}{}…", self.stem)
    }
}

fn claims(text: &str) -> BTreeSet<Claim> {
    let sentences = sentences(text);
    let clauses = sentences.iter().flat_map(|sentence| sentence.split([':', ';']));
    clauses.flat_map(claims_of_clause).collect()
}

fn claims_of_clause(clause: &str) -> Vec<Claim> {
    // A reason for cancelling denies nothing.
    let lower = clause.to_lowercase().replace(['\'', '’'], "").replace("no longer need", "unneed");
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let stem_at = |at: usize| STEMS.iter().find(|stem| words[at].starts_with(**stem)).copied();
    let claim = |at: usize| {
        let stem = stem_at(at)?;
        // A verb before this one has its own words.
        let begin = (0..at).rev().find(|before| stem_at(*before).is_some()).map_or(0, |before| before + 1);
        let before = &words[begin.max(at.saturating_sub(REACH_BEFORE))..at];
        let behind = words[at + 1..words.len().min(at + 1 + REACH_BEHIND)].join(" ");
        Some(Claim { stem, denied: is_denied(before, &behind), strength: strength(before) })
    };
    (0..words.len()).filter_map(claim).collect()
}

fn is_denied(before: &[&str], behind: &str) -> bool {
    before.iter().any(|word| DENIALS.contains(word))
        || DENIALS_BEHIND.iter().any(|denial| behind.contains(denial))
}

fn strength(before: &[&str]) -> Strength {
    let has = |words: &[&str]| before.iter().any(|word| words.contains(word));
    if has(&COMING) {
        Strength::Coming
    } else if has(&SUPPOSED) {
        Strength::Supposed
    } else if has(&POSSIBLE) {
        Strength::Possible
    } else if has(&DONE) {
        Strength::Done
    } else {
        Strength::Named
    }
}

/// Whether `stem` stands in `text` (both lower case) at the beginning of a word.
fn begins_a_word(text: &str, stem: &str) -> bool {
    text.match_indices(stem).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CANNOT: &str = "Order #1 has already been processed, so it cannot be cancelled any more.";
    const CAN: &str = "We can cancel order #1. The total would be refunded to your card.";
    const SHIPPED: &str = "Order #1 has been shipped.";

    #[rstest]
    #[case(CANNOT, "Unfortunately we are not able to cancel it, as it has been processed.")]
    #[case(CANNOT, "Cancelling it is not possible: it was already processed.")]
    #[case(CANNOT, "About the cancellation: the order has been processed.")]
    #[case(CAN, "We could cancel your order; the total would be refunded.")]
    #[case(CAN, "You can cancel it and get a refund.")]
    #[case(SHIPPED, "Your order was shipped.")]
    #[case(SHIPPED, "Good to know: shipped!")]
    fn the_same_or_less_may_be_said(#[case] evidence: &str, #[case] draft: &str) {
        assert_eq!(unlicensed(draft, evidence), Vec::<String>::new());
    }

    #[rstest]
    #[case(CANNOT, "Your order can be cancelled.")]
    #[case(CANNOT, "Your order has been cancelled.")]
    #[case(CANNOT, "We will cancel it.")]
    #[case(CANNOT, "It cannot be refunded.")]
    #[case(CAN, "Your order has been cancelled.")]
    #[case(CAN, "We cannot cancel your order.")]
    #[case(CAN, "The total will be refunded.")]
    #[case(CAN, "We can cancel your order today.")]
    #[case(CAN, "We would be happy to cancel your order.")]
    #[case(SHIPPED, "Your order has not been shipped.")]
    #[case(SHIPPED, "Your order has been delivered.")]
    #[case(SHIPPED, "Your order has been shipped and will arrive.")]
    fn more_or_the_opposite_may_not(#[case] evidence: &str, #[case] draft: &str) {
        assert_ne!(unlicensed(draft, evidence), Vec::<String>::new());
    }
}
