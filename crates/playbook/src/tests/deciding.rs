//! What a playbook decides.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Map, Value, json};

use super::*;
use crate::{Language, Outcome, PlaybookError};

fn facts_with(path: &str, value: Value) -> Facts {
    let mut facts = booked();
    facts.set(path, value);
    facts
}

#[test]
fn a_ruling_has_everything_that_a_reply_may_say() {
    let ruling = rental().rule("end_rental", &facts_with("order.status", json!("back"))).unwrap();
    assert_eq!((ruling.rule.as_deref(), ruling.outcome), (Some("over"), Outcome::Deny));
    assert_eq!(ruling.say[&Language::En], ["Your rental #B7 is over."]);
    assert_eq!(ruling.say[&Language::De], ["Ihre Miete #B7 ist beendet."]);
    assert_eq!(ruling.must, [vec!["#B7".to_owned()], vec!["over".to_owned(), "ended".to_owned()]]);
    assert_eq!(ruling.cite, ["rental#end"]);
    assert!(ruling.action.is_none() && ruling.reason.is_none() && ruling.missed.is_empty());
}

#[test]
fn an_action_has_its_arguments_and_what_was_missed_before_it() {
    let ruling = rental().rule("end_rental", &booked()).unwrap();
    let action = ruling.action.unwrap();
    assert_eq!(action.name, "end_rental");
    assert_eq!(
        Value::Object(action.arguments),
        json!({"order_id": "#B7", "to": {"method": "p1", "till": null}})
    );
    assert_eq!(ruling.missed.iter().map(|m| m.rule.as_str()).collect::<Vec<_>>(), ["over", "late", "ask"]);
    assert_eq!(ruling.missed[2].condition, "slots.when == null");
}

#[test]
fn a_sentence_for_other_cases_is_left_out_and_so_is_what_it_must_say() {
    let playbook = rental();
    let n_said = |facts: &Facts| {
        let ruling = playbook.rule("end_rental", facts).unwrap();
        (ruling.say[&Language::En].len(), ruling.must.len())
    };
    assert_eq!(n_said(&booked()), (1, 0));
    assert_eq!(n_said(&facts_with("slots.when", json!("today"))), (2, 1));
}

#[test]
fn above_the_limit_a_person_decides() {
    let ruling = rental().rule("end_rental", &facts_with("order.deposit", json!(50))).unwrap();
    assert_eq!((ruling.rule.as_deref(), ruling.outcome), (Some("end"), Outcome::Escalate));
    assert!(ruling.action.is_none() && ruling.say.is_empty());
    assert!(ruling.reason.unwrap().contains("`order.deposit < 50` is false"));
}

#[test]
fn an_escalation_tells_the_person_why() {
    let ruling = rental().rule("end_rental", &facts_with("order.hours_late", json!(9))).unwrap();
    assert_eq!((ruling.outcome, ruling.reason.as_deref()), (Outcome::Escalate, Some("#B7 is 9 hours late")));
}

#[test]
fn where_no_rule_fits_a_person_decides() {
    let text = rental_with("outcome = \"action\"", "when = \"false\"\noutcome = \"action\"");
    let ruling = Playbook::parse(&text).unwrap().rule("end_rental", &booked()).unwrap();
    assert_eq!((ruling.rule, ruling.outcome), (None, Outcome::Escalate));
    assert!(ruling.reason.unwrap().contains("no rule of the playbook fits"));
    assert_eq!(ruling.missed.len(), 4);
}

#[test]
fn what_is_not_given_is_null() {
    let ruling = rental().rule("end_rental", &json!({"order": {"id": "#B7", "deposit": 1}}).into()).unwrap();
    assert_eq!(ruling.rule.as_deref(), Some("ask"));
}

#[test]
fn an_intent_that_is_not_decided_is_an_error() {
    let error = rental().rule("fly", &booked()).unwrap_err();
    assert!(matches!(error, PlaybookError::UnknownIntent { .. }));
    assert!(error.to_string().contains("end_rental, say_hello"), "{error}");
}

#[rstest]
#[case::condition("order.hours_late", json!("five"), "rule \"late\", when: ")]
#[case::sentence("order.id", json!(null), "rule \"end\", say.en[0]: ")]
#[case::argument("order.payment", json!("cash"), "rule \"end\", action.arguments.to: ")]
#[case::limit("order.deposit", json!(null), "rule \"end\", action.limit: ")]
fn what_fails_is_an_error_and_no_later_rule_decides(
    #[case] path: &str,
    #[case] value: Value,
    #[case] place: &str,
) {
    let message = rental().rule("end_rental", &facts_with(path, value)).unwrap_err().to_string();
    assert!(message.starts_with(place), "{message}");
}

/// A playbook of one intent whose rules fit totals above their thresholds, in that order.
fn above(thresholds: &[i32]) -> Playbook {
    let rules = thresholds.iter().enumerate().map(|(i, threshold)| {
        format!("[[rules]]\nname = \"r{i}\"\nintent = \"ask\"\nwhen = \"order.total > {threshold}\"\noutcome = \"answer\"\nsay.en = [\"{threshold}\"]\n")
    });
    let head = "[facts]\n\"order.total\" = [0]\n[intents.ask]\nabout = \"order\"\n".to_owned();
    Playbook::parse(&rules.fold(head, |text, rule| text + &rule)).unwrap()
}

/// The same JSON with the members of every object in the opposite order.
fn turned_round(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().rev().map(|(k, v)| (k.clone(), turned_round(v))).collect())
        }
        Value::Array(values) => values.iter().map(turned_round).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn the_first_rule_that_fits_decides(thresholds in prop::collection::vec(-9..9i32, 0..8), total in -9..9i32) {
        let ruling = above(&thresholds).rule("ask", &json!({"order": {"total": total}}).into()).unwrap();
        let first = thresholds.iter().position(|&threshold| total > threshold);
        prop_assert_eq!(ruling.rule, first.map(|i| format!("r{i}")));
        prop_assert_eq!(ruling.missed.len(), first.unwrap_or(thresholds.len()));
    }

    #[test]
    fn a_ruling_depends_on_the_declared_facts_and_nothing_else(
        status in "booked|out|back", hours_late in prop::option::of(0..9), deposit in 0..99, when in prop::option::of("today|later"),
        noise in "[a-z]{1,6}",
    ) {
        let order = json!({"id": "#B7", "status": status, "hours_late": hours_late, "deposit": deposit, "payment": {"id": "p1"}});
        let facts = json!({"order": order, "slots": {"when": when}});
        let playbook = rental();
        let ruling = playbook.rule("end_rental", &facts.clone().into()).unwrap();
        prop_assert_eq!(&playbook.rule("end_rental", &turned_round(&facts).into()).unwrap(), &ruling);
        let mut noisy: Map<String, Value> = facts.as_object().unwrap().clone();
        noisy.insert(format!("x_{noise}"), json!(noise));
        prop_assert_eq!(&rental().rule("end_rental", &noisy.into()).unwrap(), &ruling);
        let bytes = |ruling| serde_json::to_string(&ruling).unwrap();
        prop_assert_eq!(bytes(rental().rule("end_rental", &facts.into()).unwrap()), bytes(ruling));
    }
}
