//! One request while it runs: draws its tokens, turns them into events, notices its end.

use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use super::{
    EngineError, Event, FinishReason, Request, Sampler, TokenLogprob, Usage, constraint::Constraint,
    lookup::Lookup, observe::Observe, sampler::likelihood, text::TextStream,
};
use crate::model::{TokenId, Tokenizer};

/// A request, where its events go, and its place among those that may be under way.
pub(super) struct Job {
    pub(super) request: Request,
    /// [`Request::max_tokens`], filled in and capped at what the context leaves.
    pub(super) max_tokens: usize,
    /// [`Request::grammar`], compiled.
    pub(super) constraint: Option<Constraint>,
    pub(super) events: UnboundedSender<Result<Event, EngineError>>,
    pub(super) arrived: Instant,
    pub(super) permit: OwnedSemaphorePermit,
}

/// A request that the scheduler knows of.
pub(super) struct Generation {
    events: UnboundedSender<Result<Event, EngineError>>,
    sampler: Sampler,
    constraint: Option<Constraint>,
    text: TextStream,
    lookup: Option<Lookup>,
    stop_tokens: Vec<TokenId>,
    ignore_end: bool,
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
        let Job { request, max_tokens, constraint, events, arrived, permit } = job;
        let generation = Self {
            events,
            sampler: Sampler::new(request.sampling, &request.prompt),
            constraint,
            text: TextStream::new(tokenizer, &request.stop),
            lookup: Lookup::new(request.speculation, &request.prompt),
            stop_tokens: request.stop_tokens,
            ignore_end: request.ignore_end,
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

    /// What follows `tokens`, the whole sequence so far: what the grammar forces, else a guess that is
    /// worth its while in a step of `n_rows`.
    pub(super) fn propose(&mut self, tokens: &[TokenId], n_rows: usize) -> Vec<TokenId> {
        let forced = self.constraint.as_mut().map_or_else(Vec::new, Constraint::forced_tokens);
        if !forced.is_empty() {
            return forced;
        }
        let mut guessed = self.lookup.as_mut().map_or_else(Vec::new, |lookup| lookup.propose(tokens, n_rows));
        if let Some(constraint) = &mut self.constraint {
            // A constraint that cannot go on says so when it is asked for its mask.
            guessed.truncate(constraint.n_acceptable(&guessed).unwrap_or(0));
        }
        guessed
    }

    /// The request's grammar, whose next mask is to be computed beside the forward pass.
    pub(super) fn constraint(&mut self) -> Option<&mut Constraint> {
        self.constraint.as_mut()
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
            let Some(token) = self.draw(row) else {
                ended = true;
                break;
            };
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

    /// The next token; `None`, and the reader told, where the grammar cannot be followed any further.
    fn draw(&mut self, row: &[f32]) -> Option<TokenId> {
        let Some(constraint) = &mut self.constraint else { return Some(self.sampler.sample(row, None)) };
        let drawn = constraint.mask().cloned().and_then(|mask| {
            let token = self.sampler.sample(row, Some(&|logits| mask.apply(logits)));
            constraint.accept(token).map(|_| token)
        });
        match drawn {
            Ok(token) => Some(token),
            Err(error) => {
                let _ = self.events.send(Err(EngineError::Grammar { reason: error.to_string() }));
                None
            }
        }
    }

    /// Whether the grammar leaves nothing but the end.
    fn is_whole(&self) -> bool {
        self.constraint.as_ref().is_some_and(Constraint::is_done)
    }

    /// Takes a token into the text; whether the request ends with it.
    fn take(&mut self, token: TokenId, row: &[f32], tokenizer: &Tokenizer, observer: &dyn Observe) -> bool {
        self.usage.completion_tokens += 1;
        let is_end = tokenizer.is_end(token) && !self.ignore_end;
        if is_end || self.stop_tokens.contains(&token) {
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
        } else if self.is_whole() {
            self.flush();
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
