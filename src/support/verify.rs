//! Checks a draft against what may be said: nothing in it that the evidence does not license, and
//! nothing missing that must be said.

use std::{collections::BTreeSet, fmt};

use super::ruling::Point;

/// Words that state what happened or promise what will. A draft may use one only if its evidence
/// does. Matched at the beginning of words.
const CLAIMS: [&str; 31] = [
    "deliver",
    "ship",
    "dispatch",
    "cancel",
    "refund",
    "return",
    "exchang",
    "pending",
    "process",
    "replac",
    "discount",
    "voucher",
    "coupon",
    "free",
    "guarante",
    "compensat",
    "credit",
    "waive",
    "today",
    "tomorrow",
    "yesterday",
    "tonight",
    "immediate",
    "instant",
    "right away",
    "on its way",
    "in transit",
    "reimburs",
    "approv",
    "arriv",
    "week",
];

/// English number words that stand for figures. "One" is left out: it is mostly a pronoun.
const NUMBER_WORDS: [(&str, u32); 27] = [
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
    ("hundred", 100),
];

/// What a draft is held against.
#[derive(Debug, Clone)]
pub(super) struct Evidence<'a> {
    /// What it has to say.
    pub(super) points: &'a [Point],
    /// Words that it may use beside: names of the store and the customer.
    pub(super) names: Vec<String>,
}

/// What is wrong with a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It says nothing.
    Empty,
    /// A number, amount, date or id that the evidence does not contain.
    Figure(String),
    /// An address that the evidence does not contain.
    Link(String),
    /// A claim or promise that the evidence does not make.
    Claim(String),
    /// Something left to be filled in.
    Placeholder,
    /// Something that had to be said and was not.
    Missing(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the draft is empty"),
            Self::Figure(figure) => write!(f, "\"{figure}\" is not in the evidence"),
            Self::Link(link) => write!(f, "the address \"{link}\" is not in the evidence"),
            Self::Claim(word) => write!(f, "\"{word}…\" claims something that the evidence does not say"),
            Self::Placeholder => f.write_str("the draft holds a placeholder"),
            Self::Missing(words) => write!(f, "\"{words}\" had to be said and is missing"),
        }
    }
}

/// All faults of a draft; none means that it may go out.
pub(super) fn check(draft: &str, evidence: &Evidence<'_>) -> Vec<Fault> {
    if draft.trim().is_empty() {
        return vec![Fault::Empty];
    }
    let licensed: String = evidence
        .points
        .iter()
        .map(|p| p.text.as_str())
        .chain(evidence.names.iter().map(String::as_str))
        .fold(String::new(), |mut all, text| {
            all.push_str(text);
            all.push('\n');
            all
        });
    let known = figures(&licensed);
    let mut faults: Vec<Fault> = figures(draft).difference(&known).cloned().map(Fault::Figure).collect();
    faults.extend(links(draft).filter(|link| !licensed.contains(link)).map(|l| Fault::Link(l.to_owned())));
    let (said, may) = (draft.to_lowercase(), licensed.to_lowercase());
    let unlicensed = CLAIMS.iter().filter(|claim| begins_a_word(&said, claim) && !begins_a_word(&may, claim));
    faults.extend(unlicensed.map(|claim| Fault::Claim((*claim).to_owned())));
    if draft.contains(['[', '{', '<']) && !licensed.contains(['[', '{', '<']) {
        faults.push(Fault::Placeholder);
    }
    let said = plain_words(draft);
    let must = evidence.points.iter().flat_map(|p| &p.must);
    faults
        .extend(must.filter(|words| !said.contains(&plain_words(words))).map(|w| Fault::Missing(w.clone())));
    faults
}

/// The sentences of a text. A markdown list's items are sentences of their own.
pub(super) fn sentences(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['-', '*', '#', '>', ' ']).replace("**", "");
        let mut start = 0;
        let ends = line.char_indices().filter(|(_, c)| matches!(c, '.' | '!' | '?')).map(|(at, _)| at + 1);
        for end in ends {
            let rest = &line[end..];
            let closed = rest.trim_start_matches(['”', '"', ')', '’']);
            let mut following = closed.chars();
            let boundary = match (following.next(), following.next()) {
                (None, _) => true,
                (Some(space), Some(next)) => space.is_whitespace() && !next.is_lowercase(),
                (Some(space), None) => space.is_whitespace(),
            };
            if boundary {
                let end = end + (rest.len() - closed.len());
                push_sentence(&mut out, &line[start..end]);
                start = end;
            }
        }
        push_sentence(&mut out, &line[start..]);
    }
    out
}

fn push_sentence(out: &mut Vec<String>, sentence: &str) {
    let sentence = sentence.trim();
    if sentence.chars().any(char::is_alphanumeric) {
        out.push(sentence.to_owned());
    }
}

