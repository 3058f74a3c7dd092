//! `POST /v1/chat/completions`: tickets to the pipeline, everything else to a language model.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{
    AppState, SUPPORT_MODEL,
    body::{JsonBody, required},
    error::ApiError,
    generation::{self, Prompt},
    logprobs,
    messages::plain_messages,
    openai::{ChatChoice, ChatDelta, ChatRequest},
    params::Params,
    support,
};

/// Handles `POST /v1/chat/completions`.
pub(super) async fn create(State(state): State<Arc<AppState>>, body: JsonBody) -> Result<Response, ApiError> {
    let request: ChatRequest = body.read()?;
    let model = required("model", request.model)?;
    let messages = plain_messages(required("messages", request.messages)?)?;
    let n_logprobs = logprobs::n_chat_logprobs(request.logprobs, request.top_logprobs)?;
    let params = Params { n_logprobs, ..Params::read(&body)? };
    if model == SUPPORT_MODEL {
        let ticket = support::ticket(messages, request.metadata.unwrap_or_default())?;
        return support::answer(state, ticket, &params).await;
    }
    let model = state.model(&model)?;
    generation::answer::<ChatChoice, ChatDelta>(state, model, Prompt::Chat(messages), params).await
}
