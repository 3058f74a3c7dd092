//! Asks a server over HTTP, as a helpdesk would.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use tier0_client::{ChatRequest, Client, Patience};

use super::{AskError, AskSupport, Channel, EvalError, Support, Ticket, TicketAnswer};

/// The model name under which a server answers tickets.
const SUPPORT_MODEL: &str = "support";

/// Which server to ask.
#[derive(Clone)]
pub struct HttpTarget {
    /// Its address, such as `http://localhost:8080`; a path `/v1` at its end is taken as such.
    pub url: String,
    /// The key that it wants, if any.
    pub api_key: Option<String>,
    /// How long an answer may take, queueing included.
    pub timeout: Duration,
}

/// A server that answers tickets over HTTP.
#[derive(Debug, Clone)]
pub struct HttpSupport {
    client: Client,
}

impl HttpSupport {
    /// Prepares to ask; no connection is made yet.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(target: &HttpTarget) -> Result<Self, EvalError> {
        let patience = Patience::Whole(target.timeout);
        Ok(Self { client: Client::new(&target.url, target.api_key.as_deref(), patience)? })
    }
}

#[async_trait]
impl AskSupport for HttpSupport {
    async fn ask(&self, ticket: &Ticket) -> Result<TicketAnswer, AskError> {
        let request =
            ChatRequest { metadata: metadata(ticket), ..ChatRequest::new(SUPPORT_MODEL, &ticket.message) };
        let completion = self.client.complete::<Support>(&request).await?;
        let no_support = || AskError::NoSupport { url: self.client.chat_url().to_owned() };
        let support = completion.support.ok_or_else(no_support)?;
        Ok(TicketAnswer { content: completion.content, support })
    }
}

