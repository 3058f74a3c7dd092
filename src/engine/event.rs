//! What the engine answers: a stream of events that ends with the finish reason and the usage.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use serde::Serialize;

use super::error::EngineError;

/// A generated token and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token's bytes; they need not be whole characters.
    pub bytes: Vec<u8>,
    /// Natural logarithm of the token's probability under the model, before temperature and filters.
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

/// Token counts of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Generated tokens.
    pub completion_tokens: usize,
    /// Tokens of the prompt that the prefix cache held.
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
    /// The next token's log-probability, where the request asks for it. Its text may come before or after.
    Logprob(TokenLogprob),
    /// The generation has ended; nothing follows.
    Finished {
        /// Why the generation ended.
        reason: FinishReason,
        /// Its token counts.
        usage: Usage,
    },
}

/// The events of one generation. Dropping it cancels the generation.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>>;

/// The whole text of a generation, and its token counts.
///
/// # Errors
/// The error that the generation broke off with; [`EngineError::Stopped`] where the stream has no end.
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
