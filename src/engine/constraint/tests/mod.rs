mod json;
mod looking_ahead;
mod refusals;
mod regex;
mod vocabulary;

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vocabulary::{END, Vocabulary};

use super::{Constraint, ConstraintFactory, Progress, prepare_all};
use crate::{engine::Grammar, model::TokenId};

/// One random walk under a constraint: logits are random but lean to what closes a text.
struct Walk {
    rng: ChaCha8Rng,
    tokens: Vec<TokenId>,
    finished: bool,
}

/// How a walk treats tokens that are forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forced {
    Taken,
    Sampled,
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), tokens: Vec::new(), finished: false }
    }

    /// Logits by place and token alone, so that two walks can be compared.
    fn sample(&self, vocabulary: &Vocabulary, constraint: &mut Constraint, n: usize) -> TokenId {
        let mut rng = self.rng.clone();
        rng.set_stream(n as u64);
        let closing = |bytes: &[u8]| matches!(bytes, b"\"" | b"]" | b"}" | b")" | b"\"}" | b"");
        let lean = |id: u32| if closing(vocabulary.bytes(TokenId(id))) { 0.9 } else { 0.0 };
        let mut logits: Vec<f32> =
            (0..vocabulary.len() as u32 + 7).map(|id| rng.random::<f32>() + lean(id)).collect();
        let mask = constraint.mask().unwrap();
        mask.apply(&mut logits);
        let (best, logit) = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert!(logit.is_finite(), "the mask leaves no token");
        assert!(mask.allows(TokenId(best as u32)));
        assert_eq!(mask.n_allowed(), logits.iter().filter(|logit| logit.is_finite()).count());
        TokenId(best as u32)
    }

    fn run(mut self, constraint: &mut Constraint, forced: Forced, n_max: usize) -> Self {
        let vocabulary = vocabulary::shared();
        while self.tokens.len() < n_max && !constraint.is_done() {
            if forced == Forced::Taken {
                for token in constraint.forced_tokens() {
                    constraint.accept(token).unwrap();
                    self.tokens.push(token);
                }
                if constraint.is_done() {
                    break;
                }
            }
            let token = self.sample(vocabulary, constraint, self.tokens.len());
            let progress = constraint.accept(token).unwrap();
            assert_eq!(progress == Progress::Done, constraint.is_done());
            if !END.contains(&token) {
                assert!(!vocabulary.bytes(token).is_empty(), "control token {token:?} was allowed");
                self.tokens.push(token);
            }
        }
        self.finished = constraint.is_done();
        self
    }

    fn text(&self) -> String {
        String::from_utf8(vocabulary::shared().text(&self.tokens)).unwrap()
    }
}

fn compile(grammar: &Grammar) -> Constraint {
    factory().compile(grammar).unwrap()
}

fn factory() -> &'static ConstraintFactory {
    static FACTORY: std::sync::LazyLock<ConstraintFactory> =
        std::sync::LazyLock::new(|| vocabulary::shared().factory());
    &FACTORY
}

const ARITHMETIC: &str = r#"
start: expression
expression: term (("+" | "-") term)*
term: factor (("*" | "/") factor)*
factor: NUMBER | "(" expression ")"
NUMBER: /[0-9]{1,4}/
"#;

/// What is left of a text after the longest arithmetic expression.
fn after_expression(text: &str) -> Option<&str> {
    let mut rest = after_factor(text)?;
    while let Some(next) = rest.strip_prefix(['+', '-', '*', '/']) {
        rest = after_factor(next)?;
    }
    Some(rest)
}

fn after_factor(text: &str) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('(') {
        return after_expression(inner)?.strip_prefix(')');
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=4).contains(&digits).then(|| &text[digits..])
}

#[test]
fn sentences_of_a_lark_grammar_come_out() {
    let mut n_finished = 0;
    for seed in 0..60 {
        let mut constraint = compile(&Grammar::Lark(ARITHMETIC.to_owned()));
        let walk = Walk::new(seed).run(&mut constraint, Forced::Sampled, 300);
        if walk.finished {
            n_finished += 1;
            assert_eq!(after_expression(&walk.text()), Some(""), "{}", walk.text());
        }
    }
    assert!(n_finished > 40, "only {n_finished} walks finished");
}

#[test]
fn a_whole_text_allows_nothing_but_its_end() {
    let mut constraint = compile(&Grammar::Regex("ab|abc".to_owned()));
    let ids = |text: &str| vocabulary::shared().bytewise(text);
    assert_eq!(constraint.accept(ids("a")[0]), Ok(Progress::Continue));
    assert!(END.iter().all(|end| !constraint.mask().unwrap().allows(*end)));
    assert_eq!(constraint.accept(ids("b")[0]), Ok(Progress::Continue));
    assert!(END.iter().all(|end| constraint.mask().unwrap().allows(*end)));
    assert!(constraint.mask().unwrap().allows(ids("c")[0]));
    assert_eq!(constraint.mask().unwrap().n_allowed(), 1 + END.len());
    assert_eq!(constraint.accept(ids("c")[0]), Ok(Progress::Done));
    assert_eq!(constraint.mask().unwrap().n_allowed(), END.len());
    assert!(constraint.forced_tokens().is_empty());
    assert!(constraint.accept(ids("c")[0]).is_err());
    assert_eq!(constraint.accept(END[1]), Ok(Progress::Done));
}

