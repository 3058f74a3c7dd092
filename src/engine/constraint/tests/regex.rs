//! Masks held against brute force: regular expressions by their derivatives (Brzozowski 1964).

use std::rc::Rc;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, seq::IteratorRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    compile,
    vocabulary::{self, END},
};
use crate::{engine::Grammar, model::TokenId};

#[derive(Debug, Clone, PartialEq)]
enum Regex {
    Nothing,
    Empty,
    Byte(u8),
    Then(Rc<Regex>, Rc<Regex>),
    Or(Rc<Regex>, Rc<Regex>),
    Star(Rc<Regex>),
}

use Regex::{Byte, Empty, Nothing, Or, Star, Then};

impl Regex {
    fn then(self, next: Regex) -> Regex {
        match (self, next) {
            (Nothing, _) | (_, Nothing) => Nothing,
            (Empty, one) | (one, Empty) => one,
            (one, next) => Then(Rc::new(one), Rc::new(next)),
        }
    }

    fn or(self, other: Regex) -> Regex {
        match (self, other) {
            (Nothing, one) | (one, Nothing) => one,
            (one, other) if one == other => one,
            (one, other) => Or(Rc::new(one), Rc::new(other)),
        }
    }

    fn matches_empty(&self) -> bool {
        match self {
            Nothing | Byte(_) => false,
            Empty | Star(_) => true,
            Then(a, b) => a.matches_empty() && b.matches_empty(),
            Or(a, b) => a.matches_empty() || b.matches_empty(),
        }
    }

    /// What has to follow after `byte`. `Nothing` exactly where nothing can.
    fn after(&self, byte: u8) -> Regex {
        match self {
            Nothing | Empty => Nothing,
            Byte(own) => {
                if *own == byte {
                    Empty
                } else {
                    Nothing
                }
            }
            Then(a, b) => {
                let first = a.after(byte).then((**b).clone());
                if a.matches_empty() { first.or(b.after(byte)) } else { first }
            }
            Or(a, b) => a.after(byte).or(b.after(byte)),
            Star(a) => a.after(byte).then(self.clone()),
        }
    }

    fn after_all(&self, bytes: &[u8]) -> Regex {
        bytes.iter().fold(self.clone(), |rest, byte| rest.after(*byte))
    }

    fn pattern(&self) -> String {
        match self {
            Nothing => unreachable!("it is not generated"),
            Empty => "(?:)".to_owned(),
            Byte(byte) => (*byte as char).to_string(),
            Then(a, b) => format!("{}{}", a.pattern(), b.pattern()),
            Or(a, b) => format!("(?:{}|{})", a.pattern(), b.pattern()),
            Star(a) => format!("(?:{})*", a.pattern()),
        }
    }
}

fn regexes() -> impl Strategy<Value = Regex> {
    let byte = proptest::sample::select(b"abcn12".to_vec()).prop_map(Byte);
    let leaf = prop_oneof![8 => byte, 1 => Just(Empty)];
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            4 => (inner.clone(), inner.clone()).prop_map(|(a, b)| a.then(b)),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
            1 => inner.prop_map(|a| Star(Rc::new(a))),
        ]
    })
}

/// Tokens that keep the text a beginning of a match, and end tokens where it is one.
fn brute_force(rest: &Regex) -> Vec<TokenId> {
    let vocabulary = vocabulary::shared();
    let viable = |token: &TokenId| match vocabulary.bytes(*token) {
        _ if END.contains(token) => rest.matches_empty(),
        [] => false,
        bytes => rest.after_all(bytes) != Nothing,
    };
    vocabulary.ids().filter(viable).collect()
}

/// The bytes that every match has to begin with.
fn compelled(rest: &Regex) -> Vec<u8> {
    let (mut rest, mut bytes) = (rest.clone(), Vec::new());
    while !rest.matches_empty() {
        let mut ways = (0..=255).filter(|byte| rest.after(*byte) != Nothing);
        let (Some(byte), None) = (ways.next(), ways.next()) else { break };
        rest = rest.after(byte);
        bytes.push(byte);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn masks_are_those_of_brute_force(regex in regexes(), seed: u64) {
        let vocabulary = vocabulary::shared();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut constraint = compile(&Grammar::Regex(regex.pattern()));
        let mut rest = regex.clone();
        for _ in 0..12 {
            let viable = brute_force(&rest);
            let forced = constraint.forced_tokens();
            let mask = constraint.mask().unwrap();
            if let Some(first) = forced.first() {
                prop_assert_eq!(mask.n_allowed(), 1);
                prop_assert!(mask.allows(*first) && viable.contains(first));
                let text = vocabulary.text(&forced);
                prop_assert!(compelled(&rest).starts_with(&text), "{text:?} of {}", regex.pattern());
            } else {
                let allowed: Vec<TokenId> = vocabulary.ids().filter(|token| mask.allows(*token)).collect();
                prop_assert_eq!(&allowed, &viable, "{}", regex.pattern());
            }
            let accepted = *forced.first().or(viable.iter().choose(&mut rng)).unwrap();
            if constraint.is_done() || END.contains(&accepted) {
                prop_assert!(rest.matches_empty());
                break;
            }
            constraint.accept(accepted).unwrap();
            rest = rest.after_all(vocabulary.bytes(accepted));
        }
    }

    #[test]
    fn what_is_accepted_is_what_the_mask_allows(regex in regexes(), seed: u64) {
        let vocabulary = vocabulary::shared();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut constraint = compile(&Grammar::Regex(regex.pattern()));
        for _ in 0..6 {
            let mask = constraint.mask().unwrap().clone();
            let token = TokenId(rng.random_range(0..vocabulary.len() as u32));
            prop_assert_eq!(constraint.accept(token).is_ok(), mask.allows(token));
            if !mask.allows(token) {
                let allowed = vocabulary.ids().filter(|token| mask.allows(*token));
                constraint.accept(allowed.choose(&mut rng).unwrap()).unwrap();
            }
            if constraint.is_done() {
                break;
            }
        }
    }
}

#[test]
fn text_that_is_not_ascii_is_whole_characters() {
    let mut constraint = compile(&Grammar::Regex("[äöü]{2}€".to_owned()));
    let vocabulary = vocabulary::shared();
    let walk = super::Walk::new(3).run(&mut constraint, super::Forced::Sampled, 20);
    assert!(walk.finished);
    assert_eq!(walk.text().chars().count(), 3);
    assert!(walk.text().ends_with('€'));
    assert!(!vocabulary.text(&walk.tokens).is_empty());
}
