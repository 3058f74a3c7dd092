//! Texts under JSON schemas, held against a validator for what these schemas use.

use serde_json::{Value, json};

use super::{super::ConstraintFactory, Forced, Walk, compile, vocabulary};
use crate::{engine::Grammar, model::TokenId};

pub(super) fn ticket() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "kind": {"enum": ["refund", "return", 3, null, "na\"me"]},
            "order": {
                "type": "object",
                "properties": {
                    "number": {"type": "integer", "minimum": 100, "maximum": 2_500},
                    "weight": {"type": "number", "minimum": -0.5, "exclusiveMaximum": 12.25},
                    "paid": {"type": "boolean"},
                    "lines": {
                        "type": "array",
                        "items": {"$ref": "#/$defs/line"},
                        "minItems": 1,
                        "maxItems": 3
                    }
                },
                "required": ["number", "lines"],
                "additionalProperties": false
            }
        },
        "required": ["name", "kind", "order"],
        "additionalProperties": false,
        "$defs": {
            "line": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string", "minLength": 2, "maxLength": 4},
                    "count": {"type": "integer", "minimum": 1, "maximum": 9}
                },
                "required": ["sku"],
                "additionalProperties": false
            }
        }
    })
}

pub(super) fn tree() -> Value {
    json!({
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"anyOf": [
                        {"type": "integer", "minimum": -20, "maximum": 20},
                        {"type": "string", "maxLength": 3},
                        {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
                        {"type": "null"}
                    ]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}
                },
                "required": ["value", "children"],
                "additionalProperties": false
            }
        }
    })
}

fn anything() -> Value {
    json!({"type": ["object", "array"], "maxItems": 4})
}

/// Whether a value is of a schema; panics on a keyword that it does not know.
fn valid(value: &Value, schema: &Value, root: &Value) -> bool {
    let keywords = schema.as_object().unwrap();
    keywords.iter().all(|(keyword, operand)| holds(keyword, operand, value, root))
        && object_holds(value, keywords, root)
}

fn holds(keyword: &str, operand: &Value, value: &Value, root: &Value) -> bool {
    let number = || operand.as_f64().unwrap();
    let count = |actual: Option<usize>, within: fn(&usize, &usize) -> bool| {
        actual.is_none_or(|n| within(&n, &(operand.as_u64().unwrap() as usize)))
    };
    let n_chars = value.as_str().map(|text| text.chars().count());
    let n_items = value.as_array().map(Vec::len);
    match keyword {
        "type" => match operand {
            Value::Array(types) => types.iter().any(|one| is_type(value, one.as_str().unwrap())),
            one => is_type(value, one.as_str().unwrap()),
        },
        "enum" => operand.as_array().unwrap().contains(value),
        "anyOf" => operand.as_array().unwrap().iter().any(|one| valid(value, one, root)),
        "$ref" => valid(value, root.pointer(&operand.as_str().unwrap()[1..]).unwrap(), root),
        "minimum" => value.as_f64().is_none_or(|n| n >= number()),
        "maximum" => value.as_f64().is_none_or(|n| n <= number()),
        "exclusiveMaximum" => value.as_f64().is_none_or(|n| n < number()),
        "minLength" => count(n_chars, usize::ge),
        "maxLength" => count(n_chars, usize::le),
        "minItems" => count(n_items, usize::ge),
        "maxItems" => count(n_items, usize::le),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| valid(item, operand, root))),
        "required" => {
            let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
            !value.is_object() || operand.as_array().unwrap().iter().all(has)
        }
        "properties" | "additionalProperties" | "$defs" => true,
        other => panic!("the validator does not know `{other}`"),
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("no type `{other}`"),
    }
}

fn object_holds(value: &Value, keywords: &serde_json::Map<String, Value>, root: &Value) -> bool {
    let Some(object) = value.as_object() else { return true };
    let properties = keywords.get("properties").and_then(Value::as_object);
    let closed = keywords.get("additionalProperties") == Some(&Value::Bool(false));
    object.iter().all(|(name, value)| match properties.and_then(|properties| properties.get(name)) {
        Some(schema) => valid(value, schema, root),
        None => !closed,
    })
}

/// White space outside of strings is one space after a comma or a colon.
fn white_space_is_bounded(text: &str) -> bool {
    let (mut in_string, mut escaped, mut last) = (false, false, ' ');
    text.chars().all(|c| {
        let fine = in_string || !c.is_whitespace() || (c == ' ' && matches!(last, ',' | ':'));
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        last = c;
        fine
    })
}

