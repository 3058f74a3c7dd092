//! Which language a message is in.

use whatlang::{Lang, Script, detect, detect_script};

use crate::playbook::Language;

/// Letters below which a text is too short to tell its language by.
const MIN_LETTERS: usize = 20;

/// What a reply to a message may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// A language that the replies can be in.
    Known(Language),
    /// Another one; its code by ISO 639-3.
    Other(&'static str),
}

/// The language of a message; English where it is too short, or the evidence too thin, to say.
pub(super) fn spoken(message: &str) -> Spoken {
    let english = Spoken::Known(Language::En);
    let is_latin = matches!(detect_script(message), None | Some(Script::Latin));
    let n_letters = message.chars().filter(|c| c.is_alphabetic()).count();
    if is_latin && n_letters < MIN_LETTERS {
        return english;
    }
    let Some(found) = detect(message) else { return english };
    if is_latin && !found.is_reliable() {
        return english;
    }
    match found.lang() {
        Lang::Eng => english,
        Lang::Spa => Spoken::Known(Language::Es),
        Lang::Deu => Spoken::Known(Language::De),
        Lang::Fra => Spoken::Known(Language::Fr),
        other => Spoken::Other(other.code()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("where is my order #T10023?", Spoken::Known(Language::En))]
    #[case("status of W9980894?", Spoken::Known(Language::En))]
    #[case(
        "Wo bleibt meine Bestellung? Ich warte schon seit zwei Wochen darauf.",
        Spoken::Known(Language::De)
    )]
    #[case("¿Dónde está mi pedido? Llevo dos semanas esperando el paquete.", Spoken::Known(Language::Es))]
    #[case("Où en est ma commande ? J'attends le colis depuis deux semaines.", Spoken::Known(Language::Fr))]
    #[case("我的订单在哪里？已经等了两个星期了。", Spoken::Other("cmn"))]
    #[case("👍👍", Spoken::Known(Language::En))]
    fn the_language_is_told_from_a_few_words(#[case] message: &str, #[case] expected: Spoken) {
        assert_eq!(spoken(message), expected);
    }
}
