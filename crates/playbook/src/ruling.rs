//! What a playbook decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::language::Language;

/// What kind of end a request comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The reply tells what was asked.
    Answer,
    /// The request is against the rules, and the reply says so.
    Deny,
    /// The request is allowed; the reply says what will happen, and an action is proposed.
    Action,
    /// Something is missing, and the reply asks for it.
    Clarify,
    /// The request must not be met.
    Refuse,
    /// A person has to take it.
    Escalate,
}

/// What is to be done once the customer has confirmed it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProposedAction {
    /// Such as `cancel_order`.
    pub name: String,
    /// Its arguments by name.
    pub arguments: serde_json::Map<String, serde_json::Value>,
}

/// A rule of the intent that stood before the one that decided and did not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The rule's name.
    pub rule: String,
    /// Its condition, which was false.
    pub condition: String,
}

/// The decision on one request, with everything that a reply may say about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ruling {
    /// The rule that decided; none when none fitted.
    pub rule: Option<String>,
    /// What kind of end it is.
    pub outcome: Outcome,
    /// The sentences to say, by language; joined with spaces they are a reply.
    pub say: BTreeMap<Language, Vec<String>>,
    /// An English reply has to contain one text out of each group, in either case.
    pub must: Vec<Vec<String>>,
    /// Sections that the rule rests on, as `article#section`.
    pub cite: Vec<String>,
    /// Only with [`Outcome::Action`].
    pub action: Option<ProposedAction>,
    /// What the person who takes over should know; only with [`Outcome::Escalate`].
    pub reason: Option<String>,
    /// Why the rules before it did not decide.
    pub missed: Vec<Missed>,
}

impl Ruling {
    /// A hand-off to a person.
    pub(super) fn escalation(rule: Option<&str>, reason: String, missed: Vec<Missed>) -> Self {
        Self {
            rule: rule.map(str::to_owned),
            outcome: Outcome::Escalate,
            say: BTreeMap::new(),
            must: Vec::new(),
            cite: Vec::new(),
            action: None,
            reason: Some(reason),
            missed,
        }
    }
}
