//! `POST /v1/completions`: plain text continued by a language model.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::Value;

use super::{
    AppState, SUPPORT_MODEL,
    body::{JsonBody, required},
    error::ApiError,
    generation::{self, Prompt},
    logprobs,
    openai::{CompletionRequest, TextChoice},
    params::Params,
};

/// Handles `POST /v1/completions`.
pub(super) async fn create(State(state): State<Arc<AppState>>, body: JsonBody) -> Result<Response, ApiError> {
    let request: CompletionRequest = body.read()?;
    refuse_unsupported(&request)?;
    let model = required("model", request.model)?;
    let prompt = one_string(required("prompt", request.prompt)?)?;
    let n_logprobs = logprobs::n_text_logprobs(request.logprobs)?;
    let params = Params { n_logprobs, ..Params::read(&body)? };
    if model == SUPPORT_MODEL {
        let message = "the model \"support\" answers at /v1/chat/completions only";
        return Err(ApiError::invalid_param("model", message));
    }
    let model = state.model(&model)?;
    generation::answer::<TextChoice, TextChoice>(state, model, Prompt::Text(prompt), params).await
}

fn one_string(prompt: Value) -> Result<String, ApiError> {
    match prompt {
        Value::String(text) => Ok(text),
        _ => Err(ApiError::unsupported(
            "prompt",
            "`prompt` must be one string; lists and token numbers are not supported",
        )),
    }
}

fn refuse_unsupported(request: &CompletionRequest) -> Result<(), ApiError> {
    let refusals = [
        ("echo", request.echo == Some(true)),
        ("suffix", request.suffix.as_ref().is_some_and(|s| !s.is_empty())),
        ("best_of", request.best_of.is_some_and(|n| n != 1)),
    ];
    match refusals.iter().find(|(_, asked)| *asked) {
        Some((param, _)) => {
            Err(ApiError::unsupported(param, format!("`{param}` is not supported; leave it out")))
        }
        None => Ok(()),
    }
}
