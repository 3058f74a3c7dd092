//! `GET /v1/models`: the models that this server serves.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};

use super::{
    AppState,
    error::ApiError,
    openai::{ModelList, ModelObject},
};

/// Handles `GET /v1/models`.
pub(super) async fn list(State(state): State<Arc<AppState>>) -> Json<ModelList> {
    let models = state.model_names().into_iter();
    let objects: Vec<_> = models.map(|name| ModelObject::new(name, state.started)).collect();
    Json(objects.into())
}

/// Handles `GET /v1/models/{id}`.
pub(super) async fn get(
    State(state): State<Arc<AppState>>,
    Path(name): Path<String>,
) -> Result<Json<ModelObject>, ApiError> {
    let served = state.model_names();
    if served.contains(&name.as_str()) {
        Ok(Json(ModelObject::new(&name, state.started)))
    } else {
        Err(ApiError::unknown_model(&name, &served))
    }
}
