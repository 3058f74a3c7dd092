//! An answer as it comes over HTTP, as far as measuring looks at it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The text for the customer, and the `support` object beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TicketAnswer {
    /// The text for the customer.
    pub content: String,
    /// What the server says about it.
    pub support: Support,
}

/// The `support` object of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Support {
    /// Whether the text may go out.
    pub decision: Decision,
    /// What kind of end the ticket came to, in the server's eyes.
    pub outcome: Disposition,
    /// Likeliest first.
    #[serde(default)]
    pub intents: Vec<IntentScore>,
    /// Orders that the reply is about.
    #[serde(default)]
    pub order_ids: Vec<String>,
    /// What the server proposes to do.
    pub action: Option<ProposedAction>,
    /// Set when a person takes over.
    pub handoff: Option<Handoff>,
    /// How likely the reply is right; replies are ranked by it.
    pub confidence: f64,
    /// Who wrote the text.
    pub written_by: WrittenBy,
    /// Milliseconds of each stage.
    #[serde(default)]
    pub timings_ms: BTreeMap<String, f64>,
}

/// Whether the text may go to the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is sent.
    Reply,
    /// A person takes over.
    Escalate,
}

/// What ends a ticket: what should in a ticket file, what did in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// The question is answered from data or policy.
    Answer,
    /// Against policy, and the reply says so.
    Deny,
    /// Allowed; the reply says what will happen and an action is proposed.
    Action,
    /// Something is missing and the reply asks for it.
    Clarify,
    /// Must not be met.
    Refuse,
    /// A person must take it.
    Escalate,
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Answer => "answer",
            Self::Deny => "deny",
            Self::Action => "action",
            Self::Clarify => "clarify",
            Self::Refuse => "refuse",
            Self::Escalate => "escalate",
        })
    }
}

/// Who wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WrittenBy {
    /// The language model.
    Model,
    /// A fixed text.
    Template,
}

/// One intent with the classifier's confidence in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntentScore {
    /// The intent's label, such as `track_order`.
    pub label: String,
    /// 0 to 1.
    pub confidence: f64,
}

/// What the server proposes to do once it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposedAction {
    /// Such as `cancel_order`.
    pub name: String,
    /// By the names of the ticket format.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// Why a person takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handoff {
    /// The reason for the person.
    pub reason: String,
}
