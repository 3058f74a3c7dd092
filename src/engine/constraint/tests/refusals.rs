//! What cannot be compiled is refused with a reason.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::ConstraintFactory, factory, vocabulary};
use crate::{engine::Grammar, model::TokenId};

fn reason(grammar: &Grammar) -> String {
    match factory().compile(grammar) {
        Ok(_) => panic!("{grammar:?} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unsupported_schemas_are_refused_by_name() {
    let cases = [
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"if": {"type": "string"}, "then": {"minLength": 2}}), "if"),
        (json!({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}), "oneOf"),
        (json!({"type": "string", "format": "postcode"}), "postcode"),
        (json!({"$ref": "https://example.com/schema.json"}), "https://example.com/schema.json"),
        (json!({"$ref": "#/$defs/none"}), "none"),
        (json!({"type": "text"}), "text"),
        (json!({"type": "integer", "minimum": 3, "maximum": 2}), "3"),
        (json!({"type": "string", "pattern": "(a"}), "unclosed"),
        (json!({"type": "object", "properties": {"a": {"properties": {"b": {"contains": {}}}}}}), "contains"),
        (json!({"not": {}, "x-guidance": {"lenient": true}}), "not"),
        (Value::Bool(false), "false"),
        (json!("string"), "object"),
    ];
    for (schema, word) in cases {
        let reason = reason(&Grammar::JsonSchema(schema.clone()));
        assert!(reason.starts_with("the JSON schema is not supported: "), "{reason}");
        assert!(reason.contains(word), "{schema}: {reason}");
        assert!(reason.chars().count() < 360 && !reason.contains('\n'), "{reason}");
    }
}

#[test]
fn wrong_expressions_and_grammars_are_refused() {
    let cases = [
        (Grammar::Regex("(a".to_owned()), "unclosed group"),
        (Grammar::Regex("a)(b".to_owned()), "unopened group"),
        (Grammar::Regex("a\\".to_owned()), "escape"),
        (Grammar::Regex("(?=a)b".to_owned()), "look-around"),
        (Grammar::Regex("(a)\\1".to_owned()), "backreferences"),
        (Grammar::Regex("a\\bc".to_owned()), ""),
        (Grammar::Lark("start: missing".to_owned()), "missing"),
        (Grammar::Lark("start: \"a".to_owned()), ""),
        (Grammar::Lark("first: \"a\"".to_owned()), "start"),
        (Grammar::Lark("start: <|im_end|>".to_owned()), ""),
        (Grammar::Lark("start: a\na[stop=\"c\"]: /b*/".to_owned()), "stop="),
        (Grammar::Lark("start: a\na[max_tokens=3]: /b*/".to_owned()), "max_tokens="),
        (Grammar::Lark("start: \"a\" <[1]>".to_owned()), "token"),
        (Grammar::Lark("start: <[*]>".to_owned()), "token"),
        (Grammar::Lark(String::new()), ""),
    ];
    for (grammar, word) in cases {
        let reason = reason(&grammar);
        assert!(reason.contains(" is not supported: "), "{reason}");
        assert!(reason.contains(word), "{grammar:?}: {reason}");
        assert!(reason.chars().count() < 360 && !reason.contains('\n'), "{reason}");
    }
}

#[test]
fn a_grammar_without_a_sentence_is_refused() {
    for grammar in [Grammar::Regex("[a&&b]".to_owned()), Grammar::Lark("start: A\nA: /a/ & /b/".to_owned())] {
        assert!(reason(&grammar).contains("no token of the vocabulary fits"));
    }
}

#[test]
fn sources_that_are_too_long_or_too_deep_are_refused() {
    assert!(reason(&Grammar::Regex("a".repeat(300_000))).contains("300000 bytes"));
    let deep = format!("{}a{}", "(".repeat(30_000), ")".repeat(30_000));
    reason(&Grammar::Regex(deep.clone()));
    reason(&Grammar::Lark(format!("start: {deep}")));
}

/// Compilation recurses along such chains; the first token to be chosen stands at their end.
#[test]
fn long_chains_of_rules_and_references_compile() {
    let n_rules = 2_500;
    let rules: String = (0..n_rules).map(|n| format!("r{n}: \"a\" r{} \"b\"\n", n + 1)).collect();
    let rules = Grammar::Lark(format!("start: r0\n{rules}r{n_rules}: \"c\"\n"));
    let n_defs = 1_200;
    let reference = |n: usize| json!({"$ref": format!("#/$defs/d{n}")});
    let of_next = |n: usize| (format!("d{n}"), json!({"items": reference(n + 1)}));
    let mut defs: serde_json::Map<String, Value> = (0..n_defs).map(of_next).collect();
    defs.insert(format!("d{n_defs}"), json!({"type": "null"}));
    let references = Grammar::JsonSchema(json!({"items": reference(0), "type": "array", "$defs": defs}));
    for (grammar, text) in [(rules, "aaaaaaaaaaaa"), (references, "[[[[null, [[")] {
        let mut constraint = factory().compile(&grammar).unwrap();
        for token in vocabulary::shared().bytewise(text) {
            match constraint.forced_tokens().first() {
                Some(forced) => constraint.accept(*forced).unwrap(),
                None => constraint.accept(token).unwrap(),
            };
            constraint.mask().unwrap();
        }
    }
}

#[test]
fn a_vocabulary_needs_an_end() {
    let tokens = || (0..=255u8).map(|byte| [byte]);
    let encode = |_: &str| Vec::new();
    assert!(ConstraintFactory::new(tokens(), &[], encode).is_err());
    assert!(ConstraintFactory::new(tokens(), &[TokenId(256)], encode).is_err());
    let long = [vec![b'a'; 2_000], Vec::new()];
    assert!(ConstraintFactory::new(long.iter(), &[TokenId(1)], encode).is_err());
}

proptest! {
    #[test]
    fn any_source_is_compiled_or_refused(source in "[ -~\n]{0,60}") {
        let vocabulary = vocabulary::shared();
        for grammar in [Grammar::Regex(source.clone()), Grammar::Lark(format!("start: {source}"))] {
            if let Ok(mut constraint) = factory().compile(&grammar) {
                let mask = constraint.mask().unwrap();
                prop_assert!(vocabulary.ids().any(|token| mask.allows(token)));
            }
        }
    }
}
