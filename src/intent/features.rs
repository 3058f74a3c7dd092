//! The features of a text: its sentence embedding, and its character n-grams.
//!
//! The embedding knows that "annul" means "cancel"; the n-grams know that "voucher" is not
//! "invoice", and see through typing errors. They are hashed into a fixed number of buckets
//! (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009).

use super::IntentError;
use super::mask::mask;
use super::sentences::requests;
use crate::embed::Embed;

/// Number of buckets of the n-grams; a power of two.
pub(super) const N_BUCKETS: usize = 4096;

/// Lengths of the n-grams, in characters.
const GRAM_LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// The features of one text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Features {
    /// The embedding, a unit vector `[dim]`.
    pub(super) vector: Vec<f32>,
    /// The n-grams. Squares of their values sum to 1, except for collisions; empty for an empty text.
    pub(super) grams: Vec<Gram>,
}

/// An n-gram that occurs in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gram {
    /// Index of the bucket, below [`N_BUCKETS`].
    pub(super) bucket: usize,
    /// The sign is the hash's, so that collisions cancel out on average.
    pub(super) value: f32,
}

/// Computes features. Training and classification both use it, so that they see the same features.
pub(super) fn read(embed: &dyn Embed, texts: &[&str]) -> Result<Vec<Features>, IntentError> {
    let plain: Vec<String> = texts.iter().map(|text| mask(&requests(text).join(" "))).collect();
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    let vectors = embed.embed(&plain)?;
    Ok(vectors.into_iter().zip(plain).map(|(vector, text)| Features { vector, grams: grams(text) }).collect())
}

fn grams(text: &str) -> Vec<Gram> {
    let mut hashes: Vec<u32> = words(text).iter().flat_map(|word| hashes_of(word)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let size = 1.0 / (hashes.len() as f32).sqrt();
    hashes
        .into_iter()
        .map(|hash| Gram {
            bucket: hash as usize % N_BUCKETS,
            value: if hash >> 31 == 0 { size } else { -size },
        })
        .collect()
}

/// Words in lower case with a space on either side, so that n-grams know beginnings and endings.
/// Punctuation marks and emoji are words of one character.
fn words(text: &str) -> Vec<Vec<char>> {
    let mut words = vec![vec![' ']];
    let mut in_word = false;
    for c in text.chars().flat_map(char::to_lowercase).filter(|c| !c.is_control()) {
        if !(in_word && c.is_alphanumeric()) {
            words.push(vec![' ']);
        }
        if let (false, Some(word)) = (c.is_whitespace(), words.last_mut()) {
            word.push(c);
        }
        in_word = c.is_alphanumeric();
    }
    for word in &mut words {
        word.push(' ');
    }
    words
}

fn hashes_of(word: &[char]) -> Vec<u32> {
    GRAM_LENGTHS.flat_map(|n| word.windows(n)).map(fnv1a).collect()
}

/// 32-bit FNV-1a of the characters' UTF-8 bytes.
fn fnv1a(gram: &[char]) -> u32 {
    let mut bytes = [0; 4];
    let mut hash = 0x811c_9dc5_u32;
    for c in gram {
        for byte in c.encode_utf8(&mut bytes).bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::embed::testing::HashEmbed;

    /// What two texts share, 0 to 1: the cosine of their n-grams.
    fn shared(a: &str, b: &str) -> f32 {
        let b = grams(b);
        grams(a)
            .iter()
            .filter_map(|x| b.iter().find(|y| y.bucket == x.bucket).map(|y| x.value * y.value))
            .sum()
    }

    #[test]
    fn a_typing_error_leaves_most_n_grams() {
        assert!(shared("cancel my purchase", "cancel my purchse") > 0.5);
        assert!(shared("cancel my purchase", "invoice for the lamp") < 0.2);
    }

    #[test]
    fn case_and_spacing_do_not_count() {
        assert_eq!(grams("Where  IS it?"), grams("where is it ?"));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(&[]), 0x811c_9dc5);
        assert_eq!(fnv1a(&['f', 'o', 'o', 'b', 'a', 'r']), 0xbf9c_f968);
    }

    #[test]
    fn courtesies_and_order_numbers_do_not_count() {
        let embed = HashEmbed::new(64);
        let [plain, framed] = ["where is it?", "Hello,\nwhere is #W7712093?\nBest wishes\nAna"];
        let features = read(&embed, &[plain, framed]).unwrap();
        assert_eq!(features[0], features[1]);
    }

    proptest! {
        #[test]
        fn every_text_has_finite_features(text in "\\PC{0,60}") {
            for gram in grams(&text) {
                prop_assert!(gram.bucket < N_BUCKETS && gram.value.is_finite());
            }
        }
    }
}
