//! Each kind of refusal and failure, with its status and OpenAI's error object.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use rstest::rstest;
use serde_json::{Value, json};
use tier0::{config::Server, engine::EngineError, support::SupportError};

use super::{App, chat_with, error, json_request};
use crate::fakes::{ScriptedModel, ScriptedSupport, Step};

const CHAT: &str = "/v1/chat/completions";

#[rstest]
#[case::no_json("{\"model\": ")]
#[case::empty("")]
#[case::no_object("[1, 2]")]
#[case::not_unicode(b"{\"model\": \"\xff\"}".as_slice())]
#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused(#[case] body: impl Into<Body>) {
    let response = App::new().send(json_request(CHAT, body)).await;
    let error = error(response, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["type"], "invalid_request_error");
    assert!(error["message"].as_str().unwrap().contains("JSON"), "{error}");
}

#[rstest]
#[case(None)]
#[case(Some("text/plain"))]
#[case(Some("application/x-www-form-urlencoded"))]
#[tokio::test]
async fn another_content_type_is_refused(#[case] content_type: Option<&str>) {
    let mut request = Request::post(CHAT);
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let body = chat_with("tiny", &json!({})).to_string();
    let response = App::new().send(request.body(body.into()).unwrap()).await;
    error(response, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
}

#[tokio::test]
async fn a_content_type_may_name_its_charset() {
    let request = Request::post(CHAT)
        .header(header::CONTENT_TYPE, "application/JSON; charset=utf-8")
        .body(chat_with("tiny", &json!({})).to_string().into())
        .unwrap();
    assert_eq!(App::new().send(request).await.status(), StatusCode::OK);
}

#[rstest]
#[case("model", json!({"model": null}))]
#[case("model", json!({"model": 7}))]
#[case("messages", json!({"messages": null}))]
#[case("messages", json!({"messages": []}))]
#[case("messages[0].role", json!({"messages": [{"role": "tool", "content": "x"}]}))]
#[case("messages[0].content[0]",
       json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}))]
#[case("temperature", json!({"temperature": 3}))]
#[case("n", json!({"n": 2}))]
#[case("tools", json!({"tools": [{"type": "function"}]}))]
#[case("logprobs", json!({"logprobs": 5}))]
#[case("logprobs", json!({"model": "support", "logprobs": true}))]
#[case("top_logprobs", json!({"logprobs": true, "top_logprobs": 21}))]
#[case("top_logprobs", json!({"top_logprobs": 2}))]
#[case("metadata.customer_verified", json!({"metadata": {"customer_verified": true}}))]
#[tokio::test]
async fn a_wrong_field_is_named(#[case] param: &str, #[case] fields: Value) {
    let response = App::new().chat(&chat_with("tiny", &fields)).await;
    let error = error(response, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["param"], param, "{error}");
}

#[rstest]
#[case("metadata.customer_verified", json!({"metadata": {"customer_verified": "TRUE"}}))]
#[case("metadata.channel", json!({"metadata": {"channel": "fax"}}))]
#[case("metadata.customer_email", json!({"metadata": {"customer_verified": "true"}}))]
#[case("messages", json!({"messages": [{"role": "system", "content": "x"}]}))]
#[tokio::test]
async fn a_wrong_ticket_is_refused_even_when_it_would_stream(
    #[case] param: &str,
    #[case] fields: Value,
    #[values(false, true)] stream: bool,
) {
    let mut body = chat_with("support", &fields);
    body["stream"] = stream.into();
    let error = error(App::new().chat(&body).await, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["param"], param, "{error}");
}

#[rstest]
#[case("prompt", json!({"model": "tiny"}))]
#[case("prompt", json!({"model": "tiny", "prompt": ["a", "b"]}))]
#[case("model", json!({"prompt": "a"}))]
#[case("model", json!({"model": "support", "prompt": "a"}))]
#[case("echo", json!({"model": "tiny", "prompt": "a", "echo": true}))]
#[case("suffix", json!({"model": "tiny", "prompt": "a", "suffix": "z"}))]
#[case("best_of", json!({"model": "tiny", "prompt": "a", "best_of": 3}))]
#[tokio::test]
async fn a_wrong_text_completion_is_refused(#[case] param: &str, #[case] body: Value) {
    let response = App::new().post("/v1/completions", &body).await;
    let error = error(response, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["param"], param, "{error}");
}

