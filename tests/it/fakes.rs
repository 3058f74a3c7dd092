//! A language model and a pipeline that do what a test tells them to, and actions of which none has
//! been proposed.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use tier0::{
    actions::{ActionError, ConfirmAction, Confirmed},
    engine::{
        EngineError, Event, EventStream, FinishReason, Generate, ModelInfo, Request, TokenLogprob, Usage,
    },
    model::{
        TokenId,
        chat::{Message, Role},
    },
    support::{
        Answer, AnswerTicket, Citation, Decision, Handoff, IntentScore, Outcome, Report, SupportError,
        Ticket, Trace, WrittenBy,
    },
};
use tier0_store::EmailAddress;
use tokio::sync::mpsc;

/// What the scripted model does next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Yields text.
    Text(&'static str),
    /// Tells a token's bytes and log-probability, with one alternative to it.
    Token(&'static [u8], f32),
    /// Ends.
    End(FinishReason),
    /// Fails.
    Fail(fn() -> EngineError),
    /// Never yields again.
    Hang,
}

/// What became of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The model was asked for it.
    Submitted,
    /// Nobody reads it any more.
    Dropped,
}

/// A model that plays a script for every request.
pub(crate) struct ScriptedModel {
    info: ModelInfo,
    script: Vec<Step>,
    refusal: Option<fn() -> EngineError>,
    requests: Mutex<Vec<Request>>,
    conversations: Mutex<Vec<Vec<Message>>>,
    told: Option<mpsc::UnboundedSender<Told>>,
}

pub(crate) const USAGE: Usage = Usage { prompt_tokens: 11, completion_tokens: 4, cached_tokens: 8 };

impl ScriptedModel {
    pub(crate) fn new(script: &[Step]) -> Self {
        Self {
            info: ModelInfo { id: "tiny".to_owned(), context_length: 64 },
            script: script.to_vec(),
            refusal: None,
            requests: Mutex::default(),
            conversations: Mutex::default(),
            told: None,
        }
    }

    /// A model that refuses every request.
    pub(crate) fn refusing(refusal: fn() -> EngineError) -> Self {
        Self { refusal: Some(refusal), ..Self::new(&[]) }
    }

    /// Tells when a generation begins and when it is dropped.
    pub(crate) fn telling(self, told: mpsc::UnboundedSender<Told>) -> Self {
        Self { told: Some(told), ..self }
    }

    fn tell(&self, what: Told) {
        if let Some(told) = &self.told {
            told.send(what).unwrap();
        }
    }

    pub(crate) fn last_request(&self) -> Request {
        self.requests.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn last_conversation(&self) -> Vec<Message> {
        self.conversations.lock().unwrap().last().unwrap().clone()
    }
}

impl Generate for ScriptedModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<TokenId>, EngineError> {
        self.conversations.lock().unwrap().push(messages.to_vec());
        if messages[0].role == Role::Assistant {
            let reason = "the assistant cannot speak first".to_owned();
            return Err(EngineError::Template { reason });
        }
        self.text_prompt(&messages[0].content)
    }

    fn text_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        Ok(text.chars().map(|c| TokenId(c.into())).collect())
    }

    fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal());
        }
        self.requests.lock().unwrap().push(request);
        self.tell(Told::Submitted);
        let events = stream::iter(self.script.clone()).then(|step| async move {
            match step {
                Step::Text(text) => Ok(Event::Text(text.to_owned())),
                Step::Token(bytes, logprob) => {
                    let top = vec![(b"other".to_vec(), logprob - 1.0)];
                    Ok(Event::Logprob(TokenLogprob { bytes: bytes.to_vec(), logprob, top }))
                }
                Step::End(reason) => Ok(Event::Finished { reason, usage: USAGE }),
                Step::Fail(error) => Err(error()),
                Step::Hang => std::future::pending().await,
            }
        });
        Ok(Box::pin(TellingDrop { events: Box::pin(events), told: self.told.clone() }))
    }
}

struct TellingDrop {
    events: EventStream,
    told: Option<mpsc::UnboundedSender<Told>>,
}

impl Stream for TellingDrop {
    type Item = Result<Event, EngineError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(cx)
    }
}

impl Drop for TellingDrop {
    fn drop(&mut self) {
        if let Some(told) = &self.told {
            // The test may have ended before the server drops its last stream.
            let _ = told.send(Told::Dropped);
        }
    }
}

/// A pipeline that gives every ticket the same answer, or fails.
pub(crate) struct ScriptedSupport {
    outcome: Result<Answer, fn() -> SupportError>,
    takes: Duration,
    tickets: Mutex<Vec<Ticket>>,
}

impl ScriptedSupport {
    pub(crate) fn answering(answer: Answer) -> Self {
        Self { outcome: Ok(answer), takes: Duration::ZERO, tickets: Mutex::default() }
    }

    pub(crate) fn failing(error: fn() -> SupportError) -> Self {
        Self { outcome: Err(error), ..Self::answering(escalation()) }
    }

    pub(crate) fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    pub(crate) fn last_ticket(&self) -> Ticket {
        self.tickets.lock().unwrap().last().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl AnswerTicket for ScriptedSupport {
    async fn answer(&self, ticket: &Ticket) -> Result<Answer, SupportError> {
        self.tickets.lock().unwrap().push(ticket.clone());
        tokio::time::sleep(self.takes).await;
        match &self.outcome {
            Ok(answer) => Ok(answer.clone()),
            Err(error) => Err(error()),
        }
    }
}

/// Knows no token.
pub(crate) struct NothingProposed;

#[async_trait::async_trait]
impl ConfirmAction for NothingProposed {
    async fn confirm(&self, _: &str, _: Option<&EmailAddress>) -> Result<Confirmed, ActionError> {
        Err(ActionError::UnknownToken)
    }
}

/// An answer that denies a request, with a citation, in words of several scripts.
pub(crate) fn denial() -> Answer {
    Answer {
        content: "Grüße! Your order  #W1 has shipped,\nso it can’t be cancelled 🚚.".to_owned(),
        report: Report {
            decision: Decision::Reply,
            outcome: Outcome::Deny,
            intents: vec![IntentScore { label: "cancel_order".to_owned(), confidence: 0.5 }],
            order_ids: vec!["#W1".to_owned()],
            citations: vec![Citation {
                id: "cancelling#shipped".to_owned(),
                title: "Shipped orders".to_owned(),
                quote: "A shipped order cannot be cancelled.".to_owned(),
            }],
            action: None,
            handoff: None,
            confidence: 0.75,
            written_by: WrittenBy::Model,
            timings_ms: BTreeMap::from([("triage".to_owned(), 4), ("compose".to_owned(), 2100)]),
            explain: Trace::default(),
        },
        usage: USAGE,
    }
}

/// An answer that hands the ticket to a person.
pub(crate) fn escalation() -> Answer {
    let denial = denial();
    Answer {
        content: "A colleague will take over.".to_owned(),
        report: Report {
            decision: Decision::Escalate,
            outcome: Outcome::Escalate,
            handoff: Some(Handoff {
                reason: "a complaint".to_owned(),
                summary: "The parcel came broken.".to_owned(),
                draft: None,
            }),
            written_by: WrittenBy::Template,
            ..denial.report
        },
        usage: Usage::default(),
    }
}
