//! Splits a message that asks for several things into its parts.

use super::sentences::{is_one_of, requests};

/// Words that add another request if one of [`STARTERS`] follows.
const CONJUNCTIONS: &str = "and also plus additionally besides but";

/// Words that may stand between the two.
const FILLERS: &str = "also then please";

/// Words that a request begins with.
const STARTERS: &str = "\
    i i'd can could may will would what where when how which why is are do does did has please pls tell \
    send cancel return exchange swap change update refund track check remove delete reset order";

/// Fewest words of a part.
const MIN_WORDS: usize = 3;

/// The parts of `text` that may each be a request, in order: sentences, list items, and the text after
/// "and can you" or the like.
#[must_use]
pub fn parts(text: &str) -> Vec<String> {
    requests(text)
        .iter()
        .flat_map(|sentence| clauses(sentence))
        .filter(|part| part.split_whitespace().filter(|word| has_letter(word)).count() >= MIN_WORDS)
        .collect()
}

fn clauses(sentence: &str) -> Vec<String> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let mut clauses = vec![Vec::new()];
    for (i, word) in words.iter().enumerate() {
        let ends_clause = i > 0 && words[i - 1].ends_with(';');
        if ends_clause || is_list_marker(word) || adds_request(&words[i..]) {
            clauses.push(Vec::new());
        }
        if let (false, Some(clause)) = (is_list_marker(word), clauses.last_mut()) {
            clause.push(*word);
        }
    }
    clauses.into_iter().filter(|clause| !clause.is_empty()).map(|clause| clause.join(" ")).collect()
}

/// Whether it is a list marker: `1)`, `(2)`, `3.`, `-` and the like.
fn is_list_marker(word: &str) -> bool {
    let core = word.trim_start_matches('(').trim_end_matches([')', '.']);
    let is_number = core != word && core.len() == 1 && core.bytes().all(|b| b.is_ascii_digit());
    is_number || matches!(word, "-" | "–" | "•" | "*")
}

/// Whether `words` begin with "and can", "and also please tell" or the like.
fn adds_request(words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    let next = rest.iter().find(|word| is_one_of(STARTERS, word) || !is_one_of(FILLERS, word));
    is_one_of(CONJUNCTIONS, first) && next.is_some_and(|word| is_one_of(STARTERS, word))
}

fn has_letter(word: &str) -> bool {
    word.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::parts;

    #[rstest]
    #[case("Where is my parcel? Cancel the other order.", &["Where is my parcel?", "Cancel the other order."])]
    #[case("1) track the lamp order 2) I need an invoice", &["track the lamp order", "I need an invoice"])]
    #[case("Hi!\n- where is my tent\n- return the mat please", &["where is my tent", "return the mat please"])]
    #[case(
        "I'd like to return the lamp and also please tell me how long refunds take",
        &["I'd like to return the lamp", "also please tell me how long refunds take"]
    )]
    #[case("the red and blue mugs and the kettle", &["the red and blue mugs and the kettle"])]
    #[case("size 4. thanks, bye", &[])]
    fn every_request_is_a_part(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(parts(text), expected);
    }
}