#[test]
fn an_end_token_ends_a_text_that_could_go_on() {
    let mut constraint = compile(&Grammar::Regex("a+".to_owned()));
    let a = vocabulary::shared().bytewise("a")[0];
    assert!(constraint.accept(END[0]).is_err(), "the empty text is no match");
    assert_eq!(constraint.accept(a), Ok(Progress::Continue));
    assert_eq!(constraint.accept(END[0]), Ok(Progress::Done));
    assert!(constraint.is_done());
    assert!(constraint.accept(a).is_err());
}

#[test]
fn an_end_token_is_no_text() {
    let mut constraint = compile(&Grammar::Regex("(</s>)+".to_owned()));
    assert_eq!(vocabulary::shared().bytes(END[1]), b"</s>");
    assert!(constraint.accept(END[1]).is_err());
    for token in vocabulary::shared().bytewise("</s>") {
        assert_eq!(constraint.accept(token), Ok(Progress::Continue));
    }
    assert_eq!(constraint.accept(END[1]), Ok(Progress::Done));
}

#[test]
fn a_token_out_of_place_changes_nothing() {
    let grammar = Grammar::Regex("[ab]{3}".to_owned());
    let ids = vocabulary::shared().bytewise("axb");
    let mut constraint = compile(&grammar);
    constraint.accept(ids[0]).unwrap();
    let before = constraint.mask().unwrap().clone();
    for wrong in [ids[1], END[0], TokenId(1_000_000), vocabulary::CONTROL] {
        assert!(constraint.accept(wrong).is_err());
        assert_eq!(constraint.mask().unwrap(), &before);
    }
    assert_eq!(constraint.accept(ids[2]), Ok(Progress::Continue));
}

#[test]
fn the_empty_text_is_done_at_once() {
    for grammar in [Grammar::Regex(String::new()), Grammar::Lark("start: \"\"".to_owned())] {
        let mut constraint = compile(&grammar);
        assert!(constraint.is_done());
        assert_eq!(constraint.mask().unwrap().n_allowed(), END.len());
    }
}

#[test]
fn masks_are_the_same_computed_side_by_side() {
    fn is_send<T: Send>() {}
    is_send::<Constraint>();
    let grammars = [
        Grammar::JsonSchema(json::ticket()),
        Grammar::Lark(ARITHMETIC.to_owned()),
        Grammar::Regex("[a-z]+@[a-z]+".to_owned()),
    ];
    let walked = |seed: u64| {
        let mut constraint = compile(&grammars[seed as usize % grammars.len()]);
        Walk::new(seed).run(&mut constraint, Forced::Taken, 3 + seed as usize % 9);
        constraint
    };
    let mut together: Vec<Constraint> = (0..24).map(walked).collect();
    prepare_all(together.iter_mut().collect::<Vec<_>>());
    for (seed, mut constraint) in together.into_iter().enumerate() {
        assert_eq!(constraint.mask(), walked(seed as u64).mask());
    }
}

#[test]
fn logits_beyond_the_vocabulary_are_ruled_out() {
    let mut constraint = compile(&Grammar::Regex(".*".to_owned()));
    let n_vocab = vocabulary::shared().len();
    for n_logits in [n_vocab + 100, n_vocab, 40] {
        let mut logits = vec![0.0; n_logits];
        let mask = constraint.mask().unwrap();
        mask.apply(&mut logits);
        for (id, logit) in logits.iter().enumerate() {
            assert_eq!(logit.is_finite(), mask.allows(TokenId(id as u32)), "token {id}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Taking forced tokens at once, and sampling each of them, give the same text.
    #[test]
    fn forced_tokens_are_those_that_sampling_would_give(seed: u64, which in 0usize..4) {
        let grammar = [
            Grammar::JsonSchema(json::ticket()),
            Grammar::JsonSchema(json::tree()),
            Grammar::Lark(ARITHMETIC.to_owned()),
            Grammar::Regex("(return|refund) within (7|14|30) days( of delivery)?\\.".to_owned()),
        ][which].clone();
        let walk = |forced| Walk::new(seed).run(&mut compile(&grammar), forced, 120).tokens;
        let (mut taken, mut sampled) = (walk(Forced::Taken), walk(Forced::Sampled));
        let n = taken.len().min(sampled.len());
        prop_assert!(n == 120 || taken.len() == sampled.len());
        taken.truncate(n);
        sampled.truncate(n);
        prop_assert_eq!(taken, sampled);
    }
}