#[test]
fn finished_texts_are_json_of_their_schema() {
    for (name, schema, n_least) in [("ticket", ticket(), 50), ("tree", tree(), 45), ("any", anything(), 30)] {
        let mut n_finished = 0;
        for seed in 0..50 {
            let mut constraint = compile(&Grammar::JsonSchema(schema.clone()));
            let walk = Walk::new(seed).run(&mut constraint, Forced::Taken, 1_500);
            if !walk.finished {
                continue;
            }
            n_finished += 1;
            let text = walk.text();
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(valid(&value, &schema, &schema), "{name}: {text}");
            assert!(white_space_is_bounded(&text), "{name}: {text}");
        }
        assert!(n_finished >= n_least, "{name}: only {n_finished} of 50 walks finished");
    }
}

#[test]
fn the_validator_tells_right_from_wrong() {
    let schema = ticket();
    let right = json!({
        "name": "x", "kind": null, "order": {"number": 100, "weight": 12.2, "lines": [{"sku": "ab"}]}
    });
    assert!(valid(&right, &schema, &schema));
    let wrongs = [
        ("/order/number", json!(99)),
        ("/order/weight", json!(12.25)),
        ("/order/lines", json!([])),
        ("/order/lines/0", json!({"count": 1})),
        ("/order/lines/0/sku", json!("abcde")),
        ("/kind", json!("other")),
        ("/name", json!(null)),
        ("/order", json!({"number": 100, "lines": [{"sku": "ab"}], "more": 1})),
    ];
    for (place, wrong) in wrongs {
        let mut value = right.clone();
        *value.pointer_mut(place).unwrap() = wrong;
        assert!(!valid(&value, &schema, &schema), "{place}");
    }
    assert!(white_space_is_bounded(r#"{"a  \" b": [1, 2]}"#));
    assert!(!white_space_is_bounded(r#"{ "a": 1}"#) && !white_space_is_bounded(r#"{"a":  1}"#));
}

#[test]
fn required_keys_are_forced() {
    let vocabulary = vocabulary::shared();
    let mut constraint = compile(&Grammar::JsonSchema(ticket()));
    let forced = constraint.forced_tokens();
    let text = String::from_utf8(vocabulary.text(&forced)).unwrap();
    // The quotes that follow may still merge with what the model writes.
    assert_eq!(text, "{\"name");
    assert_eq!(forced, vocabulary.encode(&text), "it is the model's own tokenisation");
    for token in &forced {
        assert_eq!(constraint.mask().unwrap().n_allowed(), 1);
        assert!(constraint.mask().unwrap().allows(*token));
        constraint.accept(*token).unwrap();
    }
    assert!(constraint.mask().unwrap().n_allowed() > 1);
}

#[test]
fn a_tokenizer_that_changes_the_text_does_no_harm() {
    let vocabulary = vocabulary::shared();
    let tokens = || vocabulary.ids().map(|token| vocabulary.bytes(token)).collect::<Vec<_>>();
    let encoders: [fn(&str) -> Vec<TokenId>; 3] = [
        |text| vocabulary::shared().encode(&format!(" {text}")),
        |_| Vec::new(),
        |_| vec![TokenId(1_000_000)],
    ];
    for encode in encoders {
        let factory = ConstraintFactory::new(tokens().into_iter(), &vocabulary::END, encode).unwrap();
        let mut constraint = factory.compile(&Grammar::JsonSchema(ticket())).unwrap();
        let forced = vocabulary.text(&constraint.forced_tokens());
        assert!(!forced.is_empty() && b"{\"name\": \"".starts_with(&forced));
        let walk = Walk::new(1).run(&mut constraint, Forced::Taken, 1_500);
        assert!(walk.finished && white_space_is_bounded(&walk.text()));
        assert!(valid(&serde_json::from_str(&walk.text()).unwrap(), &ticket(), &ticket()));
    }
}

#[test]
fn the_caller_cannot_loosen_white_space() {
    let schema = json!({
        "type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2,
        "x-guidance": {"whitespace_flexible": true, "lenient": true}
    });
    let mut constraint = compile(&Grammar::JsonSchema(schema));
    let ids = vocabulary::shared().bytewise("[1 ");
    for token in &ids[..2] {
        constraint.accept(*token).unwrap();
    }
    assert!(!constraint.mask().unwrap().allows(ids[2]));
}

#[test]
fn a_schema_of_anything_is_json() {
    let mut constraint = compile(&Grammar::JsonSchema(Value::Bool(true)));
    let walk = Walk::new(5).run(&mut constraint, Forced::Taken, 2_000);
    assert!(walk.finished);
    serde_json::from_str::<Value>(&walk.text()).unwrap();
}
