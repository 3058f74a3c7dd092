//! OpenAI's JSON objects, with `support` beside `choices`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    logprobs::{ChatLogprobs, TextLogprobs, TokenRun},
    messages::WireMessage,
};
use crate::engine::{FinishReason, Usage};
use crate::support::Report;

/// The fields of a chat completion that text completions do not have.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) model: Option<String>,
    pub(super) messages: Option<Vec<WireMessage>>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<usize>,
}

/// The fields of a text completion that chat completions do not have.
#[derive(Debug, Deserialize)]
pub(super) struct CompletionRequest {
    pub(super) model: Option<String>,
    pub(super) prompt: Option<Value>,
    pub(super) echo: Option<bool>,
    pub(super) suffix: Option<String>,
    pub(super) best_of: Option<u64>,
    pub(super) logprobs: Option<usize>,
}

/// An answer, or one chunk of a streamed answer, by the type of choice.
#[derive(Debug, Serialize)]
pub(super) struct Completion<C> {
    /// The same in all chunks of an answer.
    #[serde(flatten)]
    pub(super) head: Head,
    /// One choice; none in the chunk that carries the token counts.
    pub(super) choices: Vec<C>,
    /// Absent, null, or the token counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<WireUsage>>,
    /// The report on the answer to a ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) support: Option<Report>,
}

/// The fields that identify an answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Head {
    id: String,
    object: &'static str,
    created: i64,
    pub(super) model: String,
}

impl Head {
    /// The head of a new answer of `model`, made of choices of the kind `C`.
    pub(super) fn new<C: Choice>(model: &str) -> Self {
        Self {
            id: format!("{}-{}", C::ID_PREFIX, Uuid::new_v4().simple()),
            object: C::OBJECT,
            created: chrono::Utc::now().timestamp(),
            model: model.to_owned(),
        }
    }
}

/// Token counts by OpenAI's names.
#[derive(Debug, Serialize)]
pub(super) struct WireUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptTokensDetails,
}

#[derive(Debug, Serialize)]
struct PromptTokensDetails {
    cached_tokens: usize,
}

impl From<Usage> for WireUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.cached_tokens },
        }
    }
}

/// A choice of a [`Completion`], and the names that go with it.
pub(super) trait Choice: Serialize + Send + 'static {
    /// Prefix of the answer's id.
    const ID_PREFIX: &'static str;
    /// Value of the answer's field `object`.
    const OBJECT: &'static str;
}

/// A choice that holds a whole answer.
pub(super) trait WholeChoice: Choice {
    /// A choice with the whole text, its tokens if they were requested, and the finish reason.
    fn whole(text: String, tokens: Option<TokenRun>, reason: FinishReason) -> Self;
}

/// A choice that holds one piece of a streamed answer.
pub(super) trait StreamedChoice: Choice {
    /// The choice before the text, if there is one.
    fn opening() -> Option<Self>
    where
        Self: Sized;
    /// A choice with the next piece of the text, and its tokens if they were requested.
    fn piece(text: String, tokens: Option<TokenRun>) -> Self;
    /// The last choice, without text, with the tokens that were not sent with any piece.
    fn end(reason: FinishReason, tokens: Option<TokenRun>) -> Self;
}

/// The whole answer of a chat completion.
#[derive(Debug, Serialize)]
pub(super) struct ChatChoice {
    index: u32,
    message: AssistantMessage,
    logprobs: Option<ChatLogprobs>,
    finish_reason: FinishReason,
}

#[derive(Debug, Serialize)]
struct AssistantMessage {
    role: &'static str,
    content: String,
    refusal: (),
}

impl Choice for ChatChoice {
    const ID_PREFIX: &'static str = "chatcmpl";
    const OBJECT: &'static str = "chat.completion";
}

impl WholeChoice for ChatChoice {
    fn whole(text: String, tokens: Option<TokenRun>, reason: FinishReason) -> Self {
        Self {
            index: 0,
            message: AssistantMessage { role: "assistant", content: text, refusal: () },
            logprobs: tokens.map(Into::into),
            finish_reason: reason,
        }
    }
}

/// A piece of a streamed chat completion.
#[derive(Debug, Serialize)]
pub(super) struct ChatDelta {
    index: u32,
    delta: Delta,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<FinishReason>,
}

#[derive(Debug, Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

impl ChatDelta {
    fn new(delta: Delta, tokens: Option<TokenRun>, finish_reason: Option<FinishReason>) -> Self {
        Self { index: 0, delta, logprobs: tokens.map(Into::into), finish_reason }
    }
}

impl Choice for ChatDelta {
    const ID_PREFIX: &'static str = "chatcmpl";
    const OBJECT: &'static str = "chat.completion.chunk";
}

impl StreamedChoice for ChatDelta {
    fn opening() -> Option<Self> {
        let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
        Some(Self::new(delta, None, None))
    }

    fn piece(text: String, tokens: Option<TokenRun>) -> Self {
        let delta = Delta { role: None, content: Some(text) };
        Self::new(delta, tokens, None)
    }

    fn end(reason: FinishReason, tokens: Option<TokenRun>) -> Self {
        Self::new(Delta::default(), tokens, Some(reason))
    }
}

/// A text completion, whole or one piece: both have the same form in OpenAI's API.
#[derive(Debug, Serialize)]
pub(super) struct TextChoice {
    index: u32,
    text: String,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<FinishReason>,
}

impl TextChoice {
    fn new(text: String, tokens: Option<TokenRun>, finish_reason: Option<FinishReason>) -> Self {
        Self { index: 0, text, logprobs: tokens.map(Into::into), finish_reason }
    }
}

impl Choice for TextChoice {
    const ID_PREFIX: &'static str = "cmpl";
    const OBJECT: &'static str = "text_completion";
}

impl WholeChoice for TextChoice {
    fn whole(text: String, tokens: Option<TokenRun>, reason: FinishReason) -> Self {
        Self::new(text, tokens, Some(reason))
    }
}

impl StreamedChoice for TextChoice {
    fn opening() -> Option<Self> {
        None
    }

    fn piece(text: String, tokens: Option<TokenRun>) -> Self {
        Self::new(text, tokens, None)
    }

    fn end(reason: FinishReason, tokens: Option<TokenRun>) -> Self {
        Self::new(String::new(), tokens, Some(reason))
    }
}

/// One entry of the list of models.
#[derive(Debug, Serialize)]
pub(super) struct ModelObject {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

impl ModelObject {
    /// A model that has been served since `created` (Unix seconds).
    pub(super) fn new(id: &str, created: i64) -> Self {
        Self { id: id.to_owned(), object: "model", created, owned_by: "tier0" }
    }
}

/// The list of models.
#[derive(Debug, Serialize)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<ModelObject>,
}

impl From<Vec<ModelObject>> for ModelList {
    fn from(data: Vec<ModelObject>) -> Self {
        Self { object: "list", data }
    }
}
