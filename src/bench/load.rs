//! A server under load: many chats at once, and how long each waited.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tier0_client::{ChatRequest, Client, ClientError, TimedAnswer};

use super::percentiles::Percentiles;

/// What prompts are made of; every tokenizer knows these whole or nearly so.
const WORDS: [&str; 32] = [
    "apple", "bridge", "candle", "door", "engine", "forest", "garden", "harbour", "island", "journey",
    "kitchen", "letter", "market", "number", "orange", "paper", "quiet", "river", "summer", "table", "under",
    "valley", "window", "yellow", "school", "travel", "winter", "music", "silver", "stone", "cloud", "north",
];

/// What to ask of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeBench {
    /// The model to ask for.
    pub model: String,
    /// Requests that are open at the same time.
    pub concurrency: usize,
    /// Requests in all.
    pub n_requests: usize,
    /// Words that all prompts begin with.
    pub n_shared_words: usize,
    /// Words of each prompt's own, on average: between half and half as many again.
    pub n_prompt_words: usize,
    /// Most tokens of an answer.
    pub max_tokens: usize,
}

/// What a server did under load.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// The model that was asked.
    pub model: String,
    /// Requests that were open at the same time.
    pub concurrency: usize,
    /// Requests in all.
    pub n_requests: usize,
    /// Requests without a whole answer.
    pub n_errors: usize,
    /// The errors by their text, and how often each came.
    pub errors: BTreeMap<String, usize>,
    /// Seconds from the first request to the last answer.
    pub wall_s: f64,
    /// Prompt tokens by the server's count.
    pub prompt_tokens: u64,
    /// Generated tokens by the server's count.
    pub completion_tokens: u64,
    /// Generated tokens a second, all requests together.
    pub output_tps: f64,
    /// Whole answers a second.
    pub requests_per_s: f64,
    /// Milliseconds from a request to its first piece of text.
    pub ttft_ms: Percentiles,
    /// Milliseconds between two pieces of one answer.
    pub inter_token_ms: Percentiles,
    /// Milliseconds from a request to its end.
    pub e2e_ms: Percentiles,
}

impl ServeBench {
    /// Sends all requests and waits for all answers. A request that fails is counted, not an error.
    pub async fn run(&self, client: &Client) -> LoadReport {
        let prompts = self.prompts();
        let requests: Vec<_> = prompts.iter().map(|prompt| self.request(prompt)).collect();
        let begin = Instant::now();
        let asked = stream::iter(&requests).map(|request| client.stream(request));
        let results: Vec<_> = asked.buffer_unordered(self.concurrency.max(1)).collect().await;
        self.report(&results, begin.elapsed())
    }

    /// A greedy completion of one prompt.
    fn request<'a>(&'a self, prompt: &'a str) -> ChatRequest<'a> {
        ChatRequest {
            max_tokens: Some(self.max_tokens),
            temperature: Some(0.0),
            ..ChatRequest::new(&self.model, prompt)
        }
    }

    /// The same for the same settings, and no two alike.
    fn prompts(&self) -> Vec<String> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let shared = words(self.n_shared_words, &mut rng);
        let prompt = |i: usize| {
            let half = self.n_prompt_words / 2;
            let own = words(rng.random_range(half..=half + self.n_prompt_words), &mut rng);
            format!("{shared} Story {i}. {own} Write a long story about these words.")
        };
        (0..self.n_requests).map(prompt).collect()
    }

    fn report(&self, results: &[Result<TimedAnswer, ClientError>], wall: Duration) -> LoadReport {
        let mut errors = BTreeMap::new();
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            *errors.entry(error.to_string()).or_default() += 1;
        }
        let answers: Vec<&TimedAnswer> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        let counts = || answers.iter().filter_map(|answer| answer.usage);
        let completion_tokens = counts().map(|usage| usage.completion_tokens).sum::<u64>();
        let times = |of: fn(&TimedAnswer) -> Duration| {
            Percentiles::of(&answers.iter().map(|answer| of(answer)).collect::<Vec<_>>())
        };
        let between: Vec<Duration> = answers.iter().flat_map(|answer| answer.between.clone()).collect();
        let wall_s = wall.as_secs_f64();
        LoadReport {
            model: self.model.clone(),
            concurrency: self.concurrency,
            n_requests: results.len(),
            n_errors: results.len() - answers.len(),
            errors,
            wall_s,
            prompt_tokens: counts().map(|usage| usage.prompt_tokens).sum(),
            completion_tokens,
            output_tps: completion_tokens as f64 / wall_s,
            requests_per_s: answers.len() as f64 / wall_s,
            ttft_ms: times(|answer| answer.first),
            inter_token_ms: Percentiles::of(&between),
            e2e_ms: times(|answer| answer.whole),
        }
    }
}

fn words(n: usize, rng: &mut ChaCha8Rng) -> String {
    let chosen: Vec<&str> = (0..n).filter_map(|_| WORDS.choose(rng).copied()).collect();
    chosen.join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn prompts_share_their_beginning_and_nothing_else() {
        let bench = ServeBench {
            model: "tiny".to_owned(),
            concurrency: 2,
            n_requests: 30,
            n_shared_words: 100,
            n_prompt_words: 0,
            max_tokens: 8,
        };
        let prompts = bench.prompts();
        let beginning = prompts[0].split(" Story").next().unwrap_or_default();
        assert_eq!(beginning.split(' ').count(), 100);
        assert!(prompts.iter().all(|prompt| prompt.starts_with(beginning)));
        assert_eq!(prompts.iter().collect::<BTreeSet<_>>().len(), 30);
        assert_eq!(prompts, bench.prompts());
    }
}
