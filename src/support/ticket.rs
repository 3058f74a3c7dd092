//! What goes into the pipeline: a ticket, the settings that decide about sending, and the contract of
//! what answers.

use super::report::{Answer, Outcome};
use crate::{engine::EngineError, model::chat::Message};

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
