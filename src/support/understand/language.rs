//! Which language a message is in.

use tier0_playbook::Language;
use whatlang::{Lang, Script, detect_script};

use crate::support::texts::AsWritten;

/// Letters below which a text is too short to tell its language by.
const MIN_LETTERS: usize = 20;

/// What a reply to a message may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::support) enum DetectedLanguage {
    /// A language that the replies can be in.
    Known(Language),
    /// Another one; its code by ISO 639-3.
    Other(&'static str),
}

/// The language of a message; English where it is too short, or the evidence too thin, to say.
pub(in crate::support) fn detect(message: &AsWritten) -> DetectedLanguage {
    let message = message.as_str();
    let english = DetectedLanguage::Known(Language::En);
    let is_latin = matches!(detect_script(message), None | Some(Script::Latin));
    let n_letters = message.chars().filter(|c| c.is_alphabetic()).count();
    if is_latin && n_letters < MIN_LETTERS {
        return english;
    }
    let Some(found) = whatlang::detect(message) else { return english };
    if is_latin && !found.is_reliable() {
        return by_function_words(message);
    }
    match found.lang() {
        Lang::Eng => english,
        Lang::Spa => DetectedLanguage::Known(Language::Es),
        Lang::Deu => DetectedLanguage::Known(Language::De),
        Lang::Fra => DetectedLanguage::Known(Language::Fr),
        other => DetectedLanguage::Other(other.code()),
    }
}

/// Small words that are frequent in one language and rare in the others.
const FUNCTION_WORDS: [(Language, &[&str]); 4] = [
    (
        Language::En,
        &[
            "the", "is", "my", "i", "and", "to", "you", "of", "it", "have", "please", "for", "was", "can",
            "do", "where",
        ],
    ),
    (
        Language::Es,
        &[
            "el", "los", "mi", "y", "que", "por", "con", "está", "dónde", "una", "pedido", "quiero", "llevo",
            "se",
        ],
    ),
    (
        Language::De,
        &[
            "der", "die", "das", "ich", "und", "nicht", "meine", "wo", "ist", "schon", "bitte", "habe",
            "mit", "seit",
        ],
    ),
    (
        Language::Fr,
        &["le", "les", "ma", "et", "je", "vous", "est", "où", "une", "commande", "depuis", "pas", "mon", "j"],
    ),
];
/// Function words that tell a language.
const MIN_FUNCTION_WORDS: usize = 2;

/// The language with the most function words in a short text; English where none has enough.
fn by_function_words(message: &str) -> DetectedLanguage {
    let lower = message.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphabetic()).collect();
    let count = |list: &[&str]| words.iter().filter(|word| list.contains(word)).count();
    let counted = FUNCTION_WORDS.iter().map(|(language, list)| (*language, count(list)));
    // Of equal counts the first one, English, is taken.
    let best = counted.rev().max_by_key(|(_, n)| *n).filter(|(_, n)| *n >= MIN_FUNCTION_WORDS);
    DetectedLanguage::Known(best.map_or(Language::En, |(language, _)| language))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("where is my order #T10023?", DetectedLanguage::Known(Language::En))]
    #[case("status of W9980894?", DetectedLanguage::Known(Language::En))]
    #[case(
        "Wo bleibt meine Bestellung? Ich warte schon seit zwei Wochen darauf.",
        DetectedLanguage::Known(Language::De)
    )]
    #[case(
        "¿Dónde está mi pedido? Llevo dos semanas esperando el paquete.",
        DetectedLanguage::Known(Language::Es)
    )]
    #[case(
        "Où en est ma commande ? J'attends le colis depuis deux semaines.",
        DetectedLanguage::Known(Language::Fr)
    )]
    #[case("我的订单在哪里？已经等了两个星期了。", DetectedLanguage::Other("cmn"))]
    #[case("👍👍", DetectedLanguage::Known(Language::En))]
    fn the_language_is_told_from_a_few_words(#[case] message: &str, #[case] expected: DetectedLanguage) {
        assert_eq!(detect(&AsWritten::new(message)), expected);
    }
}
