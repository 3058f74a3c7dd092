//! What goes into the pipeline and what comes out: the `support` object of the HTTP answer.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::{EngineError, Usage};
use crate::model::chat::Message;

use super::Quoted;
pub use tier0_playbook::{Missed, Outcome};

/// A ticket as the helpdesk hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The helpdesk's own number for it.
    pub id: Option<String>,
    /// `chat` or `email`; decides the reply's form.
    pub channel: Channel,
    /// Subject line, where the channel has one.
    pub subject: Option<String>,
    /// The conversation so far; the last user message is the one to answer.
    pub messages: Vec<Message>,
    /// The sender's address as the helpdesk knows it. Nothing in the text can change it.
    pub customer_email: Option<String>,
    /// Whether the helpdesk has authenticated that address.
    pub customer_verified: bool,
}

/// How the customer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channel {
    /// A live chat: short replies.
    #[default]
    Chat,
    /// E-mail: greeting and closing.
    Email,
}

/// Whether replies go to the customer by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// What passes every check is sent; a person takes the rest.
    #[default]
    Reply,
    /// Nothing is sent: a person gets the reply with its evidence and action, and decides.
    Draft,
}

/// Who words English replies. Those in other languages are always the templates'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wording {
    /// The language model, and the templates where its drafts fail.
    #[default]
    Model,
    /// The templates alone: stiffer, and in milliseconds.
    Template,
}

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
    pub passages: Vec<Found>,
    /// What the verifier objected to in the model's drafts.
    pub faults: Vec<String>,
}

/// A passage that was found for a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// `article#section`.
    pub id: String,
    /// Rank among the passages by words, from 1; `None` where it is not among them.
    pub rank_by_words: Option<usize>,
    /// The same by meaning.
    pub rank_by_meaning: Option<usize>,
    /// Similarity of its best sentence to the question, −1 to 1.
    pub similarity: f32,
}

impl From<&Quoted> for Found {
    fn from(quoted: &Quoted) -> Self {
        let hit = &quoted.hit;
        Self {
            id: hit.passage.id.clone(),
            rank_by_words: hit.lexical.map(|(rank, _)| rank),
            rank_by_meaning: hit.dense.map(|(rank, _)| rank),
            similarity: quoted.similarity(),
        }
    }
}

/// Confidence, 0 to 1, below which a reply is not sent, by what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of replies that answer a question.
    pub answer: f32,
    /// Of replies that deny a request.
    pub deny: f32,
    /// Of replies that propose an action.
    pub action: f32,
    /// Of replies that ask for something.
    pub clarify: f32,
}

impl Thresholds {
    /// The threshold of an outcome.
    pub fn of(&self, outcome: Outcome) -> f32 {
        match outcome {
            Outcome::Answer => self.answer,
            Outcome::Deny | Outcome::Refuse => self.deny,
            Outcome::Action => self.action,
            Outcome::Clarify => self.clarify,
            Outcome::Escalate => 0.0,
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

/// Why a ticket could not be processed at all. (What can be processed but not answered is an
/// [`Answer`] that escalates.)
#[derive(Debug, thiserror::Error)]
pub enum SupportError {
    /// The ticket holds no user message.
    #[error("the conversation holds no message from the user")]
    NoUserMessage,
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Store(String),
    /// The language model could not be asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Another stage failed.
    #[error("{stage} failed: {reason}")]
    Stage {
        /// The stage's name.
        stage: &'static str,
        /// What went wrong.
        reason: String,
    },
}

/// Something that answers tickets: the pipeline, or a fake of it in tests.
#[async_trait::async_trait]
pub trait AnswerTicket: Send + Sync {
    /// Answers one ticket.
    ///
    /// # Errors
    /// [`SupportError`] when it could not be processed.
    async fn answer(&self, ticket: &Ticket) -> Result<Answer, SupportError>;
}
