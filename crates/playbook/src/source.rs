//! The file as it is written. Nothing is checked here but the form.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::language::Language;
use super::ruling::Outcome;
use super::spec::{About, SlotKind};

/// A playbook's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    #[serde(default)]
    pub(super) facts: BTreeMap<String, FactSource>,
    #[serde(default)]
    pub(super) slots: BTreeMap<String, SlotSource>,
    pub(super) intents: BTreeMap<String, IntentSource>,
    #[serde(default)]
    pub(super) phrases: BTreeMap<String, BTreeMap<Language, String>>,
    #[serde(default)]
    pub(super) rules: Vec<RuleSource>,
    #[serde(default)]
    pub(super) examples: Vec<ExampleSource>,
}

/// A fact: its sample values, or a table of them where it may be null.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a list of sample values, or a table of `values` and `optional`")]
pub(super) enum FactSource {
    Values(Vec<Value>),
    Table(FactTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactTable {
    pub(super) values: Vec<Value>,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotSource {
    pub(super) kind: SlotKind,
    #[serde(default)]
    pub(super) values: BTreeMap<String, ChoiceSource>,
    #[serde(default)]
    pub(super) not_said: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChoiceSource {
    pub(super) means: String,
    #[serde(default)]
    pub(super) examples: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntentSource {
    pub(super) about: About,
    #[serde(default)]
    pub(super) slots: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleSource {
    pub(super) name: String,
    pub(super) intent: OneOrMany,
    pub(super) when: Option<String>,
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) cite: Vec<String>,
    #[serde(default)]
    pub(super) say: BTreeMap<Language, Vec<String>>,
    #[serde(default)]
    pub(super) must: Vec<Vec<String>>,
    pub(super) action: Option<ActionSource>,
    pub(super) reason: Option<String>,
}

/// `"a"` or `["a", "b"]`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a name or a list of names")]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionSource {
    pub(super) name: String,
    #[serde(default)]
    pub(super) arguments: BTreeMap<String, String>,
    pub(super) limit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExampleSource {
    pub(super) name: String,
    pub(super) intent: String,
    #[serde(default)]
    pub(super) facts: Map<String, Value>,
    pub(super) expect: ExpectSource,
}

/// What an example has to come to; what is left out is not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectSource {
    pub(super) rule: Option<String>,
    pub(super) outcome: Option<Outcome>,
    #[serde(default)]
    pub(super) says: Vec<String>,
    #[serde(default)]
    pub(super) never_says: Vec<String>,
    pub(super) action: Option<ExpectedAction>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAction {
    pub(super) name: String,
    pub(super) arguments: Option<Map<String, Value>>,
}
