//! Answers as server-sent events: `data:` lines of chunks, then `[DONE]`.
//!
//! The events are made while the client reads. When the client leaves, the server drops the
//! stream, and with it the generation behind it.

use std::{convert::Infallible, marker::PhantomData, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;

use super::{
    error::ApiError,
    logprobs::TokenRun,
    openai::{Completion, Head, StreamedChoice},
};
use crate::engine::{FinishReason, Usage};
use crate::support::Report;

/// Answers with `events` and a closing `[DONE]`; comments keep the connection open whenever
/// nothing was sent for `keep_alive`.
pub(super) fn respond(events: impl Stream<Item = Event> + Send + 'static, keep_alive: Duration) -> Response {
    let done = stream::once(async { Event::default().data("[DONE]") });
    let events = events.chain(done).map(Ok::<_, Infallible>);
    let comments = KeepAlive::new().interval(keep_alive).text("working");
    // Proxies that collect an answer before they pass it on would defeat the streaming.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    ([unbuffered], Sse::new(events).keep_alive(comments)).into_response()
}

/// An event for a failure after the answer's head has gone out.
pub(super) fn error(error: &ApiError) -> Event {
    data(&error.body())
}

fn data(object: &impl Serialize) -> Event {
    Event::default().json_data(object).unwrap_or_else(|error| {
        tracing::error!(%error, "an event cannot be written as JSON");
        Event::default().comment("an event was lost")
    })
}

/// What comes behind the text of an answer.
pub(super) struct Ending {
    pub(super) reason: FinishReason,
    /// Tokens that no piece of the text had.
    pub(super) tokens: Option<TokenRun>,
    pub(super) usage: Usage,
    pub(super) support: Option<Report>,
}

/// Makes the chunks of one streamed answer.
pub(super) struct Chunks<C> {
    head: Head,
    include_usage: bool,
    choice: PhantomData<fn() -> C>,
}

impl<C: StreamedChoice> Chunks<C> {
    /// The chunks of a new answer of `model`.
    pub(super) fn new(model: &str, include_usage: bool) -> Self {
        Self { head: Head::new::<C>(model), include_usage, choice: PhantomData }
    }

    /// What comes before the text, if anything does.
    pub(super) fn opening(&self) -> Option<Event> {
        C::opening().map(|choice| data(&self.chunk(choice)))
    }

    /// The next piece of the text.
    pub(super) fn piece(&self, text: impl Into<String>, tokens: Option<TokenRun>) -> Event {
        data(&self.chunk(C::piece(text.into(), tokens)))
    }

    /// The last chunks of an answer. `support` is in the very last one.
    pub(super) fn end(&self, end: Ending) -> Vec<Event> {
        let Ending { reason, tokens, usage, support } = end;
        let end = self.chunk(C::end(reason, tokens));
        if !self.include_usage {
            return vec![data(&Completion { support, ..end })];
        }
        let counts = Completion::<C> {
            head: self.head.clone(),
            choices: Vec::new(),
            usage: Some(Some(usage.into())),
            support,
        };
        vec![data(&end), data(&counts)]
    }

    /// With the counts asked for, every other chunk holds them as null, as OpenAI's do.
    fn chunk(&self, choice: C) -> Completion<C> {
        Completion {
            head: self.head.clone(),
            choices: vec![choice],
            usage: self.include_usage.then_some(None),
            support: None,
        }
    }
}
