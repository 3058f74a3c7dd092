//! Has the language model write: the wording of a reply, or an English version of a message.

use std::sync::Arc;

use minijinja::context;
use serde::Deserialize;

use crate::{
    engine::{Generate, Priority, Request, Speculation, Usage, read_to_end},
    intent::requests,
    model::chat::{Message, Role},
};

use super::{
    SupportError,
    brief::Brief,
    prompts::{Prompt, Prompts},
};

/// Characters of a customer's message that the model gets to see; the points carry the substance.
const MAX_MESSAGE_CHARS: usize = 1500;
/// Longest translation.
const MAX_TRANSLATION_TOKENS: usize = 400;

/// Asks the language model for words.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) llm: Arc<dyn Generate>,
    pub(super) prompts: Arc<Prompts>,
    pub(super) store_name: Option<String>,
    pub(super) max_reply_tokens: usize,
    /// What the model is shown before the task.
    pub(super) examples: Arc<[Example]>,
}

/// A reply as it should be made of its points.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Example {
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
pub(super) fn examples() -> Result<Arc<[Example]>, SupportError> {
    let file: ExampleFile = toml::from_str(include_str!("../../prompts/compose_examples.toml"))
        .map_err(|error| SupportError::Stage { stage: "prompts", reason: error.to_string() })?;
    Ok(file.example.into())
}

/// What the model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) text: String,
    pub(super) usage: Usage,
}

/// A draft that cannot go out, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rejected<'a> {
    pub(super) draft: &'a str,
    pub(super) faults: &'a [String],
}

impl Writer {
    /// A draft that says the points of a brief; the second one knows what was wrong with the first.
    ///
    /// # Errors
    /// When the engine refuses the request or breaks off.
    pub(super) async fn reply(
        &self,
        message: &str,
        brief: &Brief,
        rejected: Option<Rejected<'_>>,
    ) -> Result<Written, SupportError> {
        let points = brief.english();
        // Greeting, signature and the like take time to read and have no answer.
        let mut messages = self.task(&shown(&requests(message).join(" ")), &points)?;
        if let Some(Rejected { draft, faults }) = rejected {
            messages.push(Message::new(Role::Assistant, draft));
            let again = self.prompts.render(Prompt::ComposeRetry, context! { faults => faults.to_vec() })?;
            messages.push(Message::new(Role::User, again));
        }
        // A reply mostly says the points as they stand.
        let speculation = Speculation::Answer(self.llm.text_prompt(&points.join(" "))?);
        self.write(Request { speculation, ..self.request(&messages, self.max_reply_tokens)? }).await
    }

    /// Has the model read what all its tasks begin with, so that the first customer need not wait
    /// for it: forms, and replies if it writes them.
    ///
    /// # Errors
    /// When the engine refuses a request or breaks off.
    pub(super) async fn warm_up(&self, writes_replies: bool) -> Result<(), SupportError> {
        let form = self.form(context! { message => "", questions => [(); 0], items => [(); 0] })?;
        let reply = writes_replies.then(|| self.task("", &[])).transpose()?;
        for messages in [Some(form.to_vec()), reply].into_iter().flatten() {
            let request = Request { priority: Priority::Batch, ..self.request(&messages, 1)? };
            self.write(request).await?;
        }
        Ok(())
    }

    /// The messages that ask for a reply.
    fn task(&self, message: &str, points: &[String]) -> Result<Vec<Message>, SupportError> {
        let store = self.store_name.as_deref().unwrap_or("an online shop").to_owned();
        let system = self.prompts.render(Prompt::ComposeSystem, context! { store })?;
        let user =
            self.prompts.render(Prompt::ComposeUser, context! { message, points => points.to_vec() })?;
        let mut messages = vec![Message::new(Role::System, system)];
        for Example { message, points, reply } in self.examples.iter() {
            let task = self.prompts.render(Prompt::ComposeUser, context! { message, points })?;
            messages.extend([Message::new(Role::User, task), Message::new(Role::Assistant, reply)]);
        }
        messages.push(Message::new(Role::User, user));
        Ok(messages)
    }

    /// The messages that ask for a form to be filled in.
    ///
    /// # Errors
    /// When a template cannot be rendered.
    pub(super) fn form(&self, fields: minijinja::Value) -> Result<[Message; 2], SupportError> {
        let system = self.prompts.render(Prompt::ExtractSystem, context! {})?;
        let user = self.prompts.render(Prompt::ExtractUser, fields)?;
        Ok([Message::new(Role::System, system), Message::new(Role::User, user)])
    }

    /// A message in English.
    ///
    /// # Errors
    /// When the engine refuses the request or breaks off.
    pub(super) async fn english(&self, message: &str) -> Result<Written, SupportError> {
        let system = self.prompts.render(Prompt::TranslateSystem, context! {})?;
        let messages = [Message::new(Role::System, system), Message::new(Role::User, shown(message))];
        self.write(self.request(&messages, MAX_TRANSLATION_TOKENS)?).await
    }

    /// To answer a conversation.
    ///
    /// # Errors
    /// When the model's template refuses the messages.
    pub(super) fn request(&self, messages: &[Message], max_tokens: usize) -> Result<Request, SupportError> {
        let prompt = self.llm.chat_prompt(messages)?;
        // Replies and forms repeat what stands in the prompt nearly word for word.
        let speculation = Speculation::Prompt;
        Ok(Request { max_tokens: Some(max_tokens), speculation, ..Request::new(prompt) })
    }

    /// What the model answers.
    ///
    /// # Errors
    /// When the engine refuses the request or breaks off.
    pub(super) async fn write(&self, request: Request) -> Result<Written, SupportError> {
        let (text, usage) = read_to_end(self.llm.submit(request)?).await?;
        Ok(Written { text, usage })
    }
}

/// As much of a customer's message as the model gets to see.
pub(super) fn shown(message: &str) -> String {
    message.chars().take(MAX_MESSAGE_CHARS).collect()
}
