//! Has the model phrase the points, and puts its words into the form of a reply.

use std::sync::Arc;

use futures::StreamExt;
use minijinja::context;

use crate::{
    engine::{Event, Generate, Request, Usage},
    model::chat::{Message, Role},
};

use super::{
    Channel, SupportError,
    prompts::{Prompt, Prompts},
    ruling::Point,
};

/// Characters of a customer's message that the model gets to see; the points carry the substance.
const MAX_MESSAGE_CHARS: usize = 1500;

/// Opening words of greetings, and of closings, that models write in spite of being told not to.
const GREETINGS: [&str; 6] = ["hi", "hello", "dear", "hey", "good morning", "good afternoon"];
const CLOSINGS: [&str; 9] = [
    "best regards",
    "kind regards",
    "regards",
    "sincerely",
    "best",
    "warm regards",
    "thank you",
    "thanks",
    "yours sincerely",
];
/// Longest line that can be a greeting or part of a closing.
const MAX_COURTESY_CHARS: usize = 40;

/// Asks the language model for the wording of a reply.
#[derive(Clone)]
pub(super) struct Composer {
    pub(super) llm: Arc<dyn Generate>,
    pub(super) prompts: Arc<Prompts>,
    pub(super) store_name: Option<String>,
    pub(super) max_reply_tokens: usize,
}

/// What the model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    /// The body: no greeting, no closing.
    pub(super) body: String,
    pub(super) usage: Usage,
}

impl Composer {
    /// One draft that says the points.
    ///
    /// # Errors
    /// When the engine refuses the request or breaks off.
    pub(super) async fn draft(&self, message: &str, points: &[Point]) -> Result<Draft, SupportError> {
        let message: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
        let points: Vec<String> = points.iter().map(|p| p.text.clone()).collect();
        let store = self.store_name.as_deref().unwrap_or("an online shop").to_owned();
        let system = self.prompts.render(Prompt::ComposeSystem, context! { store })?;
        let user = self.prompts.render(Prompt::ComposeUser, context! { message, points })?;
        let messages = [Message::new(Role::System, system), Message::new(Role::User, user)];
        let request = Request {
            max_tokens: Some(self.max_reply_tokens),
            // A reply repeats its points nearly word for word.
            speculate: true,
            ..Request::new(self.llm.chat_prompt(&messages)?)
        };
        let mut events = self.llm.submit(request)?;
        let (mut text, mut total) = (String::new(), Usage::default());
        while let Some(event) = events.next().await {
            match event? {
                Event::Text(piece) => text.push_str(&piece),
                Event::Logprob(_) => {}
                Event::Finished { usage, .. } => total += usage,
            }
        }
        Ok(Draft { body: body_of(&text), usage: total })
    }
}

/// The reply around a body: e-mails are greeted and signed, chat messages are not.
pub(super) fn dress(
    body: &str,
    channel: Channel,
    first_name: Option<&str>,
    store_name: Option<&str>,
) -> String {
    match channel {
        Channel::Chat => body.to_owned(),
        Channel::Email => {
            let greeting = first_name.map_or_else(|| "Hello,".to_owned(), |name| format!("Hello {name},"));
            let signature =
                store_name.map_or_else(|| "Customer support".to_owned(), |name| format!("{name} support"));
            format!("{greeting}\n\n{body}\n\nKind regards\n{signature}")
        }
    }
}

/// What a model wrote, without quotes around it, greeting or closing.
fn body_of(text: &str) -> String {
    let text = text.trim().trim_matches('"').trim();
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    if lines.len() > 1 && is_courtesy(lines[0], &GREETINGS) {
        lines.remove(0);
    }
    let closing = lines.iter().rposition(|line| is_courtesy(line, &CLOSINGS));
    if let Some(at) =
        closing.filter(|at| *at > 0 && lines[*at..].iter().all(|l| l.chars().count() <= MAX_COURTESY_CHARS))
    {
        lines.truncate(at);
    }
    lines.join("\n").trim().to_owned()
}

/// Whether a line is nothing but a formula that begins with one of `openings`.
fn is_courtesy(line: &str, openings: &[&str]) -> bool {
    let lower = line.to_lowercase();
    let begins = |opening: &&str| {
        lower.strip_prefix(*opening).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    line.chars().count() <= MAX_COURTESY_CHARS && !line.ends_with(['.', '?']) && openings.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Your order is pending.", "Your order is pending.")]
    #[case("Hi Maya,\n\nYour order is pending.\n\nBest regards,\n[Your Name]", "Your order is pending.")]
    #[case("\"Your order is pending.\"", "Your order is pending.")]
    #[case(
        "Thank you for your message. Your order is pending.",
        "Thank you for your message. Your order is pending."
    )]
    #[case("Hi there", "Hi there")]
    fn only_the_body_is_kept(#[case] text: &str, #[case] body: &str) {
        assert_eq!(body_of(text), body);
    }

    #[test]
    fn an_email_has_a_greeting_and_a_closing() {
        let reply = dress("It is pending.", Channel::Email, Some("Maya"), Some("Larkmoor"));
        assert_eq!(reply, "Hello Maya,\n\nIt is pending.\n\nKind regards\nLarkmoor support");
        assert_eq!(dress("It is pending.", Channel::Chat, Some("Maya"), Some("Larkmoor")), "It is pending.");
    }
}
