//! Answers as server-sent events: `data:` lines of chunks, then `[DONE]`.
//!
//! The events are made while the client reads. When the client disconnects, the server drops the stream,
//! which cancels the generation behind it.

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

/// Answers with `events` and a closing `[DONE]`. After each silence of `keep_alive`, a comment keeps the
/// connection open.
pub(super) fn respond(events: impl Stream<Item = Event> + Send + 'static, keep_alive: Duration) -> Response {
    let done = stream::once(async { Event::default().data("[DONE]") });
    let events = events.chain(done).map(Ok::<_, Infallible>);
    let comments = KeepAlive::new().interval(keep_alive).text("working");
    // Keeps proxies from buffering the answer, which would defeat the streaming.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    ([unbuffered], Sse::new(events).keep_alive(comments)).into_response()
}

/// An error event, for a failure after the answer's head was sent.
pub(super) fn error(error: &ApiError) -> Event {
    data(&error.body())
}

fn data(object: &impl Serialize) -> Event {
    Event::default().json_data(object).unwrap_or_else(|error| {
        tracing::error!(%error, "an event cannot be written as JSON");
        Event::default().comment("an event was lost")
    })
}

/// The end of an answer, after its text.
pub(super) struct Ending {
    pub(super) reason: FinishReason,
    /// Tokens that were not sent with any piece of the text.
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

    /// The chunk before the text, if there is one.
    pub(super) fn opening(&self) -> Option<Event> {
        C::opening().map(|choice| data(&self.chunk(choice)))
    }

    /// The next piece of the text.
    pub(super) fn piece(&self, text: impl Into<String>, tokens: Option<TokenRun>) -> Event {
        data(&self.chunk(C::piece(text.into(), tokens)))
    }

    /// The last chunks of an answer. The very last one contains `support`.
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

    /// A chunk with one choice. If token counts are requested, it has them as null, as OpenAI's chunks do.
    fn chunk(&self, choice: C) -> Completion<C> {
        Completion {
            head: self.head.clone(),
            choices: vec![choice],
            usage: self.include_usage.then_some(None),
            support: None,
        }
    }
}
