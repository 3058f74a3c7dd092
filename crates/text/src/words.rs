//! Words of a text, made comparable: what a customer calls a thing is rarely spelt as in the store.

/// Words of other spellings that customers use for the store's.
const SPELLINGS: [(&str, &str); 8] = [
    ("litre", "liter"),
    ("colour", "color"),
    ("grey", "gray"),
    ("metre", "meter"),
    ("centimetre", "centimeter"),
    ("aluminium", "aluminum"),
    ("jewellery", "jewelry"),
    ("tyre", "tire"),
];

/// The words of a text in their order: lower case, singular, figures apart from letters.
///
/// ```
/// assert_eq!(tier0_text::words("It's the 4K one"), ["its", "the", "4", "k", "one"]);
/// ```
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut last = ' ';
    for c in text.chars().flat_map(char::to_lowercase) {
        if matches!(c, '\'' | '’') {
            continue;
        }
        if !c.is_alphanumeric() || c.is_numeric() != last.is_numeric() {
            finish(&mut word, &mut words);
        }
        if c.is_alphanumeric() {
            word.push(c);
        }
        last = c;
    }
    finish(&mut word, &mut words);
    words
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(plain(&std::mem::take(word)));
    }
}

/// One spelling, in the singular.
fn plain(word: &str) -> String {
    let singular = singular(word);
    SPELLINGS.iter().find(|(from, _)| *from == singular).map_or(singular, |(_, to)| to).to_owned()
}

/// Drops the ending of an English plural; `word` is in lower case. Crude, but both sides of a comparison go
/// through it.
#[must_use]
pub fn singular(word: &str) -> &str {
    let stem = match word.strip_suffix("es") {
        Some(stem) if stem.ends_with(['s', 'x', 'z']) || stem.ends_with("ch") || stem.ends_with("sh") => stem,
        _ => word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(word),
    };
    // "gas" and "bus" are no plurals.
    if stem.len() < 3 { word } else { stem }
}

/// Where `part` stands in `whole`, word after word.
#[must_use]
pub fn position(whole: &[String], part: &[String]) -> Option<usize> {
    if part.is_empty() {
        return None;
    }
    whole.windows(part.len()).position(|window| window == part)
}

/// Whether `part` stands in `whole`, word after word.
#[must_use]
pub fn contains(whole: &[String], part: &[String]) -> bool {
    position(whole, part).is_some()
}

/// Whether any of `phrases` stands in `whole`.
#[must_use]
pub fn mentions(whole: &[String], phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| contains(whole, &words(phrase)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("It's the 4K one", &["its", "the", "4", "k", "one"])]
    #[case("1 litre, gas version", &["1", "liter", "gas", "version"])]
    #[case("two boxes of glasses", &["two", "box", "of", "glass"])]
    #[case("", &[])]
    fn words_are_comparable(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(words(text), expected);
    }

    #[rstest]
    #[case("the black ones with the 6 hour battery", "6 hours", true)]
    #[case("6 lamps within the hour", "6 hours", false)]
    #[case("a high-back chair", "high back", true)]
    #[case("1000ml", "1000 ml", true)]
    #[case("anything", "", false)]
    fn a_part_has_to_stand_together(#[case] whole: &str, #[case] part: &str, #[case] expected: bool) {
        assert_eq!(contains(&words(whole), &words(part)), expected);
    }

    proptest! {
        #[test]
        fn a_text_contains_each_of_its_words(text in ".{0,60}") {
            let all = words(&text);
            for word in &all {
                prop_assert!(contains(&all, std::slice::from_ref(word)));
            }
        }
    }
}