#[rstest]
#[case(CHAT)]
#[case("/v1/completions")]
#[tokio::test]
async fn an_unknown_model_is_answered_with_those_served(#[case] path: &str) {
    let mut body = chat_with("gpt-x", &json!({}));
    body["prompt"] = "a".into();
    let error = error(App::new().post(path, &body).await, StatusCode::NOT_FOUND).await;
    assert_eq!(error["code"], "model_not_found");
    assert_eq!(error["param"], "model");
    for name in ["gpt-x", "support", "tiny"] {
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_served_has_no_entry() {
    let response = App::new().get("/v1/models/some/path").await;
    let error = error(response, StatusCode::NOT_FOUND).await;
    assert_eq!(error["code"], "model_not_found");
    assert!(error["message"].as_str().unwrap().contains("some/path"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_answered_in_json() {
    let app = App::new();
    let unknown = error(app.get("/v2/nothing").await, StatusCode::NOT_FOUND).await;
    assert_eq!(unknown["code"], "unknown_route");

    let response = app.get(CHAT).await;
    assert_eq!(response.headers()[header::ALLOW], "POST");
    let wrong = error(response, StatusCode::METHOD_NOT_ALLOWED).await;
    assert_eq!(wrong["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let app = App::with_settings(Server { max_body_bytes: 2000, ..Server::default() });
    let of_length = |n: usize| {
        let content = "x".repeat(n);
        chat_with("tiny", &json!({"messages": [{"role": "user", "content": content}]}))
    };
    assert_eq!(app.chat(&of_length(1000)).await.status(), StatusCode::OK);
    let response = app.chat(&of_length(2000)).await;
    error(response, StatusCode::PAYLOAD_TOO_LARGE).await;
}

#[rstest]
#[case::too_long(
    || EngineError::PromptTooLong { prompt_tokens: 9001, context_length: 8192 },
    StatusCode::BAD_REQUEST, json!("context_length_exceeded"), &["9001", "8192"])]
#[case::empty(|| EngineError::EmptyPrompt, StatusCode::BAD_REQUEST, json!("empty_prompt"), &[])]
#[case::queue(|| EngineError::QueueFull { waiting: 64 }, StatusCode::TOO_MANY_REQUESTS,
              json!("queue_full"), &["64"])]
#[case::stopped(|| EngineError::Stopped, StatusCode::SERVICE_UNAVAILABLE,
                json!("shutting_down"), &[])]
#[case::broken(|| EngineError::Model("cuda: out of memory".to_owned()),
               StatusCode::INTERNAL_SERVER_ERROR, json!(null), &["x-request-id"])]
#[tokio::test]
async fn what_the_engine_refuses_has_its_status(
    #[case] refusal: fn() -> EngineError,
    #[case] status: StatusCode,
    #[case] code: Value,
    #[case] says: &[&str],
    #[values(false, true)] stream: bool,
) {
    let app = App::with_model(ScriptedModel::refusing(refusal));
    let response = app.chat(&chat_with("tiny", &json!({"stream": stream}))).await;
    let retry_after = response.headers().get(header::RETRY_AFTER).cloned();
    assert_eq!(retry_after.is_some(), status == StatusCode::TOO_MANY_REQUESTS);
    let error = error(response, status).await;
    assert_eq!(error["code"], code);
    let message = error["message"].as_str().unwrap();
    for part in says {
        assert!(message.contains(part), "{part:?} is missing from {message:?}");
    }
    assert!(!message.contains("cuda"), "{message:?} shows what is inside");
}

#[tokio::test]
async fn what_the_chat_template_refuses_is_the_clients_to_mend() {
    let first = json!({"messages": [{"role": "assistant", "content": "Hi"}]});
    let response = App::new().chat(&chat_with("tiny", &first)).await;
    let error = error(response, StatusCode::BAD_REQUEST).await;
    assert_eq!(error["param"], "messages");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("the assistant cannot speak first"), "{message}");
}

#[rstest]
#[case::fails(&[Step::Text("Hal"), Step::Fail(|| EngineError::Stopped)])]
#[case::ends_without_an_end(&[Step::Text("Hal")])]
#[tokio::test]
async fn a_generation_that_breaks_off_is_no_answer(#[case] steps: &[Step]) {
    let app = App::with_model(ScriptedModel::new(steps));
    let response = app.chat(&chat_with("tiny", &json!({}))).await;
    error(response, StatusCode::SERVICE_UNAVAILABLE).await;
}

#[rstest]
#[case(|| SupportError::Store("/var/secret.db is locked".to_owned()),
       StatusCode::INTERNAL_SERVER_ERROR)]
#[case(|| SupportError::Stage { stage: "triage", reason: "secret".to_owned() },
       StatusCode::INTERNAL_SERVER_ERROR)]
#[case(|| SupportError::NoUserMessage, StatusCode::BAD_REQUEST)]
#[case(|| EngineError::QueueFull { waiting: 3 }.into(), StatusCode::TOO_MANY_REQUESTS)]
#[tokio::test]
async fn what_the_pipeline_fails_at_has_its_status(
    #[case] failure: fn() -> SupportError,
    #[case] status: StatusCode,
) {
    let app = App::with_support(ScriptedSupport::failing(failure));
    let error = error(app.chat(&chat_with("support", &json!({}))).await, status).await;
    assert!(!error.to_string().contains("secret"), "{error}");
}
