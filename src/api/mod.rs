//! The HTTP surface: OpenAI-compatible endpoints, errors, streaming, metrics.
//!
//! Place in the path: the top. A ticket goes `chat` → `support` → [`AnswerTicket`]; a conversation with
//! a language model goes `chat` (or `completions`) → `generation` → [`Generate`]; a customer's
//! confirmation of an action goes `actions` → [`ConfirmAction`]. `body`, `messages` and `params` read and
//! check requests, `openai` and `sse` shape the answers, and `error` maps the other rooms' errors to
//! HTTP statuses.

mod actions;
mod auth;
mod body;
mod chat;
mod completions;
mod error;
mod generation;
mod grammar;
mod logprobs;
mod messages;
mod metrics;
mod models;
mod observer;
mod openai;
mod params;
mod sse;
mod support;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, Method, StatusCode, header},
    middleware,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};
use tower_http::{
    cors::{AllowOrigin, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::{DefaultOnResponse, TraceLayer},
};

pub(crate) use metrics::wire_name;
pub use observer::EngineObserver;

use self::{auth::Keys, error::ApiError};
use crate::actions::ConfirmAction;
use crate::config::Server;
use crate::engine::Generate;
use crate::support::AnswerTicket;
use crate::telemetry::Metrics;

/// The model name that answers tickets; every other model name is a language model's.
pub const SUPPORT_MODEL: &str = "support";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The state that the handlers share.
pub struct AppState {
    models: BTreeMap<String, Arc<dyn Generate>>,
    support: Arc<dyn AnswerTicket>,
    actions: Arc<dyn ConfirmAction>,
    metrics: Arc<Metrics>,
    server: Server,
    started: i64,
}

impl AppState {
    /// Serves the language `models` under their own ids and `support` as [`SUPPORT_MODEL`]; `actions`
    /// confirms the actions that its replies propose.
    #[must_use]
    pub fn new(
        models: Vec<Arc<dyn Generate>>,
        support: Arc<dyn AnswerTicket>,
        actions: Arc<dyn ConfirmAction>,
        metrics: Arc<Metrics>,
        server: Server,
    ) -> Self {
        let named = |model: Arc<dyn Generate>| (model.info().id.clone(), model);
        Self {
            models: models.into_iter().map(named).collect(),
            support,
            actions,
            metrics,
            server,
            started: chrono::Utc::now().timestamp(),
        }
    }

    fn model_names(&self) -> Vec<&str> {
        let models = self.models.keys().map(String::as_str);
        std::iter::once(SUPPORT_MODEL).chain(models).collect()
    }

    fn model(&self, name: &str) -> Result<Arc<dyn Generate>, ApiError> {
        let model = self.models.get(name).map(Arc::clone);
        model.ok_or_else(|| ApiError::unknown_model(name, &self.model_names()))
    }

    fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.server.keep_alive_s)
    }
}

/// All routes, with the middleware for request ids, log spans, metrics, limits and keys.
pub fn router(state: AppState) -> Router {
    let state = Arc::new(state);
    let server = &state.server;
    let keys = Arc::new(Keys::new(&server.api_keys));
    let with_key = middleware::from_fn_with_state(keys, auth::require_key);

    let metrics_route = Router::new().route("/metrics", get(metrics::page));
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/actions/{token}/confirm", post(actions::confirm))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::get));
    let open = Router::new().route("/health", get(health));
    let (guarded, open) = if server.metrics_open {
        (guarded, open.merge(metrics_route))
    } else {
        (guarded.merge(metrics_route), open)
    };

    let router = guarded
        .route_layer(with_key)
        .merge(open)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(server.max_body_bytes));
    with_middleware(with_cors(router, &server.cors_origins), &state.metrics).with_state(state)
}

/// Adds the middleware: request ids outermost, so that spans and answers have them, then log spans, then
/// metrics.
fn with_middleware(router: Router<Arc<AppState>>, metrics: &Arc<Metrics>) -> Router<Arc<AppState>> {
    let count = middleware::from_fn_with_state(Arc::clone(metrics), metrics::count_request);
    let spans = TraceLayer::new_for_http()
        .make_span_with(request_span)
        .on_response(DefaultOnResponse::new().level(tracing::Level::INFO));
    router
        .layer(count)
        .layer(spans)
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
}

/// Serves `listener` until `shutdown` resolves. Running requests then have `server.shutdown_grace_s`
/// seconds to end.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let grace = Duration::from_secs(state.server.shutdown_grace_s);
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(async move {
        shutdown.await;
        tracing::info!("no new requests are taken; the running ones end");
        // The receiver is gone only when the server has already ended.
        let _ = stopping.send(());
    });
    let grace_elapsed = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(grace).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = grace_elapsed => {
            tracing::warn!(grace_s = grace.as_secs(), "requests still running are cut off");
            Ok(())
        }
    }
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn unknown_route() -> ApiError {
    let message = "there is no such route; see /v1/models, /v1/chat/completions, /v1/completions";
    ApiError::refused(StatusCode::NOT_FOUND, message).with_code("unknown_route")
}

async fn wrong_method(method: Method) -> ApiError {
    let message = format!("the method {method} is not allowed here; see the header \"allow\"");
    ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, message).with_code("method_not_allowed")
}

/// The log span of a request. It has ids only: path and headers could carry a customer's words into the
/// log.
fn request_span(request: &Request) -> tracing::Span {
    let id = request.headers().get(REQUEST_ID);
    tracing::info_span!(
        "request",
        id = id.and_then(|id| id.to_str().ok()),
        method = %request.method(),
        route = metrics::route(request),
    )
}

/// Adds CORS headers for these origins. Without origins there are none, and browsers refuse other sites'
/// pages.
fn with_cors(router: Router<Arc<AppState>>, origins: &[String]) -> Router<Arc<AppState>> {
    if origins.is_empty() {
        return router;
    }
    let origins = origins.to_vec();
    let listed = AllowOrigin::predicate(move |origin, _| {
        let is = |listed: &String| listed == "*" || listed.as_bytes() == origin.as_bytes();
        origins.iter().any(is)
    });
    router.layer(
        CorsLayer::new()
            .allow_origin(listed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, REQUEST_ID])
            .expose_headers([REQUEST_ID]),
    )
}
