//! Turns prompts into token streams. The handle is cheap to clone; one worker thread owns the model.
//!
//! Place in the path: `api` and `support` submit a [`Request`] and read [`Event`]s; the engine
//! queues it, runs the model's forward passes and samples. Dropping the stream cancels.

mod blocks;
mod handle;
mod memory;
mod radix;
mod sampler;
pub mod scheduler;
mod text;
mod worker;

use std::pin::Pin;

use futures::Stream;
use serde::Serialize;

use crate::model::{TokenId, chat::Message};

pub use handle::{Engine, LoadSpec};
pub use sampler::Sampler;

/// What a model needs to be named and sized by its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name under which the API serves it, such as `qwen2.5-coder-1.5b-instruct`.
    pub id: String,
    /// Most tokens of prompt and completion together.
    pub context_length: usize,
}

/// How the next token is chosen from the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; otherwise logits are divided by it.
    pub temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Same seed, same prompt, same tokens, whatever else runs.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0 }
    }
}

/// One generation to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The prompt, with the chat template already applied.
    pub prompt: Vec<TokenId>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` is what the context leaves.
    pub max_tokens: Option<usize>,
    /// Generation ends before the first of these strings; they are not part of the text.
    pub stop: Vec<String>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model ended its turn, or a stop string appeared.
    Stop,
    /// `max_tokens` or the context's end was reached.
    Length,
}

/// Tokens read and written by one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Tokens of the prompt that needed no computation.
    pub cached_tokens: usize,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cached_tokens += other.cached_tokens;
    }
}

/// What a generation's stream yields: any number of `Text`, then one `Finished` or one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The next piece of text: whole characters, never empty.
    Text(String),
    /// The end.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
}

/// The events of one generation. Dropping it cancels the generation.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>>;

/// Why a generation could not start, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The prompt alone fills the context.
    #[error("the prompt has {prompt_tokens} tokens, but the model's context holds {context_length}")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// The context's length.
        context_length: usize,
    },
    /// The prompt holds no token.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The model's chat template refused the messages.
    #[error("the model's chat template refused the messages: {reason}")]
    Template {
        /// The template's own words.
        reason: String,
    },
    /// No room in the queue.
    #[error("the queue is full ({waiting} requests wait); try again shortly")]
    QueueFull {
        /// Requests already waiting.
        waiting: usize,
    },
    /// The worker is gone: the server is shutting down.
    #[error("the engine has stopped")]
    Stopped,
    /// The model's forward pass failed.
    #[error("the model failed: {0}")]
    Model(String),
}

/// A language model that can be asked. [`Engine`](self) implements it; tests use fakes.
pub trait Generate: Send + Sync {
    /// The model behind it.
    fn info(&self) -> &ModelInfo;

    /// Applies the model's chat template to `messages`, opens the assistant's turn and tokenises.
    ///
    /// # Errors
    /// [`EngineError::Template`] when the template refuses the messages.
    fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<TokenId>, EngineError>;

    /// Tokenises plain text as it stands (for completions without a chat template).
    ///
    /// # Errors
    /// [`EngineError::Model`] when the tokenizer fails.
    fn text_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError>;

    /// Queues a generation. What can never fit is refused here.
    ///
    /// # Errors
    /// [`EngineError::PromptTooLong`], [`EngineError::EmptyPrompt`], [`EngineError::QueueFull`],
    /// [`EngineError::Stopped`].
    fn submit(&self, request: Request) -> Result<EventStream, EngineError>;
}
