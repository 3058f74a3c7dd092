//! The store's rules as data: what becomes of a request, given its intent and the facts.
//!
//! Stands between extraction and retrieval on a ticket's path. A playbook is one TOML file, written
//! and read by the people who run the shop: conditions in CEL, sentences in Jinja, examples that
//! have to come out right. `(intent, facts) → Ruling`; no I/O, no clock, no model. A leaf: it
//! uses no other crate of the workspace.
//!
//! ```text
//! text ─ source (TOML as written) ─ compile ─→ Playbook ─ rule(intent, facts) ─→ Ruling
//!                                                 ├─ check()   gaps, dead rules, misspelt fields
//!                                                 └─ test()    the file's own examples
//! ```
//!
//! # The file
//! ```toml
//! [facts]                              # every fact that rules may look at, with values worth telling apart
//! "order.id" = ["#B7"]
//! "order.status" = ["booked", "back"]
//! "order.hours_late" = { values = [0, 5], optional = true }    # optional: may be null
//!
//! [slots.reason]                       # found out from the message; a choice declares its fact itself
//! kind = "choice"                      # choice | items | wanted | address | payment
//! values.rain = { means = "bad weather", examples = ["it is pouring"] }     # five at least
//! not_said = ["I want to end my rental"]        # how customers ask without saying any of them
//!
//! [intents.end_rental]
//! about = "order"                      # order | customer | nobody: what has to be known first
//! slots = ["reason"]
//!
//! [phrases.name]                       # shared wordings: {{ phrase.name }}
//! en = "rental {{ order.id }}"
//!
//! [[rules]]                            # the first of the intent whose condition holds decides
//! name = "end"
//! intent = "end_rental"                # or a list
//! when = 'order.status == "booked"'    # CEL; left out: always
//! outcome = "action"                   # answer | deny | action | clarify | refuse | escalate
//! cite = ["rental#ending-early"]
//! must = [["{{ order.id }}"]]          # of each group, an English reply has to contain one text
//! say.en = ["We can end your {{ phrase.name }}."]      # one that comes out empty is left out
//! [rules.action]
//! name = "end_rental"
//! arguments = { order_id = "order.id" }                # CEL
//! limit = "order.hours_late == null"                   # where it is false, a person decides
//!
//! [[rules]]
//! name = "ended"
//! intent = "end_rental"
//! outcome = "escalate"
//! reason = "{{ order.id }} is back already"            # for the person; nothing is said
//!
//! [[examples]]                         # what is left out of its facts is the first sample, or null
//! name = "a booked bicycle"
//! intent = "end_rental"
//! facts = { order.status = "booked" }
//! expect = { rule = "end", says = ["can end"], never_says = ["have ended"] }
//! ```
//!
//! # What a condition does on doubt
//! CEL has no silent falsehood for what is not there: `null < 5`, `null.kind` and a missing key are
//! errors, and so they are here, naming the rule. Two things to know when writing conditions:
//! - `&&` and `||` are decided by either side: `a.b > 1 && a != null` is false where `a` is null, in
//!   whichever order it is written. Equality with null is always allowed.
//! - Whole numbers and fractions can be compared with each other, but not added or subtracted.
#![forbid(unsafe_code)]

mod check;
mod compile;
mod error;
mod example;
mod examples;
mod expression;
mod facts;
mod language;
mod playbook;
mod references;
mod rule;
mod ruling;
mod schema;
mod source;
mod spec;
mod texts;

pub use check::{Finding, Severity};
pub use error::{Part, Place, PlaybookError};
pub use examples::ExampleResult;
pub use facts::Facts;
pub use language::Language;
pub use playbook::Playbook;
pub use ruling::{Missed, Outcome, ProposedAction, Ruling};
pub use spec::{About, Choice, IntentSpec, MIN_CHOICE_EXAMPLES, SlotKind, SlotSpec};

#[cfg(test)]
mod tests;