/// What goes with the request. Metadata are strings, and what is not known is left out.
fn metadata(ticket: &Ticket) -> Map<String, Value> {
    let channel = match ticket.channel {
        Channel::Chat => "chat",
        Channel::Email => "email",
    };
    let known = [
        ("ticket_id", Some(ticket.id.as_str())),
        ("channel", Some(channel)),
        ("subject", ticket.subject.as_deref()),
        ("customer_email", ticket.customer.email.as_deref()),
        ("customer_verified", Some(if ticket.customer.verified { "true" } else { "false" })),
    ];
    known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;
    use tier0_client::ClientError;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_json, header, header_exists, method, path},
    };

    use super::*;
    use crate::{Decision, Disposition, WrittenBy, testing::ticket};

    fn completion() -> Value {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "support",
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "It will be cancelled."},
            }],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            "support": {
                "decision": "reply", "outcome": "action",
                "intents": [{"label": "cancel_order", "confidence": 0.97}],
                "order_ids": ["#A1"],
                "citations": [{"id": "policy#cancel", "title": "Cancel", "quote": "…"}],
                "action": {
                    "name": "cancel_order", "arguments": {"order_id": "#A1"}, "confirmation_token": "x",
                },
                "handoff": null, "confidence": 0.93, "written_by": "model",
                "timings_ms": {"triage": 4, "compose": 2100},
            },
        })
    }

    fn target(server: &MockServer) -> HttpTarget {
        HttpTarget { url: server.uri(), api_key: None, timeout: Duration::from_secs(5) }
    }

    async fn ask(target: &HttpTarget) -> Result<TicketAnswer, AskError> {
        HttpSupport::new(target).unwrap().ask(&ticket("t1")).await
    }

    /// What is said when the server answers like this.
    async fn failure(response: ResponseTemplate) -> String {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(response).mount(&server).await;
        ask(&target(&server)).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_ticket_is_asked_as_a_helpdesk_does_and_the_answer_is_read() {
        let server = MockServer::start().await;
        let mut ticket = ticket("t7");
        ticket.channel = Channel::Email;
        ticket.subject = Some("cancel order".to_owned());
        let expected = json!({
            "model": "support",
            "messages": [{"role": "user", "content": ticket.message}],
            "metadata": {
                "ticket_id": "t7", "channel": "email", "subject": "cancel order",
                "customer_email": "ada@mail.example", "customer_verified": "true",
            },
        });
        Mock::given(method("POST"))
            .and(path("/v1/chat/completions"))
            .and(header("authorization", "Bearer s3cret"))
            .and(body_json(expected))
            .respond_with(ResponseTemplate::new(200).set_body_json(completion()))
            .expect(1)
            .mount(&server)
            .await;
        let target = HttpTarget { api_key: Some("s3cret".to_owned()), ..target(&server) };
        let answer = HttpSupport::new(&target).unwrap().ask(&ticket).await.unwrap();
        assert_eq!(answer.content, "It will be cancelled.");
        let support = answer.support;
        assert_eq!((support.decision, support.outcome), (Decision::Reply, Disposition::Action));
        assert_eq!((support.confidence, support.written_by), (0.93, WrittenBy::Model));
        assert_eq!(support.intents[0].label, "cancel_order");
        assert_eq!(support.order_ids, ["#A1"]);
        assert_eq!(Value::from(support.action.unwrap().arguments), json!({"order_id": "#A1"}));
        assert_eq!(support.timings_ms["compose"], 2100.0);
    }

    #[tokio::test]
    async fn what_is_not_known_is_left_out() {
        let server = MockServer::start().await;
        let mut ticket = ticket("t1");
        ticket.customer.email = None;
        ticket.customer.verified = false;
        let known = json!({"ticket_id": "t1", "channel": "chat", "customer_verified": "false"});
        assert_eq!(Value::from(metadata(&ticket)), known);
        Mock::given(header_exists("authorization"))
            .respond_with(ResponseTemplate::new(500))
            .expect(0)
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_json(completion()))
            .with_priority(9)
            .mount(&server)
            .await;
        HttpSupport::new(&target(&server)).unwrap().ask(&ticket).await.unwrap();
    }

    #[rstest]
    #[case(401, "the key is wrong", "give a key")]
    #[case(404, "no such model", "is this the address of a tier0 server?")]
    #[case(429, "the queue is full", "fewer tickets")]
    #[case(400, "`channel` is wrong", "does not take this ticket")]
    #[case(500, "see the log", "server's log")]
    #[tokio::test]
    async fn a_refusal_is_told_with_what_to_do(#[case] status: u16, #[case] said: &str, #[case] hint: &str) {
        let body = json!({"error": {"message": said, "type": "x"}});
        let message = failure(ResponseTemplate::new(status).set_body_json(body)).await;
        for part in [&status.to_string(), said, hint, "/v1/chat/completions"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[rstest]
    #[case::a_page("<html>Bad gateway</html>", "<html>Bad gateway</html>")]
    #[case::nothing("", "no message")]
    #[tokio::test]
    async fn an_error_that_is_not_of_the_form_is_shown(#[case] body: &str, #[case] shown: &str) {
        let message = failure(ResponseTemplate::new(502).set_body_string(body)).await;
        assert!(message.contains(shown), "{message}");
    }

    #[tokio::test]
    async fn an_answer_of_a_plain_model_is_not_taken() {
        let mut plain = completion();
        plain.as_object_mut().unwrap().shift_remove("support");
        let message = failure(ResponseTemplate::new(200).set_body_json(plain)).await;
        assert!(message.contains("no `support` object"), "{message}");
    }

    #[tokio::test]
    async fn an_answer_of_another_form_is_told_with_the_place() {
        let mut odd = completion();
        odd["support"]["decision"] = json!("maybe");
        let message = failure(ResponseTemplate::new(200).set_body_json(odd)).await;
        assert!(message.contains("support.decision: unknown variant `maybe`"), "{message}");

        let message = failure(ResponseTemplate::new(200).set_body_string("<html>hello</html>")).await;
        assert!(message.contains("begins with `<html>hello"), "{message}");
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_given_up() {
        let server = MockServer::start().await;
        let late = ResponseTemplate::new(200).set_body_json(completion()).set_delay(Duration::from_secs(20));
        Mock::given(method("POST")).respond_with(late).mount(&server).await;
        let target = HttpTarget { timeout: Duration::from_millis(100), ..target(&server) };
        let error = ask(&target).await.unwrap_err();
        assert!(matches!(error, AskError::Server { source: ClientError::TimedOut { .. } }), "{error}");
        assert!(error.to_string().contains("within 0.1 s; allow more time"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_its_address() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let target = HttpTarget { url: url.clone(), api_key: None, timeout: Duration::from_secs(5) };
        let error = ask(&target).await.unwrap_err();
        assert!(matches!(error, AskError::Server { source: ClientError::Unreachable { .. } }), "{error}");
        assert!(error.to_string().contains(&url), "{error}");
        assert!(error.to_string().contains("is the server running"), "{error}");
    }
}
