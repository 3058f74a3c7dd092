//! Running the examples of a playbook.

use rstest::rstest;

use super::*;

fn problems(text: &str) -> Vec<String> {
    Playbook::parse(text).unwrap().test().remove(0).problems
}

#[test]
fn an_example_that_comes_out_right_has_no_problems() {
    let results = rental().test();
    assert_eq!(
        (results.len(), results[0].name.as_str(), results[0].rule.as_deref()),
        (1, "a booked bicycle", Some("end"))
    );
    assert_eq!(results[0].problems, Vec::<String>::new());
}

#[rstest]
#[case::rule("rule = \"end\"", "rule = \"ask\"", "the rule was \"end\", not \"ask\"")]
#[case::outcome("outcome = \"action\", says", "outcome = \"deny\", says", "the outcome was Action, not Deny")]
#[case::lacking("\"can end\"", "\"has ended\"", "`has ended` is not in the reply: We can end")]
#[case::said("\"have ended\"", "\"that would\"", "`that would` must not be in the reply")]
#[case::action(
    "action = { name = \"end_rental\"",
    "action = { name = \"start_rental\"",
    "the action was end_rental, not start_rental"
)]
#[case::arguments("method = \"p1\"", "method = \"p2\"", "the action's arguments were")]
#[case::no_action("order.status = \"booked\"", "order.status = \"back\"", "no action was proposed")]
#[case::failure("order.status = \"booked\"", "order.hours_late = \"x\"", "rule \"late\", when: ")]
fn what_comes_out_otherwise_is_told(#[case] piece: &str, #[case] replacement: &str, #[case] problem: &str) {
    let problems = problems(&rental_with(piece, replacement));
    assert!(problems.iter().any(|told| told.contains(problem)), "{problems:?}");
}
