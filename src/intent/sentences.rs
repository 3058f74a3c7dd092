//! Splits a message into sentences, and removes those that ask for nothing.
//!
//! A greeting, a signature or "my order number is 10482" says nothing about the intent, but changes the
//! embedding of the whole message. The classifier reads the other sentences; a message of courtesies
//! only stays unchanged.

use super::mask::may_be_reference;

/// Words of greetings, thanks and closings. A sentence of these alone is a courtesy.
const COURTESIES: &str = "\
    hi hello hey hiya dear greetings good morning afternoon evening day there all team everyone support \
    customer service care sir madam or to whom it may concern i we i'm am hope you are is this mail \
    e-mail email message finds well doing look looking forward hearing hear from your reply answer \
    response soon thanks thank thx ty so very much many a lot in advance for the help time assistance \
    patience kind kindest best warm regards wishes yours sincerely faithfully truly cheers have nice \
    great lovely weekend week please let me know sorry bother appreciated and with again kindly any \
    would be appreciate at earliest convenience take apologies trouble inconvenience understanding";

/// Words that name an order. A sentence of these and an order number asks for nothing.
const REFERRING: &str = "\
    my the this a is it it's was order orders purchase number no nr ref reference id customer concerning \
    regarding about re for with";

/// Abbreviations whose full stop does not end a sentence.
const ABBREVIATIONS: &str = "no nr num mr mrs ms dr ref approx st";

/// Most words of a line that can be a signature.
const MAX_SIGNATURE_WORDS: usize = 3;

/// Most words before the comma of a greeting that goes on, such as "Hello everyone, where …".
const MAX_GREETING_WORDS: usize = 4;

/// Words up to a full stop, question mark, exclamation mark or the end of the line.
#[derive(Debug)]
struct Sentence<'a> {
    words: Vec<&'a str>,
    /// Whether it has a line of its own.
    is_line: bool,
}

/// The sentences of `text` that may ask for something, each with single spaces.
pub fn requests(text: &str) -> Vec<String> {
    let sentences = split(text);
    let kept: Vec<String> = without_signature(&sentences)
        .iter()
        .filter(|sentence| !is_courtesy(&sentence.words) && !is_mere_reference(&sentence.words))
        .map(|sentence| after_greeting(&sentence.words).join(" "))
        .collect();
    if kept.is_empty() { sentences.iter().map(|s| s.words.join(" ")).collect() } else { kept }
}

fn split(text: &str) -> Vec<Sentence<'_>> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let of_line: Vec<&[&str]> = words.split_inclusive(|word| ends_sentence(word)).collect();
        let is_line = of_line.len() == 1;
        sentences.extend(of_line.into_iter().map(|words| Sentence { words: words.to_vec(), is_line }));
    }
    sentences
}

fn ends_sentence(word: &str) -> bool {
    let core = word.trim_end_matches(['"', '\'', ')', '”', '’']);
    let is_number = core.trim_end_matches('.').chars().all(|c| c.is_ascii_digit());
    core.ends_with(['?', '!', '…']) || (core.ends_with('.') && !is_number && !is_one_of(ABBREVIATIONS, core))
}

/// The sentences without a last line that is only a name.
fn without_signature<'s, 'a>(sentences: &'s [Sentence<'a>]) -> &'s [Sentence<'a>] {
    match sentences.split_last() {
        Some((last, others)) if last.is_line && is_name(&last.words) => others,
        _ => sentences,
    }
}

fn is_name(words: &[&str]) -> bool {
    let is_capitalised = |word: &&str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase)
            && letters.all(|c| c.is_lowercase() || matches!(c, '.' | '-' | '\'' | '’'))
    };
    words.len() <= MAX_SIGNATURE_WORDS && words.iter().all(is_capitalised)
}

fn is_courtesy(words: &[&str]) -> bool {
    words.iter().all(|word| is_one_of(COURTESIES, word)) || is_closing(words) || is_salutation(words)
}

/// Whether it is a courtesy and a name, such as "Thanks, Gwen".
fn is_closing(words: &[&str]) -> bool {
    let n_courtesies = words.iter().take_while(|word| is_one_of(COURTESIES, word)).count();
    let ends_with_comma = n_courtesies.checked_sub(1).is_some_and(|last| words[last].ends_with(','));
    ends_with_comma && is_name(&words[n_courtesies..])
}

/// Whether it is a salutation on a line of its own, such as "Dear Ms Okafor,".
fn is_salutation(words: &[&str]) -> bool {
    words.len() <= MAX_GREETING_WORDS + 1
        && words[0].eq_ignore_ascii_case("dear")
        && words.last().is_some_and(|last| last.ends_with([',', '!', ':']))
}

fn is_mere_reference(words: &[&str]) -> bool {
    words.iter().any(|word| may_be_reference(word))
        && words.iter().all(|word| may_be_reference(word) || is_one_of(REFERRING, word))
}

/// The words after a greeting such as "Hello everyone," if the sentence goes on after it.
fn after_greeting<'w, 'a>(words: &'w [&'a str]) -> &'w [&'a str] {
    let comma = words.iter().take(MAX_GREETING_WORDS).position(|word| word.ends_with(','));
    match comma {
        Some(i) if i + 1 < words.len() && words[..=i].iter().all(|word| is_one_of(COURTESIES, word)) => {
            &words[i + 1..]
        }
        _ => words,
    }
}

/// Whether `word`, without punctuation and case, is in `list`. A word of punctuation only is in every list.
pub(super) fn is_one_of(list: &str, word: &str) -> bool {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    core.is_empty() || list.split(' ').any(|listed| listed.eq_ignore_ascii_case(core))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::requests;

    #[rstest]
    #[case("Hello,\n\nwhere is my parcel?\n\nKind regards,\nTomás Rey", &["where is my parcel?"])]
    #[case("Good morning! I hope this mail finds you well. Cancel it.", &["Cancel it."])]
    #[case("Dear Ms Okafor,\nthe lid is missing. Thanks, Gwen", &["the lid is missing."])]
    #[case("Hi there, is it in stock? My order number is #K10023.", &["is it in stock?"])]
    #[case("Order no. 10482: any news?\nZoe", &["Order no. 10482: any news?"])]
    #[case("return it\n\nMany thanks and best wishes,\nDr. Ute Grau", &["return it"])]
    #[case("Lamp late\nIt was due Monday. Where is it?", &["Lamp late", "It was due Monday.", "Where is it?"])]
    fn what_asks_for_something_is_kept(#[case] text: &str, #[case] kept: &[&str]) {
        assert_eq!(requests(text), kept);
    }

    #[rstest]
    #[case("thanks!")]
    #[case("Hello")]
    #[case("order #K10023")]
    #[case("Cancel it")]
    #[case("thank you, now send me the invoice")]
    fn a_message_is_never_emptied(#[case] text: &str) {
        assert!(text.ends_with(&requests(text).join(" ")) && !requests(text).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_added(text in "\\PC{0,80}") {
            let words: Vec<&str> = text.split_whitespace().collect();
            for sentence in requests(&text) {
                prop_assert!(sentence.split_whitespace().all(|word| words.contains(&word)));
            }
        }
    }
}
