//! Drafts: looking along them is the same as accepting them, and leaves nothing behind.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{ARITHMETIC, Forced, Walk, compile, json, vocabulary};
use crate::{
    engine::{Grammar, constraint::Constraint},
    model::TokenId,
};

fn grammars() -> [Grammar; 4] {
    [
        Grammar::JsonSchema(json::ticket()),
        Grammar::JsonSchema(json::tree()),
        Grammar::Lark(ARITHMETIC.to_owned()),
        Grammar::Regex("(a|b)*abc? refund".to_owned()),
    ]
}

/// The constraint after the first `n` tokens of a walk, and the tokens that came next in it.
fn stand(grammar: &Grammar, seed: u64, n: usize) -> (Constraint, Vec<TokenId>) {
    let tokens = Walk::new(seed).run(&mut compile(grammar), Forced::Sampled, 60).tokens;
    let n = n.min(tokens.len());
    let mut constraint = compile(grammar);
    for token in &tokens[..n] {
        constraint.accept(*token).unwrap();
    }
    (constraint, tokens[n..].to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn looking_ahead_counts_what_can_be_accepted_and_accepts_nothing(which in 0usize..4, seed: u64, n in 0usize..40, len in 0usize..12) {
        let grammar = &grammars()[which];
        let (mut constraint, mut draft) = stand(grammar, seed, n);
        draft.truncate(len);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        if rng.random_bool(0.5) {
            // A draft from somewhere else: wrong from here on, ends and control tokens among it.
            let n_vocab = vocabulary::shared().len() as u32;
            draft.extend((0..2).map(|_| TokenId(rng.random_range(0..n_vocab))));
            draft.push(TokenId(rng.random_range(0..3)));
        }
        let n_acceptable = constraint.n_acceptable(&draft).unwrap();

        let (mut step_by_step, _) = stand(grammar, seed, n);
        prop_assert_eq!(constraint.mask(), step_by_step.mask());
        prop_assert_eq!(constraint.forced_tokens(), step_by_step.forced_tokens());
        let mut n_accepted = 0;
        for token in &draft {
            if step_by_step.accept(*token).is_err() {
                break;
            }
            // The draft can still be accepted for good after it was looked along.
            prop_assert_eq!(constraint.accept(*token).is_ok(), true);
            prop_assert_eq!(constraint.mask(), step_by_step.mask());
            n_accepted += 1;
        }
        prop_assert_eq!(n_acceptable, n_accepted);
    }
}

#[test]
fn a_draft_may_run_past_the_end() {
    let mut constraint = compile(&Grammar::Regex("ab".to_owned()));
    let vocabulary = vocabulary::shared();
    let mut draft = vocabulary.encode("ab");
    draft.push(super::END[0]);
    draft.extend(vocabulary.bytewise("c"));
    assert_eq!(constraint.n_acceptable(&draft).unwrap(), draft.len() - 1);
    assert!(!constraint.is_done());
    constraint.accept(draft[0]).unwrap();
    assert!(constraint.is_done());
}

/// After `a` and after `b` the same may come first, but not all that follows is the same.
#[test]
fn a_draft_leaves_no_mask_for_another_way() {
    let source = "start: \"a\" TAIL \"}\" | \"b\" TAIL \"]\"\nTAIL: /[xyz]*\"/";
    let vocabulary = vocabulary::shared();
    let ids = vocabulary.bytewise("ab");
    let quote_and_brace = vocabulary.encode("\"}")[0];
    let mut constraint = compile(&Grammar::Lark(source.to_owned()));
    assert_eq!(constraint.n_acceptable(&[ids[0], quote_and_brace]).unwrap(), 2);
    constraint.accept(ids[1]).unwrap();
    assert!(!constraint.mask().unwrap().allows(quote_and_brace));
}
