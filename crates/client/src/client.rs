//! Asks one server.

use std::time::{Duration, Instant};

use eventsource_stream::{EventStreamError, Eventsource};
use futures::StreamExt;
use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    address::{endpoint, headers},
    chat::{ChatRequest, Completion},
    error::{ClientError, first_cause, message, start},
    stream::{Chunk, TimedAnswer},
};

/// A server that is there accepts a connection sooner than this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may take before its answer counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Longest silence; an answer that goes on coming may take any time.
    Silence(Duration),
    /// Longest time to the end of the answer, queueing included.
    Whole(Duration),
}

impl Patience {
    /// Ten minutes of silence.
    pub const DEFAULT: Self = Self::Silence(Duration::from_secs(600));

    fn limit(self) -> Duration {
        match self {
            Self::Silence(limit) | Self::Whole(limit) => limit,
        }
    }
}

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    models: Url,
    chat: Url,
    patience: Patience,
}

impl Client {
    /// A client of the server at `url`, with or without the `/v1` behind it. No connection is made yet.
    ///
    /// # Errors
    /// When the address or the key cannot be used, or the system's TLS cannot be set up.
    pub fn new(url: &str, api_key: Option<&str>, patience: Patience) -> Result<Self, ClientError> {
        let builder =
            reqwest::Client::builder().default_headers(headers(api_key)?).connect_timeout(CONNECT_TIMEOUT);
        let builder = match patience {
            Patience::Silence(limit) => builder.read_timeout(limit),
            Patience::Whole(limit) => builder.timeout(limit),
        };
        Ok(Self {
            http: builder.build().map_err(ClientError::Setup)?,
            models: endpoint(url, "models")?,
            chat: endpoint(url, "chat/completions")?,
            patience,
        })
    }

    /// Where chat completions are asked for.
    #[must_use]
    pub fn chat_url(&self) -> &str {
        self.chat.as_str()
    }

    /// The models that the server lists.
    ///
    /// # Errors
    /// [`ClientError`]: it cannot be reached, or gives no such list.
    pub async fn models(&self) -> Result<Vec<String>, ClientError> {
        let body = self.body_of(&self.models, self.http.get(self.models.clone())).await?;
        let unreadable = |reason: String| unreadable(&self.models, &reason, &body);
        let list: Value = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
        let ids = list["data"].as_array().map(|models| {
            models.iter().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect()
        });
        ids.ok_or_else(|| unreadable("it lists no models".to_owned()))
    }

    /// A chat completion in one piece.
    ///
    /// # Errors
    /// [`ClientError`]: the server cannot be reached, takes too long, refuses, or gives something else.
    pub async fn complete<S: for<'de> Deserialize<'de>>(
        &self,
        request: &ChatRequest<'_>,
    ) -> Result<Completion<S>, ClientError> {
        let post = self.http.post(self.chat.clone()).json(&request.body());
        let body = self.body_of(&self.chat, post).await?;
        Completion::read(&body).map_err(|reason| unreadable(&self.chat, &reason, &body))
    }

