//! A chat completion: what is asked, and the parts of the answer that are looked at.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A chat completion to ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest<'a> {
    /// The model to ask for.
    pub model: &'a str,
    /// What the user says.
    pub message: &'a str,
    /// Most tokens of the answer, if not the server's own limit.
    pub max_tokens: Option<usize>,
    /// The temperature, if not the server's own.
    pub temperature: Option<f64>,
    /// Strings that go with the request; left out where there are none.
    pub metadata: Map<String, Value>,
}

impl<'a> ChatRequest<'a> {
    /// Asks `model` to answer `message`, and leaves the rest to the server.
    #[must_use]
    pub fn new(model: &'a str, message: &'a str) -> Self {
        Self { model, message, max_tokens: None, temperature: None, metadata: Map::new() }
    }

    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": [{"role": "user", "content": self.message}],
        });
        if let Some(max_tokens) = self.max_tokens {
            body["max_tokens"] = max_tokens.into();
        }
        if let Some(temperature) = self.temperature {
            body["temperature"] = temperature.into();
        }
        if !self.metadata.is_empty() {
            body["metadata"] = self.metadata.clone().into();
        }
        body
    }

    pub(crate) fn streamed_body(&self) -> Value {
        let mut body = self.body();
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        body
    }
}

/// A chat completion that came in one piece.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion<S> {
    /// The text of the first choice.
    pub content: String,
    /// The object `support`, which a tier0 server adds where it answers a ticket.
    pub support: Option<S>,
}

impl<S: for<'de> Deserialize<'de>> Completion<S> {
    /// # Errors
    /// What is wrong with the body, and where.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let wire: WireCompletion<S> =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body))
                .map_err(|error| error.to_string())?;
        let choice = wire.choices.into_iter().next().ok_or("`choices` is empty")?;
        Ok(Self { content: choice.message.content, support: wire.support })
    }
}

#[derive(Debug, Deserialize)]
struct WireCompletion<S> {
    choices: Vec<Choice>,
    support: Option<S>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_left_out() {
        let mut request = ChatRequest::new("tiny", "Hello.");
        let plain = json!({"model": "tiny", "messages": [{"role": "user", "content": "Hello."}]});
        assert_eq!(request.body(), plain);
        request.max_tokens = Some(8);
        request.temperature = Some(0.0);
        let streamed = json!({
            "model": "tiny", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 8,
            "temperature": 0.0, "stream": true, "stream_options": {"include_usage": true},
        });
        assert_eq!(request.streamed_body(), streamed);
    }
}
