//! A streamed answer: its pieces, and when each came.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// When the pieces of a streamed answer came, and how long it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedAnswer {
    /// From the request to the first piece of text.
    pub first: Duration,
    /// From each piece to the next.
    pub between: Vec<Duration>,
    /// From the request to the end.
    pub whole: Duration,
    /// The server's count, where it gives one.
    pub usage: Option<TokenCounts>,
}

/// Token counts as OpenAI names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct TokenCounts {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
}

/// What one event of the stream says.
#[derive(Debug, Deserialize)]
pub(crate) struct Chunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    pub(crate) usage: Option<TokenCounts>,
    pub(crate) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct ChunkChoice {
    delta: Option<Delta>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    content: Option<String>,
}

impl Chunk {
    pub(crate) fn has_text(&self) -> bool {
        let texts = self.choices.iter().filter_map(|choice| choice.delta.as_ref()?.content.as_deref());
        texts.into_iter().any(|text| !text.is_empty())
    }
}
