//! What is not a playbook is refused, with the place.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{About, SlotKind};

#[test]
fn what_the_stages_before_it_need_can_be_read_off() {
    let playbook = rental();
    let intent = playbook.intent("end_rental").unwrap();
    assert_eq!((intent.about, intent.slots.as_slice()), (About::Order, ["when".to_owned()].as_slice()));
    assert_eq!(playbook.intents().map(|(label, _)| label).collect::<Vec<_>>(), ["end_rental", "say_hello"]);
    let slot = playbook.slot("when").unwrap();
    assert_eq!(slot.kind, SlotKind::Choice);
    assert_eq!(slot.values.iter().map(|choice| choice.name.as_str()).collect::<Vec<_>>(), ["later", "today"]);
    assert_eq!(
        (slot.values[1].means.as_str(), slot.values[1].examples[0].as_str()),
        ("the same day", "right now")
    );
    assert_eq!((slot.values[1].examples.len(), slot.not_said.len()), (5, 5));
    assert!(playbook.intent("fly").is_none() && playbook.slot("where").is_none());
}

#[test]
fn the_file_in_the_room_s_description_is_a_playbook() {
    let lines = include_str!("../lib.rs").lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let lines = lines.take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//!"));
    let playbook = Playbook::parse(&lines.collect::<Vec<_>>().join("\n")).unwrap();
    let results = playbook.test();
    assert!(results.len() == 1 && results[0].problems.is_empty(), "{results:?}");
}

#[rstest]
#[case::condition(r#"'order.status == "back"'"#, "'order.status =='", "rule \"over\", when: ")]
#[case::function("slots.when == null", "isNull(slots.when)", "rule \"ask\", when: ")]
#[case::sentence(r#"["When?"]"#, r#"["When?", "{{ order.id "]"#, "rule \"ask\", say.en[1]: ")]
#[case::phrase("{{ phrase.name }} ist", "{{ phrase.nam }} ist", "rule \"over\", say.de[0]: ")]
#[case::phrase_text("Miete {{", "Miete {%", "phrase \"name\", de: ")]
#[case::must(r#"[["{{ order.id }}"]"#, r#"[["{{ order.id"]"#, "rule \"over\", must[0][0]: ")]
#[case::empty_must(r#""over", "ended""#, "", "rule \"over\", must: ")]
#[case::reason("outcome = \"escalate\"", "outcome = \"escalate\"\nsay.en = [\"x\"]", "rule \"late\", say: ")]
#[case::argument(
    r#"order_id = "order.id""#,
    r#"order_id = "order.""#,
    "rule \"end\", action.arguments.order_id: "
)]
#[case::limit("order.deposit < 50", "order.deposit <", "rule \"end\", action.limit: ")]
#[case::no_english(r#"say.en = ["When?"]"#, "", "rule \"ask\", say.en: ")]
#[case::no_action("outcome = \"clarify\"", "outcome = \"action\"", "rule \"ask\", action: ")]
#[case::needless_action("outcome = \"action\"", "outcome = \"deny\"", "rule \"end\", action: ")]
#[case::no_reason("outcome = \"clarify\"", "outcome = \"escalate\"", "rule \"ask\", reason: ")]
#[case::needless_reason("outcome = \"escalate\"", "outcome = \"deny\"", "rule \"late\", reason: ")]
#[case::unnamed("name = \"ask\"", "name = \" \"", "rule \" \", name: ")]
#[case::twice("name = \"ask\"", "name = \"late\"", "rule \"late\", name: ")]
#[case::unknown_intent(
    "intent = \"say_hello\"\noutcome",
    "intent = [\"say_hello\", \"fly\"]\noutcome",
    "rule \"hello\", intent: "
)]
#[case::citation("rental#end", "rental", "rule \"over\", cite: ")]
#[case::no_samples(r##"["#B7"]"##, "[]", "fact \"order.id\", values: ")]
#[case::bad_path(r#""order.id" ="#, r#""order..id" ="#, "fact \"order..id\", values: ")]
#[case::no_words(
    "kind = \"choice\"\n",
    "kind = \"choice\"\n[slots.other]\nkind = \"items\"\n",
    "slot \"other\", values: "
)]
#[case::example_intent(
    "intent = \"end_rental\"\nfacts",
    "intent = \"fly\"\nfacts",
    "example \"a booked bicycle\", intent: "
)]
#[case::example_rule("rule = \"end\"", "rule = \"start\"", "example \"a booked bicycle\", expect.rule: ")]
#[case::example_fact(
    "order.status = \"booked\"",
    "order.stauts = \"booked\"",
    "example \"a booked bicycle\", facts: "
)]
#[case::example_pattern("\"can end\"", "\"(can end\"", "example \"a booked bicycle\", expect.says: ")]
fn errors_name_the_place(#[case] piece: &str, #[case] replacement: &str, #[case] place: &str) {
    let message = Playbook::parse(&rental_with(piece, replacement)).unwrap_err().to_string();
    assert!(message.starts_with(place), "{message}");
}

#[rstest]
#[case::unknown_key("when = \"slots.when == null\"", "if = \"slots.when == null\"", "unknown field `if`")]
#[case::unknown_outcome("\"clarify\"", "\"shrug\"", "unknown variant `shrug`")]
#[case::unknown_language("say.de = [\"Wann?\"]", "say.xx = [\"Wann?\"]", "unknown variant `xx`")]
#[case::unknown_kind("kind = \"choice\"", "kind = \"chance\"", "unknown variant `chance`")]
#[case::fact_form("[\"booked\", \"out\", \"back\"]", "\"booked\"", "expected a list of sample values")]
#[case::not_toml("[intents.say_hello]", "[intents.say_hello", "TOML")]
fn errors_of_form_show_the_line(#[case] piece: &str, #[case] replacement: &str, #[case] why: &str) {
    let message = Playbook::parse(&rental_with(piece, replacement)).unwrap_err().to_string();
    assert!(message.contains("line") && message.contains(why), "{message}");
}

#[test]
fn a_playbook_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&rental());
}

proptest! {
    #[test]
    fn a_damaged_file_is_an_error_or_a_playbook_and_never_a_panic(at in 0..RENTAL.len(), n in 1..40usize) {
        let end = (at + n).min(RENTAL.len());
        let damaged = format!("{}{}", &RENTAL[..RENTAL.floor_char_boundary(at)], &RENTAL[RENTAL.floor_char_boundary(end)..]);
        if let Ok(playbook) = Playbook::parse(&damaged) {
            // Neither may panic, whatever they find.
            let _ = (playbook.check(), playbook.test());
        }
    }
}
