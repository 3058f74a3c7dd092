//! Whether a proposed action is the one that the ticket needs.

use serde_json::{Map, Number, Value};

use super::GoldAction;

/// The arguments that a ticket needs and the proposal has not, with what it has instead.
pub(super) fn wrong_arguments<'g>(
    gold: &'g GoldAction,
    proposed: &Map<String, Value>,
) -> Vec<(&'g str, &'g Value, Option<Value>)> {
    gold.arguments
        .iter()
        .filter_map(|(name, expected)| {
            let found = candidates(name, proposed);
            let is_met = match found.as_slice() {
                [] => expected.is_null(),
                found => found.iter().any(|value| is_equal(expected, value)),
            };
            (!is_met).then(|| (name.as_str(), expected, found.first().map(|value| (*value).clone())))
        })
        .collect()
}

/// The values that can stand for the argument `name`. A ticket names the postal code alone; a
/// proposal may carry it in the whole address.
fn candidates<'p>(name: &str, proposed: &'p Map<String, Value>) -> Vec<&'p Value> {
    let in_address = (name == "zip").then(|| proposed.get("address")?.get("postal_code")).flatten();
    proposed.get(name).into_iter().chain(in_address).collect()
}

/// Strings are trimmed, numbers compared by value, lists as sets; in objects, null is the same as
/// absent.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.trim() == b.trim(),
        (Value::Number(a), Value::Number(b)) => is_equal_number(a, b),
        (Value::Array(a), Value::Array(b)) => is_subset(a, b) && is_subset(b, a),
        (Value::Object(a), Value::Object(b)) => a
            .keys()
            .chain(b.keys())
            .all(|key| is_equal(a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null))),
        (a, b) => a == b,
    }
}

/// Whole numbers are compared as such: as floats, long ids that differ in the last digit are equal.
fn is_equal_number(a: &Number, b: &Number) -> bool {
    if a.is_f64() || b.is_f64() { a.as_f64() == b.as_f64() } else { a == b }
}

fn is_subset(a: &[Value], b: &[Value]) -> bool {
    a.iter().all(|a| b.iter().any(|b| is_equal(a, b)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn wrong(gold: &Value, proposed: &Value) -> Vec<String> {
        let gold = GoldAction { name: "do".to_owned(), arguments: gold.as_object().unwrap().clone() };
        let wrong = wrong_arguments(&gold, proposed.as_object().unwrap());
        wrong.into_iter().map(|(name, ..)| name.to_owned()).collect()
    }

    #[rstest]
    #[case::strings_are_trimmed(json!({"reason": "too late"}), json!({"reason": " too late\n"}))]
    #[case::numbers_by_value(json!({"quantity": 2}), json!({"quantity": 2.0}))]
    #[case::lists_as_sets(json!({"item_ids": ["1", "2"]}), json!({"item_ids": ["2", "1", "2"]}))]
    #[case::items_of_lists_are_trimmed(json!({"item_ids": ["1"]}), json!({"item_ids": [" 1"]}))]
    #[case::others_do_not_matter(json!({"order_id": "#A1"}), json!({"order_id": "#A1", "note": "x"}))]
    #[case::zip_by_its_name(json!({"zip": "04107"}), json!({"zip": "04107"}))]
    #[case::zip_in_the_address(
        json!({"zip": "04107"}),
        json!({"address": {"city": "Leipzig", "postal_code": "04107 "}})
    )]
    #[case::zip_in_either(json!({"zip": "04107"}), json!({"zip": null, "address": {"postal_code": "04107"}}))]
    #[case::null_is_absent(json!({"note": null}), json!({}))]
    #[case::null_is_absent_inside(
        json!({"address": {"line1": "1 A"}}),
        json!({"address": {"line1": "1 A", "line2": null}})
    )]
    #[case::nothing_needed(json!({}), json!({"order_id": "#A1"}))]
    fn equal_arguments(#[case] gold: Value, #[case] proposed: Value) {
        assert_eq!(wrong(&gold, &proposed), Vec::<String>::new());
    }

    #[rstest]
    #[case::other_string("reason", json!({"reason": "a"}), json!({"reason": "A"}))]
    #[case::absent("reason", json!({"reason": "a"}), json!({}))]
    #[case::null("reason", json!({"reason": "a"}), json!({"reason": null}))]
    #[case::too_few("item_ids", json!({"item_ids": ["1", "2"]}), json!({"item_ids": ["1"]}))]
    #[case::too_many("item_ids", json!({"item_ids": ["1"]}), json!({"item_ids": ["1", "2"]}))]
    #[case::not_a_list("item_ids", json!({"item_ids": ["1"]}), json!({"item_ids": "1"}))]
    #[case::not_a_string("zip", json!({"zip": "83702"}), json!({"zip": 83702}))]
    #[case::other_zip("zip", json!({"zip": "04107"}), json!({"address": {"postal_code": "04109"}}))]
    #[case::only_zip_is_looked_for_in_the_address(
        "city",
        json!({"city": "Leipzig"}),
        json!({"address": {"city": "Leipzig"}})
    )]
    #[case::long_ids("id", json!({"id": 1_u64 << 53 | 1}), json!({"id": 1_u64 << 53}))]
    #[case::more_in_the_address(
        "address",
        json!({"address": {"line1": "1 A"}}),
        json!({"address": {"line1": "1 A", "city": "B"}})
    )]
    fn different_arguments(#[case] name: &str, #[case] gold: Value, #[case] proposed: Value) {
        assert_eq!(wrong(&gold, &proposed), [name]);
    }

    #[test]
    fn every_wrong_argument_is_named_with_what_it_is_instead() {
        let gold = json!({"name": "do", "order_id": "#A1", "reason": "x", "zip": "1"});
        let gold: GoldAction = serde_json::from_value(gold).unwrap();
        let proposed = json!({"order_id": "#A2", "reason": "x", "address": {"postal_code": "2"}});
        let wrong = wrong_arguments(&gold, proposed.as_object().unwrap());
        assert_eq!(
            wrong,
            [("order_id", &json!("#A1"), Some(json!("#A2"))), ("zip", &json!("1"), Some(json!("2"))),]
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            "[ab ]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[ab]", inner, 0..3)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_equals_itself_and_equality_goes_both_ways(a in value(), b in value()) {
            prop_assert!(is_equal(&a, &a));
            prop_assert_eq!(is_equal(&a, &b), is_equal(&b, &a));
        }

        #[test]
        fn the_order_of_a_list_does_not_matter(
            (list, shuffled) in prop::collection::vec(value(), 0..5)
                .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        ) {
            prop_assert!(is_equal(&Value::from(list), &Value::from(shuffled)));
        }
    }
}
