//! What `check` finds, each fault planted in a playbook that has none.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::{Finding, Language, Severity};

fn check(text: &str) -> Vec<Finding> {
    Playbook::parse(text).unwrap().check()
}

/// The only finding in the playbook with a piece replaced.
fn only(piece: &str, replacement: &str) -> Finding {
    let mut findings = check(&rental_with(piece, replacement));
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.remove(0)
}

#[test]
fn a_sound_playbook_has_no_findings() {
    assert_eq!(check(RENTAL), []);
}

#[test]
fn a_choice_without_enough_examples_is_a_warning() {
    let finding = only(", \"at once\"]", "]");
    assert!(
        matches!(&finding, Finding::TooFewExamples { word, n_examples: 4, .. } if word == "today"),
        "{finding:?}"
    );
    assert_eq!(finding.severity(), Severity::Warning);
}

#[test]
fn an_unreachable_rule_is_found() {
    let finding =
        only("when = \"slots.when == null\"", "when = 'order.status == \"back\" && slots.when == null'");
    assert_eq!(finding, Finding::UnreachableRule { rule: "ask".to_owned(), intent: "end_rental".to_owned() });
    assert_eq!(finding.severity(), Severity::Error);
}

#[test]
fn a_rule_behind_one_that_always_fits_is_unreachable() {
    let findings = check(&rental_with("when = \"slots.when == null\"\n", ""));
    assert!(
        findings
            .contains(&Finding::UnreachableRule { rule: "end".to_owned(), intent: "end_rental".to_owned() })
    );
}

#[test]
fn a_missing_case_is_found_with_its_facts() {
    let finding = only("outcome = \"action\"", "when = 'order.status != \"out\"'\noutcome = \"action\"");
    let Finding::MissingCase { intent, facts, n_cases } = finding else { panic!("{finding:?}") };
    assert_eq!(intent, "end_rental");
    // out; late by 0 hours or not known; either answer; either deposit.
    assert_eq!(n_cases, 8);
    assert_eq!(facts["order"]["status"], json!("out"));
    assert!(facts["slots"]["when"] != json!(null));
}

#[test]
fn an_intent_without_rules_is_a_missing_case() {
    let finding =
        only("[intents.say_hello]", "[intents.say_goodbye]\nabout = \"nobody\"\n[intents.say_hello]");
    assert!(matches!(finding, Finding::MissingCase { intent, n_cases: 1, .. } if intent == "say_goodbye"));
}

#[rstest]
#[case::in_a_condition(
    "order.hours_late > 2",
    "order.hours_lat > 2",
    "rule \"late\", when",
    "order.hours_lat"
)]
#[case::in_a_sentence("Wann?", "Wann, {{ customer.name }}?", "rule \"ask\", say.de[0]", "customer.name")]
#[case::in_an_argument(
    "order_id = \"order.id\"",
    "order_id = \"order.number\"",
    "rule \"end\", action.arguments.order_id",
    "order.number"
)]
#[case::in_a_limit(
    "order.deposit < 50",
    "order.desposit < 50",
    "rule \"end\", action.limit",
    "order.desposit"
)]
#[case::a_member(
    "order.payment.till",
    "order.payment.tills",
    "rule \"end\", action.arguments.to",
    "order.payment.tills"
)]
#[case::a_parent("slots.when == null", "order == null", "rule \"ask\", when", "order")]
fn an_unknown_field_is_found(
    #[case] piece: &str,
    #[case] replacement: &str,
    #[case] place: &str,
    #[case] path: &str,
) {
    let findings = check(&rental_with(piece, replacement));
    let found = findings.iter().find_map(|finding| match finding {
        Finding::UnknownField { place, field } => Some((place.to_string(), field.clone())),
        _ => None,
    });
    assert_eq!(found, Some((place.to_owned(), path.to_owned())), "{findings:#?}");
}

#[test]
fn an_unknown_field_in_a_phrase_is_found() {
    let findings = check(&rental_with("Miete {{ order.id }}", "Miete {{ order.di }}"));
    assert!(findings.iter().any(
        |f| matches!(f, Finding::UnknownField { place, .. } if place.to_string() == "phrase \"name\", de")
    ));
}

#[test]
fn a_misspelt_value_is_found() {
    let findings = check(&rental_with("order.status == \"back\"", "order.status in [\"back\", \"bakc\"]"));
    assert!(
        matches!(&findings[..], [Finding::UnknownValue { field, value, .. }] if field == "order.status" && value == "bakc")
    );
}

