//! Carries actions out in the shop's own system, by an HTTP request to its webhook.
//!
//! The webhook recognises the sender by the signature, a retry by the idempotency key, and a replayed
//! request by the timestamp, which is signed with the body. It is called outside of any transaction, so
//! the ledger first says that the action runs, and then how it ended. If the server stops in between,
//! the next confirmation sends the request again with the same key.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{SecondsFormat, Utc};
use reqwest::{Client, Response, StatusCode, Url, header, redirect};
use serde_json::{Value, json};
use tier0_store::{ActionState, SqliteStore, StoreTransaction};

use super::{
    error::NotDone,
    execute::{ConfirmedAction, Execute},
    hmac::Mac,
};

const TIMESTAMP: &str = "x-tier0-timestamp";
const SIGNATURE: &str = "x-tier0-signature";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Pauses before the retries.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// Most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Most characters of a refusal that are passed on if it is not JSON.
const N_CHARS_SHOWN: usize = 300;

/// Address and secret of the shop's webhook.
#[derive(Clone)]
pub struct Webhook {
    /// URL of the webhook.
    pub url: String,
    /// The key that requests are signed with.
    pub secret: String,
    /// Longest time that an answer may take.
    pub timeout: Duration,
}

/// Why a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The URL cannot be parsed.
    #[error("actions.webhook_url {url:?} is no address: {reason}")]
    Url {
        /// The configured URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret cannot be signed with.
    #[error("actions.webhook_secret cannot be signed with")]
    Secret,
    /// The HTTP client cannot be built.
    #[error("the store's hook cannot be asked: {0}")]
    Client(#[from] reqwest::Error),
}

/// Has the shop's webhook carry actions out.
#[derive(Debug)]
pub struct WebhookExecutor {
    store: SqliteStore,
    client: Client,
    url: Url,
    mac: Mac,
}

/// The outcome of one request.
enum Reply {
    Done(Value),
    Refused {
        status: u16,
        message: String,
    },
    /// The answer does not say whether it was done.
    Unclear(String),
}

impl WebhookExecutor {
    /// An executor that calls `hook` and keeps its ledger in `store`. It does not connect yet.
    ///
    /// # Errors
    /// [`WebhookError`] when the address or the secret cannot be used.
    pub fn new(store: SqliteStore, hook: &Webhook) -> Result<Self, WebhookError> {
        let url = Url::parse(&hook.url)
            .map_err(|error| WebhookError::Url { url: hook.url.clone(), reason: error.to_string() })?;
        let mac = Mac::new(hook.secret.as_bytes()).map_err(|_| WebhookError::Secret)?;
        let client = Client::builder()
            .timeout(hook.timeout)
            // A signed request is for one address only.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("tier0/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { store, client, url, mac })
    }

    /// Sends the request, with retries, until there is an answer.
    async fn call(&self, action: &ConfirmedAction) -> Result<Value, NotDone> {
        let body = body(action);
        let mut pauses = PAUSES.into_iter();
        loop {
            let reason = match self.call_once(action, &body).await {
                Reply::Done(result) => return Ok(result),
                Reply::Refused { status, message } => return Err(NotDone::HookRefused { status, message }),
                Reply::Unclear(reason) => reason,
            };
            tracing::warn!(action = action.name, id = %action.id, reason, "the store's hook failed");
            let Some(pause) = pauses.next() else {
                return Err(NotDone::HookFailed { n_tries: PAUSES.len() + 1, reason });
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends the request once, with a new timestamp, and so with a new signature.
    async fn call_once(&self, action: &ConfirmedAction, body: &str) -> Reply {
        let timestamp = Utc::now().timestamp().to_string();
        let signature = self.mac.sign(format!("{timestamp}.{body}").as_bytes());
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(TIMESTAMP, &timestamp)
            .header(SIGNATURE, format!("sha256={}", hex(&signature)))
            .header(IDEMPOTENCY_KEY, action.id.as_str())
            .body(body.to_owned());
        match request.send().await {
            Ok(response) => reply(response).await,
            Err(error) => Reply::Unclear(reason(error)),
        }
    }

    /// Enters the action's state into the ledger.
    async fn enter(
        &self,
        action: &ConfirmedAction,
        state: ActionState,
        result: Value,
    ) -> Result<(), NotDone> {
        let mut store = self.store.begin().await?;
        store.save_action(&action.entry(state, result)).await?;
        Ok(store.commit().await?)
    }
}

#[async_trait]
impl Execute for WebhookExecutor {
    async fn execute(&self, mut store: StoreTransaction, action: &ConfirmedAction) -> Result<Value, NotDone> {
        store.save_action(&action.entry(ActionState::Running, Value::Null)).await?;
        store.commit().await?;
        match self.call(action).await {
            Ok(result) => {
                self.enter(action, ActionState::Done, result.clone()).await?;
                Ok(result)
            }
            Err(not_done) => {
                self.enter(action, ActionState::Failed, not_done.to_string().into()).await?;
                Err(not_done)
            }
        }
    }
}

fn body(action: &ConfirmedAction) -> String {
    json!({
        "id": action.id,
        "action": action.name,
        "arguments": action.arguments,
        "customer": {"id": action.customer.id, "email": action.customer.email},
        "confirmed_at": action.confirmed_at.to_rfc3339_opts(SecondsFormat::Secs, true),
    })
    .to_string()
}

async fn reply(response: Response) -> Reply {
    let status = response.status();
    let answer = read(response).await;
    if status.is_success() {
        return Reply::Done(serde_json::from_slice(&answer).unwrap_or_default());
    }
    let is_retried = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_client_error() && !is_retried {
        return Reply::Refused { status: status.as_u16(), message: message(&answer) };
    }
    Reply::Unclear(format!("it answered with status {}", status.as_u16()))
}

/// The beginning of the answer's body. A read error ends it early, because the status is what counts.
async fn read(mut response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let n_left = MAX_ANSWER_BYTES - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(n_left)]);
        if bytes.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    bytes
}

/// The message of a refusal: `message` or `error` of a JSON object, else its text.
fn message(answer: &[u8]) -> String {
    let json: Value = serde_json::from_slice(answer).unwrap_or_default();
    let said =
        [&json["error"]["message"], &json["message"], &json["error"]].into_iter().find_map(Value::as_str);
    match (said, String::from_utf8_lossy(answer).trim()) {
        (Some(said), _) => said.to_owned(),
        (None, "") => "it gave no reason".to_owned(),
        (None, text) => text.chars().take(N_CHARS_SHOWN).collect(),
    }
}

/// The error's cause, without the URL, which may contain a secret.
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"{"message": "already packed"}"#, "already packed")]
    #[case(r#"{"error": "already packed"}"#, "already packed")]
    #[case(r#"{"error": {"message": "already packed", "code": 7}}"#, "already packed")]
    #[case(" already packed\n", "already packed")]
    #[case("", "it gave no reason")]
    #[case("[1]", "[1]")]
    fn the_words_of_a_refusal_are_found(#[case] answer: &str, #[case] expected: &str) {
        assert_eq!(message(answer.as_bytes()), expected);
    }

    #[test]
    fn a_long_refusal_is_cut() {
        assert_eq!(message("x".repeat(5_000).as_bytes()).len(), N_CHARS_SHOWN);
    }

    #[test]
    fn bytes_are_written_with_two_digits_each() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
