//! The token path that chat and text completions share: submit, then collect or stream.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};

use super::{
    AppState,
    error::ApiError,
    logprobs::LogprobLog,
    metrics,
    openai::{Completion, Head, StreamedChoice, WholeChoice},
    params::Params,
    sse::{self, Chunks, Ending},
};
use crate::engine::{EngineError, Event, EventStream, Generate, Request};
use crate::model::{TokenId, chat::Message};

/// The text that the model continues.
pub(super) enum Prompt {
    /// A conversation, for the model's chat template.
    Chat(Vec<Message>),
    /// Plain text, without a template.
    Text(String),
}

impl Prompt {
    fn tokens(&self, model: &dyn Generate) -> Result<Vec<TokenId>, EngineError> {
        match self {
            Self::Chat(messages) => model.chat_prompt(messages),
            Self::Text(text) => model.text_prompt(text),
        }
    }
}

/// Generates from `prompt` and answers as `params` say: whole choices `W`, or streamed ones `S`.
///
/// # Errors
/// The engine's error when it refuses the prompt.
pub(super) async fn answer<W: WholeChoice, S: StreamedChoice>(
    state: Arc<AppState>,
    model: Arc<dyn Generate>,
    prompt: Prompt,
    params: Params,
) -> Result<Response, ApiError> {
    let name = model.info().id.clone();
    let include_usage = params.include_usage;
    let stream = params.stream;
    let log = LogprobLog::new(params.n_logprobs.is_some());
    let events = submit(model, prompt, params).await?;
    if stream {
        let chunks = Chunks::<S>::new(&name, include_usage);
        return Ok(streamed(state, name, events, log, chunks));
    }
    whole::<W>(&state, &name, events, log).await
}

/// Submits the prompt. Tokenising a long prompt would hold up other requests, so it runs on its own thread.
async fn submit(model: Arc<dyn Generate>, prompt: Prompt, params: Params) -> Result<EventStream, ApiError> {
    let submitted = tokio::task::spawn_blocking(move || {
        model.submit(Request {
            sampling: params.sampling,
            max_tokens: params.max_tokens,
            stop: params.stop,
            stop_tokens: params.stop_tokens,
            grammar: params.grammar,
            n_logprobs: params.n_logprobs,
            ..Request::new(prompt.tokens(model.as_ref())?)
        })
    });
    let events = submitted.await.map_err(|error| ApiError::internal(&error))?;
    Ok(events?)
}

async fn whole<C: WholeChoice>(
    state: &AppState,
    model: &str,
    events: EventStream,
    mut log: LogprobLog,
) -> Result<Response, ApiError> {
    let mut text = String::new();
    let mut events = std::pin::pin!(until_end(events));
    while let Some(event) = events.next().await {
        match event? {
            Event::Text(piece) => text.push_str(&piece),
            Event::Logprob(token) => log.push(token),
            Event::Finished { reason, usage } => {
                metrics::count_tokens(&state.metrics, model, usage);
                let completion = Completion {
                    head: Head::new::<C>(model),
                    choices: vec![C::whole(text, log.take(), reason)],
                    usage: Some(Some(usage.into())),
                    support: None,
                };
                return Ok(Json(completion).into_response());
            }
        }
    }
    Err(EngineError::Stopped.into())
}

fn streamed<C: StreamedChoice>(
    state: Arc<AppState>,
    model: String,
    events: EventStream,
    mut log: LogprobLog,
    chunks: Chunks<C>,
) -> Response {
    let keep_alive = state.keep_alive();
    let opening = stream::iter(chunks.opening());
    let rest = until_end(events).flat_map(move |event| {
        stream::iter(match event {
            Ok(Event::Text(piece)) => vec![chunks.piece(piece, log.take())],
            Ok(Event::Logprob(token)) => {
                log.push(token);
                vec![]
            }
            Ok(Event::Finished { reason, usage }) => {
                metrics::count_tokens(&state.metrics, &model, usage);
                chunks.end(Ending { reason, tokens: log.take(), usage, support: None })
            }
            Err(error) => vec![sse::error(&error.into())],
        })
    });
    sse::respond(opening.chain(rest), keep_alive)
}

/// `events` up to and including the first end or error. A stream that stops without either means that
/// the engine has stopped.
fn until_end(events: EventStream) -> impl Stream<Item = Result<Event, EngineError>> + Send {
    stream::unfold(Some(events), |events| async {
        let mut events = events?;
        match events.next().await {
            Some(Ok(event @ (Event::Text(_) | Event::Logprob(_)))) => Some((Ok(event), Some(events))),
            Some(end) => Some((end, None)),
            None => Some((Err(EngineError::Stopped), None)),
        }
    })
}
