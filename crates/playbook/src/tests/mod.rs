//! The playbook as a whole, and those that come with the project.
mod checking;
mod deciding;
mod examples;
mod reading;
mod shipped;

use super::{Facts, Playbook};

/// A shop that rents out bicycles: small, and with one of everything.
const RENTAL: &str = r##"
[facts]
"order.id" = ["#B7"]
"order.status" = ["booked", "out", "back"]
"order.deposit" = [20.0, 80.0]
"order.hours_late" = { values = [0, 5], optional = true }
"order.payment" = [{ id = "p1", kind = "card", till = "north" }, { id = "p2", kind = "cash" }]

[slots.when]
kind = "choice"
values.today = { means = "the same day", examples = ["right now", "today", "at noon", "tonight", "at once"] }
values.later = { means = "another day", examples = ["tomorrow", "on Friday", "in a week", "later", "in May"] }
not_said = ["take it back", "we are done", "end it", "I have finished", "where do I leave it"]

[intents.end_rental]
about = "order"
slots = ["when"]

[intents.say_hello]
about = "nobody"

[phrases.name]
en = "rental {{ order.id }}"
de = "Miete {{ order.id }}"

[[rules]]
name = "over"
intent = "end_rental"
when = 'order.status == "back"'
outcome = "deny"
cite = ["rental#end"]
must = [["{{ order.id }}"], ["over", "ended"]]
say.en = ["Your {{ phrase.name }} is over."]
say.de = ["Ihre {{ phrase.name }} ist beendet."]

[[rules]]
name = "late"
intent = "end_rental"
when = "order.hours_late != null && order.hours_late > 2"
outcome = "escalate"
reason = "{{ order.id }} is {{ order.hours_late }} hours late"

[[rules]]
name = "ask"
intent = "end_rental"
when = "slots.when == null"
outcome = "clarify"
say.en = ["When?"]
say.de = ["Wann?"]

[[rules]]
name = "end"
intent = "end_rental"
outcome = "action"
must = [["{% if slots.when == 'today' %}today{% endif %}"]]
say.en = ["We can end your {{ phrase.name }}.", "{% if slots.when == 'today' %}That would be today.{% endif %}"]
say.de = ["Wir können Ihre {{ phrase.name }} beenden."]
[rules.action]
name = "end_rental"
arguments = { order_id = "order.id", to = '{"method": order.payment.id, "till": order.payment.till}' }
limit = "order.deposit < 50"

[[rules]]
name = "hello"
intent = "say_hello"
outcome = "answer"
say.en = ["Hello."]
say.de = ["Guten Tag."]

[[examples]]
name = "a booked bicycle"
intent = "end_rental"
facts = { order.status = "booked", slots.when = "today" }
expect = { rule = "end", outcome = "action", says = ["can end"], never_says = ["have ended"], action = { name = "end_rental", arguments = { order_id = "#B7", to = { method = "p1", till = "north" } } } }
"##;

fn rental() -> Playbook {
    Playbook::parse(RENTAL).unwrap()
}

/// The playbook with one piece of its text replaced; the piece has to be there.
fn rental_with(piece: &str, replacement: &str) -> String {
    assert!(RENTAL.contains(piece), "{piece}");
    RENTAL.replacen(piece, replacement, 1)
}

/// A booked rental with nothing odd about it.
fn booked() -> Facts {
    serde_json::json!({
        "order": {"id": "#B7", "status": "booked", "deposit": 20.0, "hours_late": null, "payment": {"id": "p1", "kind": "card"}},
        "slots": {"when": "later"}
    })
    .into()
}
