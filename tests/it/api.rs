//! The HTTP surface from outside, with a scripted model and a scripted pipeline behind it.

mod actions;
mod answers;
mod errors;
mod guards;
mod load;
mod streams;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header},
};
use serde_json::{Value, json};
use tier0::{
    actions::ConfirmAction,
    api::{AppState, router},
    config::Server,
    engine::FinishReason,
    telemetry::Metrics,
};
use tower::ServiceExt;

use crate::fakes::{NothingProposed, ScriptedModel, ScriptedSupport, Step, denial};

/// A server that was never started: requests go straight into its router.
struct App {
    router: Router,
    model: Arc<ScriptedModel>,
    support: Arc<ScriptedSupport>,
}

impl App {
    fn new() -> Self {
        Self::with(hello(), ScriptedSupport::answering(denial()), Server::default())
    }

    fn with_model(model: ScriptedModel) -> Self {
        let support = ScriptedSupport::answering(denial());
        Self::with(model, support, Server::default())
    }

    fn with_support(support: ScriptedSupport) -> Self {
        Self::with(hello(), support, Server::default())
    }

    fn with_settings(server: Server) -> Self {
        Self::with(hello(), ScriptedSupport::answering(denial()), server)
    }

    fn with_actions(actions: Arc<dyn ConfirmAction>, server: Server) -> Self {
        Self::new_with(hello(), ScriptedSupport::answering(denial()), actions, server)
    }

    fn with(model: ScriptedModel, support: ScriptedSupport, server: Server) -> Self {
        Self::new_with(model, support, Arc::new(NothingProposed), server)
    }

    fn new_with(
        model: ScriptedModel,
        support: ScriptedSupport,
        actions: Arc<dyn ConfirmAction>,
        server: Server,
    ) -> Self {
        let (model, support) = (Arc::new(model), Arc::new(support));
        let router = router(state(Arc::clone(&model), Arc::clone(&support), actions, server));
        Self { router, model, support }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> Response<Body> {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Response<Body> {
        self.send(json_request(path, body.to_string())).await
    }

    async fn chat(&self, body: &Value) -> Response<Body> {
        self.post("/v1/chat/completions", body).await
    }
}

fn state(
    model: Arc<ScriptedModel>,
    support: Arc<ScriptedSupport>,
    actions: Arc<dyn ConfirmAction>,
    server: Server,
) -> AppState {
    AppState::new(vec![model], support, actions, Arc::new(Metrics::new()), server)
}

/// A model that says "Hé 👋 you".
fn hello() -> ScriptedModel {
    ScriptedModel::new(&[
        Step::Text("Hé "),
        Step::Text("👋"),
        Step::Text(" you"),
        Step::End(FinishReason::Stop),
    ])
}

fn json_request(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}

/// A chat request with `fields` added or replaced.
fn chat_with(model: &str, fields: &Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn text_of(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_str(&text_of(response).await).unwrap()
}

/// Checks the status and takes the error object out.
async fn error(response: Response<Body>, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    let content_type = &response.headers()[header::CONTENT_TYPE];
    assert_eq!(content_type, "application/json");
    let mut body = json_of(response).await;
    let error = body["error"].take();
    for key in ["message", "type", "param", "code"] {
        assert!(error.get(key).is_some(), "{key} is missing from {error}");
    }
    error
}

/// The `data:` lines of a stream, without the closing `[DONE]`, which must be there.
async fn chunks(response: Response<Body>) -> Vec<Value> {
    assert_eq!(response.status(), StatusCode::OK);
    let content_type = &response.headers()[header::CONTENT_TYPE];
    assert_eq!(content_type, "text/event-stream");
    let text = text_of(response).await;
    let mut data: Vec<_> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    assert_eq!(data.pop(), Some("[DONE]"));
    data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn content_of(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}
