//! The one thread that owns the model: takes requests in the order they came and runs each to its end.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::{EngineError, Event, FinishReason, Request, Sampler, Usage, text::TextStream};
use crate::model::{Batch, BlockId, Forward, Logits, ModelError, SequenceSlice, TokenId, Tokenizer};

/// Tokens of a prompt that run in one pass. Between passes a dropped request is noticed.
const PREFILL_CHUNK: usize = 256;

/// A request and where its events go.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) events: UnboundedSender<Result<Event, EngineError>>,
}

/// The model and what it needs to serve one request after the other.
pub(super) struct Worker<M> {
    model: M,
    tokenizer: Arc<Tokenizer>,
    context_length: usize,
    block_size: usize,
    /// The whole pool: one sequence runs at a time and may use all of it.
    blocks: Vec<BlockId>,
}

/// The reader has dropped its stream.
struct Cancelled;

impl<M: Forward> Worker<M> {
    pub(super) fn new(model: M, tokenizer: Arc<Tokenizer>, context_length: usize) -> Self {
        let spec = model.cache_spec();
        let blocks = (0..spec.n_blocks as u32).map(BlockId).collect();
        Self { model, tokenizer, context_length, block_size: spec.block_size, blocks }
    }

    /// Serves until every handle is gone.
    pub(super) fn run(mut self, mut jobs: Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            let span = tracing::debug_span!("generate", prompt_tokens = job.request.prompt.len());
            let _entered = span.enter();
            if let Err(error) = self.generate(&job) {
                tracing::error!(%error, "a generation broke off");
                // A reader that is gone as well needs no word of it.
                let _ = job.events.send(Err(EngineError::Model(error.to_string())));
            }
        }
    }

    /// Runs one request; ends early, and quietly, when its reader is gone.
    fn generate(&mut self, job: &Job) -> Result<(), ModelError> {
        let Job { request, events } = job;
        let mut sampler = Sampler::new(request.sampling.clone());
        let mut text = TextStream::new(&self.tokenizer, &request.stop);
        let mut usage = Usage { prompt_tokens: request.prompt.len(), ..Usage::default() };
        let room = self.context_length - request.prompt.len();
        let max_tokens = request.max_tokens.map_or(room, |max| max.min(room));
        let mut reason = FinishReason::Length;
        if max_tokens > 0 {
            let Some(mut logits) = self.prefill(&request.prompt, events)? else { return Ok(()) };
            loop {
                let token = logits.rows().next().map_or(TokenId(0), |row| sampler.sample(row));
                usage.completion_tokens += 1;
                if self.tokenizer.is_end(token) {
                    reason = FinishReason::Stop;
                    break;
                }
                let piece = text.push(token, &self.tokenizer);
                if send_text(events, piece.text).is_err() {
                    return Ok(());
                }
                if piece.stopped {
                    let finished = Event::Finished { reason: FinishReason::Stop, usage };
                    let _ = events.send(Ok(finished));
                    return Ok(());
                }
                if usage.completion_tokens == max_tokens {
                    break;
                }
                logits = self.step(&[token], request.prompt.len() + usage.completion_tokens - 1, true)?;
            }
        }
        if send_text(events, text.finish()).is_ok() {
            let _ = events.send(Ok(Event::Finished { reason, usage }));
        }
        Ok(())
    }

    /// Runs the prompt in chunks; the logits behind its last token, or `None` if it was cancelled.
    fn prefill(
        &mut self,
        prompt: &[TokenId],
        events: &UnboundedSender<Result<Event, EngineError>>,
    ) -> Result<Option<Logits>, ModelError> {
        let mut offset = 0;
        loop {
            if events.is_closed() {
                return Ok(None);
            }
            let chunk = &prompt[offset..prompt.len().min(offset + PREFILL_CHUNK)];
            let last = offset + chunk.len() == prompt.len();
            let logits = self.step(chunk, offset, last)?;
            if last {
                return Ok(Some(logits));
            }
            offset += chunk.len();
        }
    }

    /// One forward pass of one sequence, of which `offset` tokens are cached.
    fn step(&mut self, tokens: &[TokenId], offset: usize, sample: bool) -> Result<Logits, ModelError> {
        let n_blocks = (offset + tokens.len()).div_ceil(self.block_size).min(self.blocks.len());
        let slice = SequenceSlice { tokens, offset, blocks: &self.blocks[..n_blocks], sample };
        self.model.forward(&Batch::new(&[slice], self.block_size)?)
    }
}

/// Sends text, unless it is empty.
fn send_text(events: &UnboundedSender<Result<Event, EngineError>>, text: String) -> Result<(), Cancelled> {
    if text.is_empty() {
        return if events.is_closed() { Err(Cancelled) } else { Ok(()) };
    }
    events.send(Ok(Event::Text(text))).map_err(|_| Cancelled)
}
