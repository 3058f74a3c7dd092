//! Finds products by the words of their names.

use std::cmp::Reverse;
use std::collections::HashSet;

use tier0_text::singular;

/// Positions of the names that share a word with `text`, the most completely named first.
pub(super) fn rank<'a>(names: impl IntoIterator<Item = &'a str>, text: &str) -> Vec<usize> {
    let said: HashSet<String> = words(text).collect();
    let mut found: Vec<(usize, usize, usize)> = names
        .into_iter()
        .enumerate()
        .map(|(position, name)| {
            let name: HashSet<String> = words(name).collect();
            (position, name.intersection(&said).count(), name.len())
        })
        .filter(|(_, n_shared, _)| *n_shared > 0)
        .collect();
    // By the share of the name that was said (compared as a fraction of 1,000), then by its length.
    found.sort_by_key(|(position, n_shared, n_words)| {
        (Reverse(n_shared * 1_000 / n_words), Reverse(*n_shared), *position)
    });
    found.into_iter().map(|(position, _, _)| position).collect()
}

/// The words of two letters and more, in lower case and in the singular.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 1)
        .map(|word| singular(&word.to_lowercase()).to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NAMES: [&str; 6] =
        ["Camp Stove", "Hiking Boots", "Stove Wind Screen", "T-Shirt", "Storage Box", "Torch"];

    #[rstest]
    #[case("is the camp stove back in stock?", &[0, 2])]
    #[case("a STOVE please", &[0, 2])]
    #[case("do you sell t-shirts", &[3])]
    #[case("one hiking boot", &[1])]
    #[case("storage boxes and torches", &[4, 5])]
    #[case("where is my parcel", &[])]
    #[case("", &[])]
    fn the_most_completely_named_product_comes_first(#[case] text: &str, #[case] expected: &[usize]) {
        assert_eq!(rank(NAMES, text), expected);
    }
}
