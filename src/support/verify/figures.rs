//! The figures of a text, in one spelling.

use std::collections::BTreeSet;

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

/// Every figure in a text, in one spelling: `1,234.50` and `1234.5` are the same, as are `five`
/// and `5`; `1000ml` counts as `1000`; a code such as `W2611340` counts whole.
pub(super) fn figures(text: &str) -> BTreeSet<String> {
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
    use rstest::rstest;

    use super::*;

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
}
