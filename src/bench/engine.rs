//! The engine alone: how fast it reads prompts and writes text, at several batch sizes.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::try_join_all};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::{
    engine::{EngineError, Event, Generate, Request},
    model::TokenId,
};

/// Ids that are ordinary tokens in every vocabulary this runs.
const ORDINARY_IDS: std::ops::Range<u32> = 1_000..30_000;

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineBench {
    /// Tokens of each prompt; all prompts are random and different.
    pub n_prompt_tokens: usize,
    /// Tokens to generate behind each.
    pub n_gen_tokens: usize,
    /// Requests that run at the same time, one measurement for each number.
    pub batch_sizes: Vec<usize>,
    /// How often each is measured; the median counts.
    pub n_repeats: usize,
}

/// What was measured at one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchRates {
    /// Requests at the same time.
    pub batch: usize,
    /// Prompt tokens a second, all requests together.
    pub prefill_tps: f64,
    /// Generated tokens a second, all requests together.
    pub decode_tps: f64,
}

impl EngineBench {
    /// Measures every batch size, in order.
    ///
    /// # Errors
    /// When the engine refuses a request or breaks off.
    pub async fn run(&self, engine: &dyn Generate) -> Result<Vec<BatchRates>, EngineError> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut rates = Vec::new();
        for &batch in &self.batch_sizes {
            let (mut prefill, mut decode) = (Vec::new(), Vec::new());
            for _ in 0..self.n_repeats {
                let prompts: Vec<Vec<TokenId>> = (0..batch).map(|_| self.prompt(&mut rng)).collect();
                prefill.push(self.prefill_tps(engine, &prompts).await?);
                decode.push(self.decode_tps(engine, &prompts).await?);
            }
            rates.push(BatchRates {
                batch,
                prefill_tps: median(&mut prefill),
                decode_tps: median(&mut decode),
            });
        }
        Ok(rates)
    }

    fn prompt(&self, rng: &mut ChaCha8Rng) -> Vec<TokenId> {
        (0..self.n_prompt_tokens).map(|_| TokenId(rng.random_range(ORDINARY_IDS))).collect()
    }

    /// From submitting all prompts until each has its first token.
    async fn prefill_tps(&self, engine: &dyn Generate, prompts: &[Vec<TokenId>]) -> Result<f64, EngineError> {
        let started = Instant::now();
        let runs = prompts.iter().map(|prompt| timed(engine, request(prompt, 1)));
        let ends = try_join_all(runs).await?;
        let end = ends.iter().map(|run| run.last_token).max().unwrap_or(started);
        Ok(rate(prompts.len() * self.n_prompt_tokens, end - started))
    }

    /// From when the last request has its first token until the last has its last. The prompts are
    /// in the prefix cache by now, so that all begin at once.
    async fn decode_tps(&self, engine: &dyn Generate, prompts: &[Vec<TokenId>]) -> Result<f64, EngineError> {
        let runs = prompts.iter().map(|prompt| timed(engine, request(prompt, self.n_gen_tokens)));
        let runs = try_join_all(runs).await?;
        let now = Instant::now();
        let begin = runs.iter().map(|run| run.first_token).max().unwrap_or(now);
        let end = runs.iter().map(|run| run.last_token).max().unwrap_or(now);
        // The tokens that others wrote before the last one began are not counted either.
        let n_tokens = runs.iter().map(|run| run.n_tokens_after(begin)).sum();
        Ok(rate(n_tokens, end - begin))
    }
}

/// When a request's tokens came.
#[derive(Debug)]
struct TimedRun {
    first_token: Instant,
    last_token: Instant,
    tokens: Vec<Instant>,
}

impl TimedRun {
    fn n_tokens_after(&self, begin: Instant) -> usize {
        self.tokens.iter().filter(|at| **at > begin).count()
    }
}

fn request(prompt: &[TokenId], max_tokens: usize) -> Request {
    Request {
        max_tokens: Some(max_tokens),
        ignore_end: true,
        // One event for each token, also where a token is not a whole character.
        n_logprobs: Some(0),
        ..Request::new(prompt.to_vec())
    }
}

async fn timed(engine: &dyn Generate, request: Request) -> Result<TimedRun, EngineError> {
    let mut events = engine.submit(request)?;
    let mut tokens = Vec::new();
    while let Some(event) = events.next().await {
        if let Event::Logprob(_) = event? {
            tokens.push(Instant::now());
        }
    }
    match (tokens.first(), tokens.last()) {
        (Some(&first_token), Some(&last_token)) => Ok(TimedRun { first_token, last_token, tokens }),
        _ => Err(EngineError::Stopped),
    }
}

fn rate(n_tokens: usize, took: Duration) -> f64 {
    if took.is_zero() { 0.0 } else { n_tokens as f64 / took.as_secs_f64() }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
