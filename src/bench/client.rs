//! A client of OpenAI-compatible servers that notes when each piece of an answer comes.

use std::time::{Duration, Instant};

use eventsource_stream::Eventsource;
use futures::StreamExt;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest silence of a server before a request counts as failed.
const SILENCE: Duration = Duration::from_secs(600);
/// Characters of a server's complaint that are worth printing.
const MAX_REASON_CHARS: usize = 200;

/// Asks one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    api_key: Option<String>,
}

/// Why a server could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed, or broke off.
    #[error("{url}: {source}; is the server running?")]
    Connection {
        /// What was asked.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{url} answers {status}: {reason}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// The server's words.
        reason: String,
    },
    /// The server answers something else than an OpenAI-compatible one.
    #[error("{url} gives no answer of the OpenAI form: {reason}")]
    Form {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// When the pieces of a streamed answer came, and how long it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimedAnswer {
    /// From the request to the first piece of text.
    pub(super) first: Duration,
    /// From each piece to the next.
    pub(super) between: Vec<Duration>,
    /// From the request to the end.
    pub(super) whole: Duration,
    /// The server's count, where it gives one.
    pub(super) usage: Option<TokenCounts>,
}

/// Token counts as OpenAI names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(super) struct TokenCounts {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
}

impl Client {
    /// A client of the server at `url`, with or without the `/v1` behind it.
    ///
    /// # Errors
    /// When the system's TLS cannot be set up.
    pub fn new(url: &str, api_key: Option<String>) -> Result<Self, ClientError> {
        let base = url.trim_end_matches('/');
        let base = if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") };
        let http = reqwest::Client::builder()
            .read_timeout(SILENCE)
            .build()
            .map_err(|source| ClientError::Connection { url: base.clone(), source })?;
        Ok(Self { http, base, api_key })
    }

    /// The models that the server lists.
    ///
    /// # Errors
    /// [`ClientError`]: it cannot be reached, or gives no such list.
    pub async fn models(&self) -> Result<Vec<String>, ClientError> {
        let url = format!("{}/models", self.base);
        let connection = |source| ClientError::Connection { url: url.clone(), source };
        let response = self.with_key(self.http.get(&url)).send().await.map_err(connection)?;
        let response = accepted(&url, response).await?;
        let list: Value = response.json().await.map_err(connection)?;
        let ids = list["data"].as_array().map(|models| {
            models.iter().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect()
        });
        ids.ok_or_else(|| ClientError::Form { url, reason: "it lists no models".to_owned() })
    }

    /// One streamed chat completion of `message`, greedy, of at most `max_tokens`.
    pub(super) async fn chat(
        &self,
        model: &str,
        message: &str,
        max_tokens: usize,
    ) -> Result<TimedAnswer, ClientError> {
        let url = format!("{}/chat/completions", self.base);
        let connection = |source| ClientError::Connection { url: url.clone(), source };
        let form = |reason: String| ClientError::Form { url: url.clone(), reason };
        let body = json!({
            "model": model, "messages": [{"role": "user", "content": message}], "max_tokens": max_tokens,
            "temperature": 0, "stream": true, "stream_options": {"include_usage": true},
        });
        let begin = Instant::now();
        let response = self.with_key(self.http.post(&url).json(&body)).send().await.map_err(connection)?;
        let mut events = accepted(&url, response).await?.bytes_stream().eventsource();
        let (mut pieces, mut usage) = (Vec::new(), None);
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| form(error.to_string()))?;
            if event.data == "[DONE]" {
                break;
            }
            let chunk: Chunk = serde_json::from_str(&event.data).map_err(|error| form(error.to_string()))?;
            if let Some(error) = chunk.error {
                return Err(form(error.to_string()));
            }
            if chunk.has_text() {
                pieces.push(begin.elapsed());
            }
            usage = chunk.usage.or(usage);
        }
        let whole = begin.elapsed();
        let first = *pieces.first().ok_or_else(|| form("the answer has no text".to_owned()))?;
        let between = pieces.windows(2).map(|pair| pair[1] - pair[0]).collect();
        Ok(TimedAnswer { first, between, whole, usage })
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.api_key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }
}

/// The response of a request that the server did not refuse.
async fn accepted(url: &str, response: reqwest::Response) -> Result<reqwest::Response, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let words = response.text().await.unwrap_or_default();
    let reason = words.chars().take(MAX_REASON_CHARS).collect();
    Err(ClientError::Refused { url: url.to_owned(), status, reason })
}

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<ChunkChoice>,
    usage: Option<TokenCounts>,
    error: Option<Value>,
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
    fn has_text(&self) -> bool {
        let texts = self.choices.iter().filter_map(|choice| choice.delta.as_ref()?.content.as_deref());
        texts.into_iter().any(|text| !text.is_empty())
    }
}