/// Lower case, white space folded: what has to match when words must not be lost.
fn plain_words(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `stem` stands in `text` (both lower case) at the beginning of a word.
fn begins_a_word(text: &str, stem: &str) -> bool {
    text.match_indices(stem).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

/// Everything in a text that looks like an e-mail address or a link.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split_whitespace().map(|w| w.trim_matches(|c: char| !c.is_alphanumeric()));
    words.filter(|w| w.contains('@') || w.contains("://") || w.starts_with("www."))
}

/// Every figure in a text, in one spelling: `1,234.50` and `1234.5` are the same, as are `five`
/// and `5`; `1000ml` counts as `1000`; a code such as `W2611340` counts whole.
fn figures(text: &str) -> BTreeSet<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < chars.len() {
        if !chars[at].is_alphanumeric() {
            at += 1;
            continue;
        }
        let end = end_of_figure(&chars, at);
        let word: String = chars[at..end].iter().collect();
        let lower = word.to_lowercase();
        if word.contains(|c: char| c.is_ascii_digit()) {
            found.insert(normal_figure(&word));
        } else if let Some((_, value)) = NUMBER_WORDS.iter().find(|(name, _)| *name == lower) {
            found.insert(value.to_string());
        }
        at = end;
    }
    found
}

/// One past the word or number that begins at `start`. Points and commas between digits belong to
/// a number.
fn end_of_figure(chars: &[char], start: usize) -> usize {
    let mut end = start;
    while end < chars.len() {
        let inside_number = matches!(chars[end], '.' | ',')
            && end > start
            && chars[end - 1].is_ascii_digit()
            && chars.get(end + 1).is_some_and(char::is_ascii_digit);
        if !chars[end].is_alphanumeric() && !inside_number {
            break;
        }
        end += 1;
    }
    end
}

fn normal_figure(word: &str) -> String {
    let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
    // Letters only behind the digits are a unit or an ordinal; anywhere else they make a code.
    if digits.is_empty() || digits.contains(|c: char| c.is_alphabetic()) {
        return word.to_uppercase();
    }
    let number = digits.replace(',', "");
    match number.split_once('.') {
        Some((whole, fraction)) if !fraction.contains('.') => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn faults(draft: &str, points: &[Point]) -> Vec<Fault> {
        check(draft, &Evidence { points, names: vec!["Maya".to_owned()] })
    }

    fn tracking() -> Vec<Point> {
        vec![
            Point::stating(
                "The status of order #T10023 is \"shipped\".".to_owned(),
                ["#T10023".to_owned(), "shipped".to_owned()],
            ),
            Point::stating(
                "Its tracking number is HP357962501027.".to_owned(),
                ["HP357962501027".to_owned()],
            ),
        ]
    }

    #[test]
    fn a_faithful_draft_passes() {
        let draft = "Hi Maya, your order #T10023 has shipped; you can follow it with HP357962501027.";
        assert_eq!(faults(draft, &tracking()), []);
    }

    #[rstest]
    #[case("Order #T10023 has shipped. Tracking: HP357962501028.", Fault::Figure("HP357962501028".to_owned()))]
    #[case("Order #T10023 has shipped: HP357962501027. Expect it in 3 days.", Fault::Figure("3".to_owned()))]
    #[case("Order #T10023 has shipped: HP357962501027. Expect it in three days.", Fault::Figure("3".to_owned()))]
    #[case("Order #T10023 has shipped: HP357962501027. It will arrive soon.", Fault::Claim("arriv".to_owned()))]
    #[case("Order #T10023 has shipped: HP357962501027, refunded.", Fault::Claim("refund".to_owned()))]
    #[case("Order #T10023 has shipped: HP357962501027. [Name]", Fault::Placeholder)]
    #[case("Order #T10023: HP357962501027, ask help@shop.example.", Fault::Link("help@shop.example".to_owned()))]
    #[case("Order #T10023 has shipped.", Fault::Missing("HP357962501027".to_owned()))]
    #[case("  ", Fault::Empty)]
    fn each_fault_is_seen(#[case] draft: &str, #[case] fault: Fault) {
        assert!(faults(draft, &tracking()).contains(&fault), "{:?}", faults(draft, &tracking()));
    }

    #[rstest]
    #[case("$1,234.50", "1234.5")]
    #[case("48-hour", "48")]
    #[case("1000ml", "1000")]
    #[case("5 to 7", "5 7")]
    #[case("twenty", "20")]
    #[case("#W2611340.", "W2611340")]
    #[case("14.95.", "14.95")]
    fn figures_have_one_spelling(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(figures(text).into_iter().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn sentences_end_where_they_should() {
        let text =
            "It costs $6.95, e.g. for a lamp. “Pending” means wait. Is it?\n- One item\n\n**Two** items.";
        let expected =
            ["It costs $6.95, e.g. for a lamp.", "“Pending” means wait.", "Is it?", "One item", "Two items."];
        assert_eq!(sentences(text), expected);
    }

    proptest! {
        #[test]
        fn a_draft_of_the_points_themselves_always_passes(
            numbers in proptest::collection::vec(0u64..1_000_000_000, 1..5), cents in 0u32..100,
        ) {
            let points: Vec<Point> = numbers
                .iter()
                .map(|n| Point::stating(format!("Number {n} costs ${n}.{cents:02}."), [n.to_string()]))
                .collect();
            let draft = points.iter().map(|p| p.text.clone()).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(faults(&draft, &points), vec![]);
        }

        #[test]
        fn a_figure_of_ones_own_never_passes(n in 1000u64..1_000_000_000_000) {
            let points = [Point::plain("The order is pending.".to_owned())];
            let found = faults(&format!("The order is pending, number {n}."), &points);
            prop_assert!(found.contains(&Fault::Figure(n.to_string())));
        }

        #[test]
        fn no_word_of_a_text_is_lost_in_its_sentences(text in "[a-zA-Z0-9 .!?\"()\n-]{0,80}") {
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&sentences(&text).join(" ")), letters(&text));
        }
    }
}
