//! One request while it runs: draws its tokens, turns them into events, notices its end.

use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use super::{
    EngineError, Event, FinishReason, Request, Sampler, TokenLogprob, Usage, lookup::PromptLookup,
    observe::Observe, sampler::likelihood, text::TextStream,
};
use crate::model::{TokenId, Tokenizer};

/// A request, where its events go, and its place among those that may be under way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    /// [`Request::max_tokens`], filled in and capped at what the context leaves.
    pub(super) max_tokens: usize,
    pub(super) events: UnboundedSender<Result<Event, EngineError>>,
    pub(super) arrived: Instant,
    pub(super) permit: OwnedSemaphorePermit,
}

/// A request that the scheduler knows of.
#[derive(Debug)]
pub(super) struct Generation {
    events: UnboundedSender<Result<Event, EngineError>>,
    sampler: Sampler,
    text: TextStream,
    lookup: Option<PromptLookup>,
    stop_tokens: Vec<TokenId>,
    n_logprobs: Option<usize>,
    max_tokens: usize,
    usage: Usage,
    arrived: Instant,
    last_token: Option<Instant>,
    /// Frees the request's place when it ends, however it ends.
    _permit: OwnedSemaphorePermit,
}

/// What one step brought a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Tokens to go on with; all but the last agree with the drafts.
    pub(super) accepted: Vec<TokenId>,
    /// Whether the request has ended.
    pub(super) ended: bool,
}

impl Generation {
    /// Splits a job into what the scheduler needs (its prompt) and what stays here.
    pub(super) fn new(job: Job, tokenizer: &Tokenizer) -> (Vec<TokenId>, Self) {
        let Job { request, max_tokens, events, arrived, permit } = job;
        let generation = Self {
            events,
            sampler: Sampler::new(request.sampling, &request.prompt),
            text: TextStream::new(tokenizer, &request.stop),
            lookup: request.speculate.then(PromptLookup::new),
            stop_tokens: request.stop_tokens,
            n_logprobs: request.n_logprobs,
            max_tokens,
            usage: Usage { prompt_tokens: request.prompt.len(), ..Usage::default() },
            arrived,
            last_token: None,
            _permit: permit,
        };
        (request.prompt, generation)
    }

    /// Whether its reader is gone.
    pub(super) fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }

    /// Notes how much of the prompt needed no computation.
    pub(super) fn admitted(&mut self, n_cached_tokens: usize) {
        self.usage.cached_tokens = n_cached_tokens;
    }

    /// Guesses at what follows `tokens`, the whole sequence so far.
    pub(super) fn propose(&mut self, tokens: &[TokenId]) -> Vec<TokenId> {
        self.lookup.as_mut().map_or_else(Vec::new, |lookup| lookup.propose(tokens))
    }

    /// Draws a token from each row of logits as long as the drafts before it came true.
    pub(super) fn advance<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [f32]>,
        drafts: &[TokenId],
        tokenizer: &Tokenizer,
        observer: &dyn Observe,
    ) -> Progress {
        let mut accepted = Vec::new();
        let mut ended = false;
        for (i, row) in rows.enumerate() {
            let token = self.sampler.sample(row, None);
            accepted.push(token);
            self.tell_time(observer);
            ended = self.take(token, row, tokenizer, observer);
            if ended || drafts.get(i) != Some(&token) {
                break;
            }
        }
        if let Some(lookup) = &mut self.lookup {
            let n_right = accepted.iter().zip(drafts).filter(|(token, draft)| token == draft).count();
            lookup.learn(drafts.len(), n_right);
        }
        Progress { accepted, ended }
    }

    /// Takes a token into the text; whether the request ends with it.
    fn take(&mut self, token: TokenId, row: &[f32], tokenizer: &Tokenizer, observer: &dyn Observe) -> bool {
        self.usage.completion_tokens += 1;
        if tokenizer.is_end(token) || self.stop_tokens.contains(&token) {
            self.flush();
            self.finish(FinishReason::Stop, observer);
            return true;
        }
        if let Some(n_top) = self.n_logprobs {
            let found = likelihood(row, token, n_top);
            let bytes = |token| tokenizer.bytes(token).to_vec();
            let top = found.top.into_iter().map(|(token, logprob)| (bytes(token), logprob)).collect();
            self.send(Event::Logprob(TokenLogprob { bytes: bytes(token), logprob: found.logprob, top }));
        }
        let piece = self.text.push(token, tokenizer);
        self.send_text(piece.text);
        if piece.stopped {
            self.finish(FinishReason::Stop, observer);
        } else if self.usage.completion_tokens >= self.max_tokens {
            self.flush();
            self.finish(FinishReason::Length, observer);
        } else {
            return false;
        }
        true
    }

    fn tell_time(&mut self, observer: &dyn Observe) {
        let now = Instant::now();
        match self.last_token.replace(now) {
            None => observer.first_token(now - self.arrived),
            Some(last) => observer.next_token(now - last),
        }
    }

    /// Sends what was held back.
    fn flush(&mut self) {
        let rest = self.text.finish();
        self.send_text(rest);
    }

    fn finish(&self, reason: FinishReason, observer: &dyn Observe) {
        observer.finished(reason, self.usage, self.arrived.elapsed());
        self.send(Event::Finished { reason, usage: self.usage });
    }

    /// Ends with an error.
    pub(super) fn fail(self, error: EngineError) {
        // A reader that is gone as well needs no word of it.
        let _ = self.events.send(Err(error));
    }

    fn send_text(&self, text: String) {
        if !text.is_empty() {
            self.send(Event::Text(text));
        }
    }

    fn send(&self, event: Event) {
        // Should the reader be gone, the worker notices before the next step.
        let _ = self.events.send(Ok(event));
    }
}