    /// A streamed chat completion, of which only the times are kept.
    ///
    /// # Errors
    /// [`ClientError`]: the server cannot be reached, takes too long, refuses, breaks off, or gives no text.
    pub async fn stream(&self, request: &ChatRequest<'_>) -> Result<TimedAnswer, ClientError> {
        let url = &self.chat;
        let body = request.streamed_body();
        let begin = Instant::now();
        let response = self.accepted(url, self.http.post(url.clone()).json(&body)).await?;
        let mut events = response.bytes_stream().eventsource();
        let (mut pieces, mut usage) = (Vec::new(), None);
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| match error {
                EventStreamError::Transport(error) => self.broken(url, error),
                error => ClientError::Unreadable { url: url.to_string(), reason: error.to_string() },
            })?;
            if event.data == "[DONE]" {
                break;
            }
            let chunk: Chunk = serde_json::from_str(&event.data)
                .map_err(|error| unreadable(url, &error.to_string(), event.data.as_bytes()))?;
            if let Some(error) = chunk.error {
                return Err(ClientError::BrokenOff { url: url.to_string(), message: error.to_string() });
            }
            if chunk.has_text() {
                pieces.push(begin.elapsed());
            }
            usage = chunk.usage.or(usage);
        }
        let whole = begin.elapsed();
        let no_text =
            || ClientError::Unreadable { url: url.to_string(), reason: "it has no text".to_owned() };
        let first = *pieces.first().ok_or_else(no_text)?;
        let between = pieces.windows(2).map(|pair| pair[1] - pair[0]).collect();
        Ok(TimedAnswer { first, between, whole, usage })
    }

    /// The body of an answer that is no refusal.
    async fn body_of(&self, url: &Url, request: RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let response = self.accepted(url, request).await?;
        let body = response.bytes().await.map_err(|error| self.broken(url, error))?;
        Ok(body.into())
    }

    /// The response to a request that the server did not refuse.
    async fn accepted(&self, url: &Url, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.broken(url, error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.broken(url, error))?;
        Err(ClientError::Refused { url: url.to_string(), status, message: message(&body) })
    }

    /// Why no whole answer came.
    fn broken(&self, url: &Url, error: reqwest::Error) -> ClientError {
        let url = url.to_string();
        if error.is_timeout() && !error.is_connect() {
            return ClientError::TimedOut { url, timeout: self.patience.limit() };
        }
        let source = error.without_url();
        ClientError::Unreachable { url, reason: first_cause(&source), source }
    }
}

fn unreadable(url: &Url, reason: &str, body: &[u8]) -> ClientError {
    let reason = format!("{reason}; it begins with `{}`", start(body));
    ClientError::Unreadable { url: url.to_string(), reason }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;
    use crate::stream::TokenCounts;

    /// What the client makes of a server that answers like this.
    async fn client_of(response: ResponseTemplate) -> (MockServer, Client) {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(response).mount(&server).await;
        let client = Client::new(&server.uri(), None, Patience::DEFAULT).unwrap();
        (server, client)
    }

    async fn streamed(events: &[&str]) -> Result<TimedAnswer, ClientError> {
        let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        let response = ResponseTemplate::new(200).set_body_raw(body, "text/event-stream");
        let (_server, client) = client_of(response).await;
        client.stream(&ChatRequest::new("tiny", "Hello.")).await
    }

    #[tokio::test]
    async fn every_piece_of_text_is_timed() {
        let text = r#"{"choices": [{"delta": {"content": "a"}}]}"#;
        let role = r#"{"choices": [{"delta": {"role": "assistant", "content": ""}}]}"#;
        let usage = r#"{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}"#;
        let answer = streamed(&[role, text, text, usage, "[DONE]"]).await.unwrap();
        assert_eq!(answer.between.len(), 1);
        assert!(answer.first + answer.between[0] <= answer.whole, "{answer:?}");
        assert_eq!(answer.usage, Some(TokenCounts { prompt_tokens: 3, completion_tokens: 2 }));
    }

    #[tokio::test]
    async fn a_stream_without_a_whole_answer_is_an_error() {
        let error = streamed(&[r#"{"error": {"message": "no memory"}}"#]).await.unwrap_err();
        assert!(matches!(error, ClientError::BrokenOff { .. }), "{error}");
        assert!(error.to_string().contains("no memory"), "{error}");
        for events in [&["[DONE]"][..], &["hello"], &[]] {
            let error = streamed(events).await.unwrap_err();
            assert!(matches!(error, ClientError::Unreadable { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn the_models_are_listed_by_id() {
        let list = serde_json::json!({"data": [{"id": "support"}, {"id": "tiny"}]});
        let (_server, client) = client_of(ResponseTemplate::new(200).set_body_json(list)).await;
        assert_eq!(client.models().await.unwrap(), ["support", "tiny"]);
        let (_server, client) = client_of(ResponseTemplate::new(200).set_body_string("{}")).await;
        let error = client.models().await.unwrap_err().to_string();
        assert!(error.contains("it lists no models; it begins with `{}`"), "{error}");
    }
}
