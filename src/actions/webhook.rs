//! Carries actions out in the shop's own system, by an HTTP request to its hook.
//!
//! The hook can tell who asks by the signature, a request that is sent again from a new one by the
//! idempotency key, and an old request that somebody sends again by the timestamp, which is signed
//! with the body. It is asked outside of any transaction, so the ledger says first that the action
//! runs, and then how it ended. Should the server stop in between, the next confirmation asks again
//! under the same key.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{SecondsFormat, Utc};
use reqwest::{Client, Response, StatusCode, Url, header, redirect};
use serde_json::{Value, json};
use tier0_store::{ActionState, SqliteStore, StoreTransaction};

use super::{
    error::Failure,
    execute::{ConfirmedAction, Execute},
    mac::Mac,
};

const TIMESTAMP: &str = "x-tier0-timestamp";
const SIGNATURE: &str = "x-tier0-signature";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What is waited before the hook is asked again.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// As much of an answer is read; more is no answer to an action.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Characters of a refusal that are passed on where it is not JSON.
const N_CHARS_SHOWN: usize = 300;

/// The shop's hook.
#[derive(Clone)]
pub struct Webhook {
    /// Where it is asked.
    pub url: String,
    /// What requests are signed with.
    pub secret: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Why a hook cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address is none.
    #[error("actions.webhook_url {url:?} is no address: {reason}")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The secret cannot be signed with.
    #[error("actions.webhook_secret cannot be signed with")]
    Secret,
    /// There is no HTTP client.
    #[error("the store's hook cannot be asked: {0}")]
    Client(#[from] reqwest::Error),
}

/// Asks the shop's hook to carry actions out.
#[derive(Debug)]
pub struct WebhookExecutor {
    store: SqliteStore,
    client: Client,
    url: Url,
    mac: Mac,
}

/// What came of asking once.
enum Reply {
    Done(Value),
    Refused {
        status: u16,
        message: String,
    },
    /// Nothing that says whether it was done.
    Unclear(String),
}

impl WebhookExecutor {
    /// Prepares to ask `hook`; the ledger is that of `store`. No connection is made yet.
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

    /// Asks until there is an answer, a few times.
    async fn ask(&self, action: &ConfirmedAction) -> Result<Value, Failure> {
        let body = body(action);
        let mut pauses = PAUSES.into_iter();
        loop {
            let reason = match self.ask_once(action, &body).await {
                Reply::Done(result) => return Ok(result),
                Reply::Refused { status, message } => return Err(Failure::HookRefused { status, message }),
                Reply::Unclear(reason) => reason,
            };
            tracing::warn!(action = action.name, id = %action.id, reason, "the store's hook failed");
            let Some(pause) = pauses.next() else {
                return Err(Failure::HookFailed { n_tries: PAUSES.len() + 1, reason });
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Each time with a new timestamp, and so with a new signature.
    async fn ask_once(&self, action: &ConfirmedAction, body: &str) -> Reply {
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

    async fn enter(
        &self,
        action: &ConfirmedAction,
        state: ActionState,
        result: Value,
    ) -> Result<(), Failure> {
        let mut store = self.store.begin().await?;
        store.save_action(&action.entry(state, result)).await?;
        Ok(store.commit().await?)
    }
}

#[async_trait]
impl Execute for WebhookExecutor {
    async fn execute(&self, mut store: StoreTransaction, action: &ConfirmedAction) -> Result<Value, Failure> {
        store.save_action(&action.entry(ActionState::Running, Value::Null)).await?;
        store.commit().await?;
        match self.ask(action).await {
            Ok(result) => {
                self.enter(action, ActionState::Done, result.clone()).await?;
                Ok(result)
            }
            Err(failure) => {
                self.enter(action, ActionState::Failed, failure.to_string().into()).await?;
                Err(failure)
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
    let asks_again = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_client_error() && !asks_again {
        return Reply::Refused { status: status.as_u16(), message: message(&answer) };
    }
    Reply::Unclear(format!("it answered with status {}", status.as_u16()))
}

/// The beginning of the answer's body; what cannot be read is left out, because the status counts.
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

/// The words of a refusal: `message` or `error` of a JSON object, else its text.
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

/// Without the address, which may hold a secret of its own.
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
