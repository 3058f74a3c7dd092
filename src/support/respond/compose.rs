//! Has the language model phrase a reply from the statements of its brief.

use std::sync::Arc;

use minijinja::context;
use serde::Deserialize;

use super::brief::Brief;
use crate::{
    engine::{Request, Speculation},
    intent::requests,
    model::chat::{Message, Role},
    support::{
        SupportError,
        llm::{Completion, LanguageModel, excerpt},
        prompts::Prompt,
        texts::English,
    },
};

/// Phrases replies.
#[derive(Clone)]
pub(in crate::support) struct Composer {
    pub(in crate::support) model: LanguageModel,
    pub(in crate::support) store_name: Option<String>,
    pub(in crate::support) max_reply_tokens: usize,
    /// What the model is shown before the task.
    pub(in crate::support) examples: Arc<[Example]>,
}

/// A reply as it should be made of its statements.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in crate::support) struct Example {
    message: String,
    points: Vec<String>,
    reply: String,
}

#[derive(Debug, Deserialize)]
struct ExampleFile {
    example: Vec<Example>,
}

/// The examples in `prompts/`.
///
/// # Errors
/// When the file is broken.
pub(in crate::support) fn examples() -> Result<Arc<[Example]>, SupportError> {
    let file: ExampleFile = toml::from_str(include_str!("../../../prompts/compose_examples.toml"))
        .map_err(|error| SupportError::Stage { stage: "compose", reason: error.to_string() })?;
    Ok(file.example.into())
}

/// A draft that the verifier refused, and its faults.
#[derive(Debug, Clone)]
pub(in crate::support) struct Rejected {
    pub(in crate::support) draft: String,
    pub(in crate::support) faults: Vec<String>,
}

impl Composer {
    /// A draft that says the statements of a brief; a second one is told the faults of the first.
    ///
    /// # Errors
    /// When the engine refuses the request or breaks off.
    pub(in crate::support) async fn draft(
        &self,
        message: &English,
        brief: &Brief,
        rejected: Option<&Rejected>,
    ) -> Result<Completion, SupportError> {
        let points = brief.english();
        // Greeting, signature and the like take time to read and have no answer.
        let mut messages = self.messages(&excerpt(&requests(message.as_str()).join(" ")), &points)?;
        if let Some(Rejected { draft, faults }) = rejected {
            messages.push(Message::new(Role::Assistant, draft));
            let values = context! { faults };
            messages.push(Message::new(Role::User, self.model.prompts.render(Prompt::ComposeRetry, values)?));
        }
        // A reply mostly repeats the statements as they stand.
        let speculation = Speculation::Answer(self.model.engine.text_prompt(&points.join(" "))?);
        let request = Request { speculation, ..self.model.request(&messages, self.max_reply_tokens)? };
        self.model.complete(request).await
    }

    /// The messages that ask for a reply.
    ///
    /// # Errors
    /// When a template cannot be rendered.
    pub(in crate::support) fn messages(
        &self,
        message: &str,
        points: &[String],
    ) -> Result<Vec<Message>, SupportError> {
        let prompts = &self.model.prompts;
        let store = self.store_name.as_deref().unwrap_or("an online shop").to_owned();
        let system = prompts.render(Prompt::ComposeSystem, context! { store })?;
        let user = prompts.render(Prompt::ComposeUser, context! { message, points => points.to_vec() })?;
        let mut messages = vec![Message::new(Role::System, system)];
        for Example { message, points, reply } in self.examples.iter() {
            let task = prompts.render(Prompt::ComposeUser, context! { message, points })?;
            messages.extend([Message::new(Role::User, task), Message::new(Role::Assistant, reply)]);
        }
        messages.push(Message::new(Role::User, user));
        Ok(messages)
    }
}
