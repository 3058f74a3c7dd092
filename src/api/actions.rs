//! `POST /v1/actions/{token}/confirm`: a customer confirms the action that a reply proposed.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tier0_store::{ActionId, EmailAddress};
use tracing::Instrument;

use super::{AppState, body::JsonBody, error::ApiError, metrics};
use crate::actions::{ActionError, Confirmed};

/// The optional body of a confirmation.
#[derive(Debug, Default, Deserialize)]
struct ConfirmRequest {
    customer_email: Option<String>,
}

/// An action that has been carried out.
#[derive(Debug, Serialize)]
pub(super) struct ActionAnswer {
    id: ActionId,
    object: &'static str,
    name: String,
    arguments: Map<String, Value>,
    state: &'static str,
    already_confirmed: bool,
    result: Value,
}

impl From<Confirmed> for ActionAnswer {
    fn from(confirmed: Confirmed) -> Self {
        let Confirmed { id, name, arguments, already_confirmed, result } = confirmed;
        Self { id, object: "action", name, arguments, state: "done", already_confirmed, result }
    }
}

/// Carries out the action that the token proposes, or returns the result of an earlier confirmation.
pub(super) async fn confirm(
    State(state): State<Arc<AppState>>,
    token: Result<Path<String>, PathRejection>,
    body: Option<JsonBody>,
) -> Result<Json<ActionAnswer>, ApiError> {
    let Path(token) = token.map_err(|_| ActionError::UnknownToken)?;
    let request: ConfirmRequest = body.map(|body| body.read()).transpose()?.unwrap_or_default();
    let email = request.customer_email.map(|text| email(&text)).transpose()?;
    // In a task of its own, so that the action is finished even if the client disconnects.
    let confirming = async move {
        let outcome = state.actions.confirm(&token, email.as_ref()).await;
        metrics::count_action(&state.metrics, &outcome);
        outcome
    };
    let confirming = tokio::spawn(confirming.in_current_span());
    let confirmed = confirming.await.map_err(|error| ApiError::internal(&error))??;
    Ok(Json(confirmed.into()))
}

fn email(text: &str) -> Result<EmailAddress, ApiError> {
    EmailAddress::parse(text)
        .map_err(|error| ApiError::invalid_param("customer_email", format!("`customer_email`: {error}")))
}
