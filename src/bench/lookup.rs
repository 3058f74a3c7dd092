//! What guessing ahead gains: the same requests with prompt lookup and without.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    engine::{EngineError, EventStream, Generate, ModelInfo, Request, Speculation, Usage, read_to_end},
    model::{TokenId, chat::Message},
};

/// Passes requests on to a model and remembers those that ask for guessing ahead.
pub struct Recorder<G> {
    model: G,
    recorded: Mutex<Vec<Request>>,
}

impl<G: Generate> Recorder<G> {
    /// A recorder in front of `model`.
    pub fn new(model: G) -> Self {
        Self { model, recorded: Mutex::default() }
    }

    /// What has been asked so far, in order.
    pub fn recorded(&self) -> Vec<Request> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<G: Generate> Generate for Recorder<G> {
    fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<TokenId>, EngineError> {
        self.model.chat_prompt(messages)
    }

    fn text_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        self.model.text_prompt(text)
    }

    fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        if request.speculation != Speculation::Off {
            self.recorded.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        }
        self.model.submit(request)
    }
}

/// What guessing ahead gained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LookupGain {
    /// Requests that were run in both ways, one at a time.
    pub n_replies: usize,
    /// Tokens that were generated in each way.
    pub n_tokens: usize,
    /// Tokens a second one by one.
    pub plain_tps: f64,
    /// Tokens a second with guesses.
    pub lookup_tps: f64,
    /// Replies whose text is not the same in both ways; 0 unless something is broken.
    pub n_different: usize,
}

/// Runs each request in both ways, with its prompt in the prefix cache.
///
/// # Errors
/// When the engine refuses a request or breaks off.
pub async fn lookup_gain(model: &dyn Generate, requests: &[Request]) -> Result<LookupGain, EngineError> {
    let (mut plain_time, mut lookup_time) = (Duration::ZERO, Duration::ZERO);
    let (mut n_tokens, mut n_different) = (0, 0);
    for request in requests {
        let plainly = Request { speculation: Speculation::Off, ..request.clone() };
        timed(model, plainly.clone()).await?;
        let (plain, guessed) = (timed(model, plainly).await?, timed(model, request.clone()).await?);
        plain_time += plain.took;
        lookup_time += guessed.took;
        n_tokens += plain.usage.completion_tokens;
        n_different += usize::from(plain.text != guessed.text || plain.usage != guessed.usage);
    }
    let rate = |time: Duration| if time.is_zero() { 0.0 } else { n_tokens as f64 / time.as_secs_f64() };
    Ok(LookupGain {
        n_replies: requests.len(),
        n_tokens,
        plain_tps: rate(plain_time),
        lookup_tps: rate(lookup_time),
        n_different,
    })
}

struct TimedText {
    text: String,
    usage: Usage,
    took: Duration,
}

async fn timed(model: &dyn Generate, request: Request) -> Result<TimedText, EngineError> {
    let begin = Instant::now();
    let (text, usage) = read_to_end(model.submit(request)?).await?;
    Ok(TimedText { text, usage, took: begin.elapsed() })
}
