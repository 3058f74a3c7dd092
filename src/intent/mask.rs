//! Replaces identifiers of orders and persons by plain words, before embedding.
//!
//! `#W2611340` says nothing about the intent, but would change the embedding. It becomes "it", as in
//! speech: with a phrase such as "order number" every message that names one would look like a question
//! about orders. Training and classification use the same [`mask`].

/// Words after which a number is removed: "order #W2611340" becomes "order".
const REFERENCE_WORDS: [&str; 18] = [
    "order",
    "orders",
    "purchase",
    "number",
    "numbers",
    "no",
    "nr",
    "num",
    "id",
    "ref",
    "reference",
    "tracking",
    "invoice",
    "parcel",
    "package",
    "shipment",
    "item",
    "#",
];

/// Shortest run of digits that is always a reference; years and prices are shorter.
const MIN_BARE_DIGITS: usize = 6;

/// The replacement of the number of an order, parcel or item.
const REFERENCE: &str = "it";

/// `text` with order and tracking numbers replaced by "it", e-mail addresses and links by their kind.
///
/// White space collapses to single spaces; punctuation around a masked token stays.
///
/// ```
/// use tier0::intent::mask;
/// assert_eq!(mask("Cancel #W2611340, please"), "Cancel it, please");
/// assert_eq!(mask("where is order 10482?"), "where is order?");
/// assert_eq!(mask("write to ann@example.com"), "write to email address");
/// ```
#[must_use]
pub fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    // Whether the last word written is one of those after which a number is removed.
    let mut after_reference = false;
    for token in text.split_whitespace() {
        let (before, core, after) = split_punctuation(token);
        match kind_of(core, after_reference) {
            Kind::Word => {
                push_word(&mut masked, token);
                after_reference = is_reference_word(core);
            }
            Kind::Reference if after_reference => masked.push_str(after),
            Kind::Reference => {
                push_word(&mut masked, &format!("{before}{REFERENCE}{after}"));
                after_reference = true;
            }
            Kind::Contact(name) => {
                push_word(&mut masked, &format!("{before}{name}{after}"));
                after_reference = false;
            }
        }
    }
    masked
}

/// Whether `word`, without punctuation, can be the number of an order, parcel or item.
pub(super) fn may_be_reference(word: &str) -> bool {
    matches!(kind_of(split_punctuation(word).1, true), Kind::Reference)
}

/// The kind of a token, without its punctuation.
#[derive(Clone, Copy)]
enum Kind {
    Word,
    /// A number of an order, parcel or item.
    Reference,
    /// The address of a person or page, with its replacement.
    Contact(&'static str),
}

fn kind_of(core: &str, after_reference: bool) -> Kind {
    let n_digits = core.chars().filter(char::is_ascii_digit).count();
    let n_letters = core.chars().filter(|c| c.is_alphabetic()).count();
    let is_code = core.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '#' | '-' | '_' | '/'));
    if is_email(core) {
        Kind::Contact("email address")
    } else if core.starts_with("http://") || core.starts_with("https://") || core.starts_with("www.") {
        Kind::Contact("link")
    } else if !is_code || n_digits == 0 || is_date(core) {
        Kind::Word
    } else if core.starts_with('#') {
        Kind::Reference
    } else if n_letters == 0 {
        let is_reference = n_digits >= MIN_BARE_DIGITS || (after_reference && n_digits >= 3);
        if is_reference { Kind::Reference } else { Kind::Word }
    } else if n_digits >= 5 || (n_digits >= 4 && core.contains('-')) {
        Kind::Reference
    } else {
        Kind::Word
    }
}

fn is_email(core: &str) -> bool {
    core.split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}

/// Whether it is a date such as `2026-11-22` or `22/11/2026`: three groups of digits, none longer than a
/// year.
fn is_date(core: &str) -> bool {
    let groups: Vec<&str> = core.split(['-', '/']).collect();
    groups.len() == 3
        && groups.iter().all(|g| (1..=4).contains(&g.len()) && g.bytes().all(|b| b.is_ascii_digit()))
}

fn is_reference_word(core: &str) -> bool {
    REFERENCE_WORDS.iter().any(|word| core.eq_ignore_ascii_case(word))
}

/// Splits a token into leading punctuation, core and trailing punctuation. `#` belongs to the core.
fn split_punctuation(token: &str) -> (&str, &str, &str) {
    let is_core = |c: char| c.is_alphanumeric() || c == '#';
    let Some(start) = token.find(is_core) else {
        return (token, "", "");
    };
    let core_and_after = &token[start..];
    let core = core_and_after.trim_end_matches(|c| !is_core(c));
    (&token[..start], core, &core_and_after[core.len()..])
}

fn push_word(text: &mut String, word: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::mask;

    #[rstest]
    #[case("where is #W2611340?", "where is it?")]
    #[case("(W2611340)", "(it)")]
    #[case("Order # 10482 is late", "Order # is late")]
    #[case("order no. 10482, please", "order no., please")]
    #[case("order number: #10482", "order number:")]
    #[case("#W1234567 and #W7654321", "it and it")]
    #[case("cancel 370795561790", "cancel it")]
    #[case("ORD-4821 never came", "it never came")]
    #[case("it says 1Z999AA10123456784", "it says it")]
    #[case("tracking 582054665279 is stuck", "tracking is stuck")]
    #[case("mail me at a.b+c@shop.example.org.", "mail me at email address.")]
    #[case("see https://example.org/a?b=1 for it", "see link for it")]
    fn references_and_contacts_are_masked(#[case] text: &str, #[case] masked: &str) {
        assert_eq!(mask(text), masked);
    }

    #[rstest]
    #[case("I paid 120 dollars in 2025")]
    #[case("it came on 2026-11-22, or 22/11/2026")]
    #[case("do you have the XM4 or a 512GB one?")]
    #[case("size 10.5 @ home, 50% off!!! :)")]
    #[case("#help")]
    fn other_words_stay(#[case] text: &str) {
        assert_eq!(mask(text), text);
    }

    proptest! {
        #[test]
        fn masking_twice_changes_nothing_more(text in "\\PC{0,60}") {
            let once = mask(&text);
            prop_assert_eq!(mask(&once), once);
        }

        #[test]
        fn no_order_number_survives(before in "[a-z ]{0,20}", digits in "[0-9]{6,14}", prefix in "(#|#W|W|)") {
            let text = format!("{before} {prefix}{digits} please");
            prop_assert!(!mask(&text).contains(&digits));
        }
    }
}
