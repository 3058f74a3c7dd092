//! Turns prompts into token streams. The handle is cheap to clone; one worker thread owns the model.
//!
//! Place in the path: `api` and `support` submit a [`Request`] and read [`Event`]s; the engine
//! queues it, runs the model's forward passes and samples. Dropping the stream cancels.

mod blocks;
pub mod constraint;
mod generation;
mod handle;
mod lookup;
mod memory;
mod observe;
mod radix;
mod sampler;
pub mod scheduler;
mod text;
mod worker;

use std::{collections::BTreeMap, pin::Pin};

use futures::{Stream, StreamExt};
use serde::Serialize;

use crate::model::{TokenId, chat::Message};

pub use handle::{Engine, LoadSpec, LoadedModel};
pub use observe::{Observe, Unobserved};
pub use sampler::{Mask, Sampler};
pub use scheduler::Priority;

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
    /// Keep tokens at least this likely, relative to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Logits of tokens in prompt or text are divided by it (multiplied where negative); 1 changes
    /// nothing (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// Taken off the logits of tokens that the text has already; 0 changes nothing.
    pub presence_penalty: f32,
    /// Taken off a token's logit for each time that the text has it; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Added to these tokens' logits.
    pub logit_bias: BTreeMap<TokenId, f32>,
    /// Same seed, same prompt, same tokens, whatever else runs.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: 0,
        }
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
    /// Generation ends before the first of these tokens, beside the model's own end tokens.
    pub stop_tokens: Vec<TokenId>,
    /// Whether the model's own end tokens are tokens like any other: to measure, not to read.
    pub ignore_end: bool,
    /// What the text has to conform to.
    pub grammar: Option<Grammar>,
    /// With each token its log-probability, and those of so many of the likeliest; `None` is none.
    pub n_logprobs: Option<usize>,
    /// Who goes first.
    pub priority: Priority,
    /// What is guessed ahead.
    pub speculation: Speculation,
}

impl Request {
    /// A greedy request without limits or extras.
    pub fn new(prompt: Vec<TokenId>) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_end: false,
            grammar: None,
            n_logprobs: None,
            priority: Priority::Interactive,
            speculation: Speculation::Off,
        }
    }
}

/// What is guessed ahead of the model. It changes how fast the text comes, never what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Speculation {
    /// Nothing.
    #[default]
    Off,
    /// That the text repeats what stands in the prompt or in itself.
    Prompt,
    /// That it resembles this one, or else repeats as above.
    Answer(Vec<TokenId>),
}

/// What a text has to conform to.
#[derive(Debug, Clone, PartialEq)]
pub enum Grammar {
    /// JSON of this schema.
    JsonSchema(serde_json::Value),
    /// A match of this regular expression, whole.
    Regex(String),
    /// A sentence of this Lark grammar.
    Lark(String),
}

/// A generated token and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// Its bytes; they need not be whole characters.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability under the model, before temperature and filters.
    pub logprob: f32,
    /// The likeliest tokens in its place, likeliest first: bytes and log-probability.
    pub top: Vec<(Vec<u8>, f32)>,
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
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The next piece of text: whole characters, never empty.
    Text(String),
    /// The next token's likelihood, where it was asked for. Its text may come before or after.
    Logprob(TokenLogprob),
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

/// The whole text of a generation, and what it took.
///
/// # Errors
/// What the generation broke off with; [`EngineError::Stopped`] where it has no end.
pub async fn read_to_end(mut events: EventStream) -> Result<(String, Usage), EngineError> {
    let mut text = String::new();
    while let Some(event) = events.next().await {
        match event? {
            Event::Text(piece) => text.push_str(&piece),
            Event::Logprob(_) => {}
            Event::Finished { usage, .. } => return Ok((text, usage)),
        }
    }
    Err(EngineError::Stopped)
}

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
    /// Prompt and completion could never fit into the KV cache.
    #[error(
        "prompt and max_tokens come to {n_tokens} tokens, but the KV cache holds {capacity}; lower max_tokens, \
         or give the server more --kv-memory"
    )]
    NeverFits {
        /// Tokens of both.
        n_tokens: usize,
        /// Tokens that the cache holds.
        capacity: usize,
    },
    /// The grammar cannot be compiled.
    #[error("the grammar cannot be used: {reason}")]
    Grammar {
        /// What is wrong with it.
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
