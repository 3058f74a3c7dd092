//! The language model as the stages ask it: messages in, one completion out.

use std::sync::Arc;

use super::{SupportError, prompts::Prompts};
use crate::{
    engine::{Generate, Request, Speculation, Usage, read_to_end},
    model::chat::Message,
};

/// Characters of a customer's message that the model reads; the statements carry the substance.
const MAX_MESSAGE_CHARS: usize = 1500;

/// The language model and its prompts.
#[derive(Clone)]
pub(super) struct LanguageModel {
    pub(super) engine: Arc<dyn Generate>,
    pub(super) prompts: Arc<Prompts>,
}

/// What the model answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completion {
    pub(super) text: String,
    pub(super) usage: Usage,
}

impl LanguageModel {
    /// A request to answer a conversation with at most `max_tokens` tokens.
    ///
    /// # Errors
    /// When the model's template refuses the messages.
    pub(super) fn request(&self, messages: &[Message], max_tokens: usize) -> Result<Request, SupportError> {
        let prompt = self.engine.chat_prompt(messages)?;
        // Replies and forms repeat what stands in the prompt nearly word for word.
        let speculation = Speculation::Prompt;
        Ok(Request { max_tokens: Some(max_tokens), speculation, ..Request::new(prompt) })
    }

    /// The model's answer to a request.
    ///
    /// # Errors
    /// When the engine refuses the request or breaks off.
    pub(super) async fn complete(&self, request: Request) -> Result<Completion, SupportError> {
        let (text, usage) = read_to_end(self.engine.submit(request)?).await?;
        Ok(Completion { text, usage })
    }
}

/// The beginning of a text, as much as the model reads of a customer's message.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}
