//! What comes out of the pipeline: the text and the `support` object of the HTTP answer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::PassageMatch;
use crate::engine::Usage;
pub use tier0_playbook::{Missed, Outcome};

/// Whether the text may go to the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Send it.
    Reply,
    /// A person takes over; the text only says so.
    Escalate,
}

/// Who wrote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WrittenBy {
    /// The language model, and the verifier let it pass.
    Model,
    /// A fixed text of the store.
    Template,
}

/// One intent with the classifier's confidence in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntentScore {
    /// The intent's label, such as `track_order`.
    pub label: String,
    /// 0 to 1.
    pub confidence: f32,
}

/// A passage that the reply rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Citation {
    /// `article#section`, such as `returns#how-long`.
    pub id: String,
    /// The section's heading.
    pub title: String,
    /// The words of the article.
    pub quote: String,
}

/// Something the server proposes to do once it is confirmed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// Such as `cancel_order`.
    pub name: String,
    /// By the names of the ticket format.
    pub arguments: serde_json::Map<String, serde_json::Value>,
    /// What a confirmation must carry.
    pub confirmation_token: String,
}

/// What the person who takes over needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Handoff {
    /// Why a person is needed.
    pub reason: String,
    /// The case in a few words.
    pub summary: String,
    /// A reply to start from, where one was written.
    pub draft: Option<String>,
}

/// Everything beside the text: why it says what it says, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether the text may go out.
    pub decision: Decision,
    /// What kind of end.
    pub outcome: Outcome,
    /// Likeliest first.
    pub intents: Vec<IntentScore>,
    /// Orders that the reply is about.
    pub order_ids: Vec<String>,
    /// Passages that it rests on.
    pub citations: Vec<Citation>,
    /// The proposed action.
    pub action: Option<Action>,
    /// Set when a person takes over.
    pub handoff: Option<Handoff>,
    /// 0 to 1: how likely the reply is right.
    pub confidence: f32,
    /// Who wrote the text.
    pub written_by: WrittenBy,
    /// Milliseconds of each stage.
    pub timings_ms: BTreeMap<String, u64>,
    /// How the answer came to be.
    pub explain: Trace,
}

/// The answer to a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text for the customer.
    pub content: String,
    /// Everything beside it.
    pub report: Report,
    /// Tokens that reading and writing took.
    pub usage: Usage,
}

/// How an answer came to be, stage by stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Trace {
    /// The message in English, where it was in another language.
    pub translation: Option<String>,
    /// The playbook's rule on each request that it decided.
    pub rules: Vec<RuleTaken>,
    /// What the reply had to say.
    pub points: Vec<String>,
    /// Passages that were found, best first.
    pub passages: Vec<PassageTrace>,
    /// What the verifier objected to in the model's drafts.
    pub faults: Vec<String>,
}

/// A passage that was found for a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassageTrace {
    /// `article#section`.
    pub id: String,
    /// Rank among the passages by words, from 1; `None` where it is not among them.
    pub rank_by_words: Option<usize>,
    /// The same by meaning.
    pub rank_by_meaning: Option<usize>,
    /// Similarity of its best sentence to the question, −1 to 1.
    pub similarity: f32,
}

impl From<&PassageMatch> for PassageTrace {
    fn from(quoted: &PassageMatch) -> Self {
        let hit = &quoted.hit;
        Self {
            id: hit.passage.id.clone(),
            rank_by_words: hit.lexical.map(|(rank, _)| rank),
            rank_by_meaning: hit.dense.map(|(rank, _)| rank),
            similarity: quoted.similarity(),
        }
    }
}

/// The rule of the playbook that decided a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleTaken {
    /// What was asked for.
    pub intent: String,
    /// The rule; `None` where none fitted.
    pub rule: Option<String>,
    /// The rules before it, and the conditions that were not met.
    pub missed: Vec<Missed>,
    /// What the model read in the message, as JSON.
    pub form: String,
    /// The facts that the rules looked at, as JSON.
    pub facts: String,
}
