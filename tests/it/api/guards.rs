//! What stands around every route: keys, origins, request ids and counts.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use rstest::rstest;
use serde_json::json;
use tier0::config::{ApiKey, Server};

use super::{App, chat_with, error, text_of};

fn with_keys(metrics_open: bool) -> App {
    App::with_settings(Server {
        api_keys: vec![ApiKey::new("key-one"), ApiKey::new("key-two")],
        metrics_open,
        ..Server::default()
    })
}

fn get(path: &str, authorization: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path);
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Body::empty()).unwrap()
}

#[rstest]
#[case(None)]
#[case(Some("Bearer key-three"))]
#[case(Some("Bearer key-on"))]
#[case(Some("Bearer "))]
#[case(Some("Basic key-one"))]
#[case(Some("key-one"))]
#[tokio::test]
async fn without_a_key_nothing_is_answered(
    #[case] authorization: Option<&str>,
    #[values("/v1/models", "/v1/models/tiny", "/metrics")] path: &str,
) {
    let response = with_keys(false).send(get(path, authorization)).await;
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let error = error(response, StatusCode::UNAUTHORIZED).await;
    assert_eq!(error["code"], "invalid_api_key");
}

#[tokio::test]
async fn a_request_without_a_key_never_reaches_the_pipeline() {
    let app = with_keys(false);
    let response = app.chat(&chat_with("support", &json!({}))).await;
    error(response, StatusCode::UNAUTHORIZED).await;
    let page = text_of(app.send(get("/metrics", Some("Bearer key-one"))).await).await;
    assert!(!page.contains("tier0_tickets_total{"), "{page}");
}

#[rstest]
#[case("Bearer key-one")]
#[case("Bearer key-two")]
#[case("bearer key-two")]
#[tokio::test]
async fn each_key_lets_in(#[case] authorization: &str) {
    let app = with_keys(false);
    for path in ["/v1/models", "/metrics"] {
        let response = app.send(get(path, Some(authorization))).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
}

#[rstest]
#[case(false, StatusCode::UNAUTHORIZED)]
#[case(true, StatusCode::OK)]
#[tokio::test]
async fn health_is_open_and_metrics_only_when_configured(
    #[case] metrics_open: bool,
    #[case] metrics: StatusCode,
) {
    let app = with_keys(metrics_open);
    assert_eq!(app.get("/health").await.status(), StatusCode::OK);
    assert_eq!(app.get("/metrics").await.status(), metrics);
}

fn preflight(origin: &str) -> Request<Body> {
    Request::options("/v1/chat/completions")
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .body(Body::empty())
        .unwrap()
}

#[rstest]
#[case(&[], None)]
#[case(&["https://a.example"], Some("https://a.example"))]
#[case(&["https://b.example"], None)]
#[case(&["*"], Some("https://a.example"))]
#[tokio::test]
async fn pages_of_configured_origins_may_call(#[case] origins: &[&str], #[case] allowed: Option<&str>) {
    let app = App::with_settings(Server {
        cors_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        api_keys: vec![ApiKey::new("a-preflight-carries-no-key")],
        ..Server::default()
    });
    let response = app.send(preflight("https://a.example")).await;
    let header = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    assert_eq!(header.map(|value| value.to_str().unwrap()), allowed);
}

#[tokio::test]
async fn an_answer_carries_the_requests_id_or_a_new_one() {
    let app = App::new();
    let with_id =
        Request::get("/health").header("x-request-id", "from-the-helpdesk").body(Body::empty()).unwrap();
    let response = app.send(with_id).await;
    assert_eq!(response.headers()["x-request-id"], "from-the-helpdesk");

    for path in ["/health", "/nowhere"] {
        let first = app.get(path).await.headers()["x-request-id"].clone();
        let second = app.get(path).await.headers()["x-request-id"].clone();
        assert_ne!(first, second);
    }
}

#[tokio::test]
async fn requests_tickets_stages_and_tokens_are_counted() {
    let app = App::new();
    app.chat(&chat_with("support", &json!({}))).await;
    app.chat(&chat_with("tiny", &json!({}))).await;
    text_of(app.chat(&chat_with("tiny", &json!({"stream": true}))).await).await;
    app.chat(&chat_with("tiny", &json!({"n": 2}))).await;
    app.get("/somebodys-name").await;
    app.get("/v1/models/tiny").await;

    let response = app.get("/metrics").await;
    let content_type = response.headers()[header::CONTENT_TYPE].clone();
    assert!(content_type.to_str().unwrap().contains("openmetrics-text"));
    let page = text_of(response).await;
    let chat = r#"route="/v1/chat/completions",method="POST""#;
    for line in [
        format!(r#"tier0_http_requests_total{{{chat},status="200"}} 3"#),
        format!(r#"tier0_http_requests_total{{{chat},status="400"}} 1"#),
        r#"tier0_http_requests_total{route="unmatched",method="GET",status="404"} 1"#.into(),
        r#"tier0_http_requests_total{route="/v1/models/{*id}",method="GET",status="200"} 1"#.into(),
        r#"tier0_http_request_duration_seconds_count{route="/v1/chat/completions"} 4"#.into(),
        r#"tier0_tickets_total{decision="reply",outcome="deny",written_by="model"} 1"#.into(),
        r#"tier0_stage_seconds_sum{stage="compose"} 2.1"#.into(),
        r#"tier0_tokens_total{model="support",kind="completion"} 4"#.into(),
        r#"tier0_tokens_total{model="tiny",kind="prompt"} 22"#.into(),
        r#"tier0_tokens_total{model="tiny",kind="cached"} 16"#.into(),
        "tier0_build_info{version=".to_owned(),
    ] {
        assert!(page.contains(&line), "{line} is missing from:\n{page}");
    }
    assert!(!page.contains("somebody"), "{page}");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_knows_a_request_by_its_id_and_never_by_its_words() {
    // For the whole process: what a log line's place is worth is remembered across threads, so
    // a subscriber of this thread alone would miss lines while other tests run.
    let buffer = LogBuffer::default();
    let writer = buffer.clone();
    let lines = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(lines).unwrap();

    let app = with_keys(false);
    let body = json!({
        "model": "support",
        "messages": [{"role": "user", "content": "private-words"}],
        "metadata": {"customer_email": "private-address@example.com"},
    });
    for (authorization, body) in [
        ("Bearer key-one", body.to_string()),
        ("Bearer private-guess", body.to_string()),
        ("Bearer key-one", "{\"private-words\"".to_owned()),
    ] {
        let request = Request::post("/v1/chat/completions?private-query=1")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, authorization)
            .header("x-request-id", "id-of-the-helpdesk")
            .body(body.into())
            .unwrap();
        text_of(app.send(request).await).await;
    }

    let log = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    let own = |line: &&str| line.contains("id-of-the-helpdesk") && line.contains("finished");
    let finished: Vec<_> = log.lines().filter(own).collect();
    assert_eq!(finished.len(), 3, "{log}");
    for line in finished {
        assert!(line.contains("route=\"/v1/chat/completions\""), "{line}");
    }
    assert!(!log.contains("private"), "{log}");
    assert!(!log.contains("key-one"), "{log}");
}
