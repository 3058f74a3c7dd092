//! One request while it runs: samples its tokens, turns them into events, notices its end.

use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedSender};

use super::{
    constraint::Constraint,
    drafter::PromptLookup,
    error::EngineError,
    event::{Event, FinishReason, TokenLogprob, Usage},
    observe::Observe,
    request::Request,
    sampler::{Sampler, likelihood},
    text::TextStream,
};
use crate::model::{TokenId, Tokenizer};

/// A request on its way to the worker: checked, its grammar compiled, with the sender of its events and
/// the permit that counts it among the at most `MAX_REQUESTS` open ones.
pub(super) struct Job {
    pub(super) request: Request,
    /// [`Request::max_tokens`], filled in and capped at what the context leaves.
    pub(super) max_tokens: usize,
    /// The compiled [`Request::grammar`].
    pub(super) constraint: Option<Constraint>,
    pub(super) events: UnboundedSender<Result<Event, EngineError>>,
    pub(super) arrived: Instant,
    pub(super) permit: OwnedSemaphorePermit,
}

/// A request that the scheduler has accepted: its sampler, its text so far, and where its events go.
pub(super) struct Generation {
    events: UnboundedSender<Result<Event, EngineError>>,
    sampler: Sampler,
    constraint: Option<Constraint>,
    text: TextStream,
    drafter: Option<PromptLookup>,
    stop_tokens: Vec<TokenId>,
    ignore_end: bool,
    n_logprobs: Option<usize>,
    max_tokens: usize,
    usage: Usage,
    arrived: Instant,
    last_token: Option<Instant>,
    /// Dropped when the request ends, however it ends; a new request may then take it.
    _permit: OwnedSemaphorePermit,
}

/// The result of one step for a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StepOutcome {
    /// The accepted tokens; all but the last agree with the drafts.
    pub(super) accepted: Vec<TokenId>,
    /// Whether the request has ended.
    pub(super) ended: bool,
}

impl Generation {
    /// Splits a job into the prompt, for the scheduler, and everything else.
    pub(super) fn new(job: Job, tokenizer: &Tokenizer) -> (Vec<TokenId>, Self) {
        let Job { request, max_tokens, constraint, events, arrived, permit } = job;
        let generation = Self {
            events,
            sampler: Sampler::new(request.sampling, &request.prompt),
            constraint,
            text: TextStream::new(tokenizer, &request.stop),
            drafter: PromptLookup::new(request.speculation, &request.prompt),
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

    /// Whether the receiver of the events was dropped.
    pub(super) fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }

    /// Records how many tokens of the prompt the prefix cache held.
    pub(super) fn admitted(&mut self, n_cached_tokens: usize) {
        self.usage.cached_tokens = n_cached_tokens;
    }

    /// Draft tokens after `tokens`, the whole sequence so far: the tokens that the grammar forces, else
    /// guesses that pay in a step of `n_rows` rows.
    pub(super) fn propose(&mut self, tokens: &[TokenId], n_rows: usize) -> Vec<TokenId> {
        let forced = self.constraint.as_mut().map_or_else(Vec::new, Constraint::forced_tokens);
        if !forced.is_empty() {
            return forced;
        }
        let mut guessed =
            self.drafter.as_mut().map_or_else(Vec::new, |drafter| drafter.propose(tokens, n_rows));
        if let Some(constraint) = &mut self.constraint {
            // A constraint that cannot go on reports it when its mask is computed.
            guessed.truncate(constraint.n_acceptable(&guessed).unwrap_or(0));
        }
        guessed
    }

    /// The request's grammar; its next mask is computed during the forward pass.
    pub(super) fn constraint(&mut self) -> Option<&mut Constraint> {
        self.constraint.as_mut()
    }

    /// Samples a token from each row of logits as long as the drafts before it were right.
    pub(super) fn advance<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [f32]>,
        drafts: &[TokenId],
        tokenizer: &Tokenizer,
        observer: &dyn Observe,
    ) -> StepOutcome {
        let mut accepted = Vec::new();
        let mut ended = false;
        for (i, row) in rows.enumerate() {
            let Some(token) = self.sample(row) else {
                ended = true;
                break;
            };
            accepted.push(token);
            self.record_latency(observer);
            ended = self.append(token, row, tokenizer, observer);
            if ended || drafts.get(i) != Some(&token) {
                break;
            }
        }
        if let Some(drafter) = &mut self.drafter {
            let n_right = accepted.iter().zip(drafts).filter(|(token, draft)| token == draft).count();
            drafter.update(drafts.len(), n_right);
        }
        StepOutcome { accepted, ended }
    }

    /// The next token. Where the grammar cannot be followed any further, sends the error and returns `None`.
    fn sample(&mut self, row: &[f32]) -> Option<TokenId> {
        let Some(constraint) = &mut self.constraint else { return Some(self.sampler.sample(row, None)) };
        let sampled = constraint.mask().cloned().and_then(|mask| {
            let token = self.sampler.sample(row, Some(&|logits| mask.apply(logits)));
            constraint.accept(token).map(|_| token)
        });
        match sampled {
            Ok(token) => Some(token),
            Err(error) => {
                let _ = self.events.send(Err(EngineError::Grammar { reason: error.to_string() }));
                None
            }
        }
    }

    /// Whether the grammar allows nothing but an end token.
    fn is_complete(&self) -> bool {
        self.constraint.as_ref().is_some_and(Constraint::is_done)
    }

    /// Appends a token to the text. Returns whether the request ends with it.
    fn append(&mut self, token: TokenId, row: &[f32], tokenizer: &Tokenizer, observer: &dyn Observe) -> bool {
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
        } else if self.is_complete() {
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

    /// Reports the time to the first token, or between the last two.
    fn record_latency(&mut self, observer: &dyn Observe) {
        let now = Instant::now();
        match self.last_token.replace(now) {
            None => observer.first_token(now - self.arrived),
            Some(last) => observer.next_token(now - last),
        }
    }

    /// Sends the text that was held back.
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
        // The receiver may be gone; ignore the error.
        let _ = self.events.send(Err(error));
    }

    fn send_text(&self, text: String) {
        if !text.is_empty() {
            self.send(Event::Text(text));
        }
    }

    fn send(&self, event: Event) {
        // The receiver may be gone; the worker notices before the next step.
        let _ = self.events.send(Ok(event));
    }
}
