//! `GET /metrics`, and the counters of the other handlers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{AppState, error::ApiError};
use crate::actions::{ActionError, Confirmed, NotDone};
use crate::engine::Usage;
use crate::support::Report;
use crate::telemetry::{ActionLabels, HttpLabels, Metrics, TicketLabels};

/// The page that Prometheus reads.
pub(super) async fn page(State(state): State<Arc<AppState>>) -> Result<Response, ApiError> {
    let page = state.metrics.render();
    let page = page.map_err(|error| ApiError::internal(&error))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], page).into_response())
}

/// Middleware: counts every request once its answer begins.
pub(super) async fn count_request(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = route(&request).to_owned();
    let method = method_name(request.method());
    let response = next.run(request).await;
    let labels = HttpLabels { route, method, status: response.status().as_u16() };
    metrics.http_request(&labels, started.elapsed());
    response
}

/// The pattern of the route, so that unknown paths do not each become a time series.
pub(super) fn route(request: &Request) -> &str {
    request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str)
}

/// Name of a method. Methods that clients invent share one name.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Counts the tokens of a generation.
pub(super) fn count_tokens(metrics: &Metrics, model: &str, usage: Usage) {
    metrics.tokens(model, "prompt", usage.prompt_tokens);
    metrics.tokens(model, "cached", usage.cached_tokens);
    metrics.tokens(model, "completion", usage.completion_tokens);
}

/// Counts an answered ticket and the time of its stages.
pub(super) fn count_ticket(metrics: &Metrics, report: &Report) {
    metrics.ticket(&TicketLabels {
        decision: wire_name(&report.decision),
        outcome: wire_name(&report.outcome),
        written_by: wire_name(&report.written_by),
    });
    for (stage, &took_ms) in &report.timings_ms {
        metrics.stage(stage, Duration::from_millis(took_ms));
    }
}

/// Counts a confirmation. A token without a valid signature has no action name to count.
pub(super) fn count_action(metrics: &Metrics, outcome: &Result<Confirmed, ActionError>) {
    let (name, state) = match outcome {
        Ok(confirmed) if confirmed.already_confirmed => (&confirmed.name, "repeated"),
        Ok(confirmed) => (&confirmed.name, "done"),
        Err(ActionError::NotDone { name, reason: NotDone::HookFailed { .. } | NotDone::Store(_) }) => {
            (name, "failed")
        }
        Err(ActionError::NotDone { name, .. }) => (name, "refused"),
        Err(ActionError::UnknownToken | ActionError::Unsigned { .. }) => return,
    };
    metrics.action(&ActionLabels { name: name.clone(), state });
}

/// The name of a plain enum in the API's JSON, so that metrics, answers and `tier0 ask` agree.
pub(crate) fn wire_name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}