#[rstest]
#[case::null_compared(
    "order.hours_late != null && order.hours_late > 2",
    "order.hours_late > 2",
    "rule \"late\", when: "
)]
#[case::null_in_an_argument(
    "order.payment.till}",
    "order.hours_late + 1}",
    "rule \"end\", action.arguments.to: "
)]
#[case::null_in_a_limit("order.deposit < 50", "order.hours_late < 50", "rule \"end\", action.limit: ")]
#[case::null_in_a_sentence("Wann?", "Wann, {{ order.hours_late }}?", "rule \"ask\", say.de[0]: ")]
#[case::null_member_in_a_sentence("Wann?", "Wann, {{ order.payment.till }}?", "rule \"ask\", say.de[0]: ")]
#[case::null_in_a_phrase(
    "Miete {{ order.id }}",
    "Miete {{ order.hours_late }}",
    "rule \"over\", say.de[0]: "
)]
#[case::no_boolean("slots.when == null", "order.status", "rule \"ask\", when: ")]
fn what_fails_in_some_case_is_found(#[case] piece: &str, #[case] replacement: &str, #[case] place: &str) {
    let findings = check(&rental_with(piece, replacement));
    let fails =
        |finding: &Finding| matches!(finding, Finding::Failure { problem, .. } if problem.starts_with(place));
    assert!(findings.iter().any(fails), "{findings:#?}");
}

#[test]
fn what_a_reply_must_say_and_does_not_is_found() {
    let finding = only("\"over\", \"ended\"", "\"finished\"");
    assert!(
        matches!(finding, Finding::MustNotSaid { rule, group, .. } if rule == "over" && group == ["finished"])
    );
}

#[test]
fn slots_and_rules_have_to_agree() {
    let unused = only("about = \"nobody\"", "about = \"nobody\"\nslots = [\"when\"]");
    assert!(
        matches!(&unused, Finding::UnusedSlot { intent, slot } if intent == "say_hello" && slot == "when")
    );
    assert_eq!(unused.severity(), Severity::Warning);
    let undeclared = only("slots = [\"when\"]", "slots = [\"when\", \"where\"]");
    assert!(matches!(undeclared, Finding::UndeclaredSlot { slot, .. } if slot == "where"));
    let unlisted = check(&rental_with("slots = [\"when\"]", "slots = []"));
    let of_rules: Vec<_> =
        unlisted.iter().map(|f| matches!(f, Finding::UnlistedSlot { slot, .. } if slot == "when")).collect();
    assert_eq!(of_rules, [true, true]);
}

#[test]
fn a_missing_language_and_an_unused_phrase_are_warnings() {
    let language = only("say.de = [\"Wann?\"]", "");
    assert_eq!(language, Finding::MissingLanguage { rule: "ask".to_owned(), language: Language::De });
    let phrase = only("[phrases.name]", "[phrases.spare]\nen = \"x\"\n[phrases.name]");
    assert_eq!(phrase, Finding::UnusedPhrase { phrase: "spare".to_owned() });
    assert_eq!((language.severity(), phrase.severity()), (Severity::Warning, Severity::Warning));
}

#[test]
fn too_many_cases_are_sampled_and_it_is_said() {
    let samples: Vec<String> = (0..40_000).map(|i| i.to_string()).collect();
    let finding = only("[0, 5]", &format!("[{}]", samples.join(", ")));
    assert!(matches!(finding, Finding::Sampled { n_tried: 100_000, n_cases: 720_018, .. }), "{finding}");
}

#[test]
fn citations_are_held_against_the_sections_that_there_are() {
    let playbook = rental();
    assert_eq!(playbook.check_citations(&["rental#start", "rental#end"]), []);
    let unknown = playbook.check_citations(&["rental#start"]);
    assert_eq!(unknown, [Finding::UnknownSection { rule: "over".to_owned(), id: "rental#end".to_owned() }]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Held against sets: a rule is reached where its statuses are not all taken before it, and a
    /// case is missing where no rule has its status.
    #[test]
    fn gaps_and_dead_rules_are_found_exactly(rules in prop::collection::vec(prop::collection::btree_set(0..6usize, 1..4), 1..6)) {
        let mut text = "[facts]\n\"order.status\" = [\"s0\", \"s1\", \"s2\", \"s3\", \"s4\", \"s5\"]\n[intents.ask]\nabout = \"order\"\n".to_owned();
        let (mut taken, mut dead) = (BTreeSet::new(), BTreeSet::new());
        for (i, statuses) in rules.iter().enumerate() {
            let list: Vec<String> = statuses.iter().map(|s| format!("\"s{s}\"")).collect();
            text += &format!("[[rules]]\nname = \"r{i}\"\nintent = \"ask\"\nwhen = 'order.status in [{}]'\noutcome = \"answer\"\nsay.en = [\"x\"]\n", list.join(", "));
            if statuses.is_subset(&taken) {
                dead.insert(format!("r{i}"));
            }
            taken.extend(statuses);
        }
        let (mut found_dead, mut found_missing) = (BTreeSet::new(), 0);
        for finding in check(&text) {
            match finding {
                Finding::UnreachableRule { rule, .. } => { found_dead.insert(rule); }
                Finding::MissingCase { n_cases, .. } => found_missing = n_cases,
                other => prop_assert!(false, "{other}"),
            }
        }
        prop_assert_eq!(found_dead, dead);
        prop_assert_eq!(found_missing, 6 - taken.len());
    }
}
