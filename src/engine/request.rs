//! What a caller asks the engine for.

use std::collections::BTreeMap;

use super::scheduler::Priority;
use crate::model::TokenId;

/// How the next token is chosen from the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; otherwise logits are divided by it.
    pub temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep tokens at least this likely, relative to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Logits of tokens in prompt or text are divided by it (multiplied where negative); 1 changes
    /// nothing (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens that the text contains; 0 changes nothing.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit for each of its occurrences in the text; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Added to these tokens' logits.
    pub logit_bias: BTreeMap<TokenId, f32>,
    /// The same seed and prompt give the same tokens, whatever else runs.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: 0,
        }
    }
}

/// One generation to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The prompt, with the chat template already applied.
    pub prompt: Vec<TokenId>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` is what the context leaves.
    pub max_tokens: Option<usize>,
    /// Generation ends before the first of these strings; they are not part of the text.
    pub stop: Vec<String>,
    /// Generation ends before the first of these tokens, beside the model's own end tokens.
    pub stop_tokens: Vec<TokenId>,
    /// Whether generation continues past the model's own end tokens (vLLM's `ignore_eos`): for benchmarks.
    pub ignore_end: bool,
    /// The grammar that the text has to follow.
    pub grammar: Option<Grammar>,
    /// Reports each token's log-probability, and those of the `n_logprobs` likeliest tokens; `None` reports
    /// none.
    pub n_logprobs: Option<usize>,
    /// Whether it goes before other requests.
    pub priority: Priority,
    /// Which draft tokens are proposed.
    pub speculation: Speculation,
}

impl Request {
    /// A greedy request without limits or extras.
    pub fn new(prompt: Vec<TokenId>) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_end: false,
            grammar: None,
            n_logprobs: None,
            priority: Priority::Interactive,
            speculation: Speculation::Off,
        }
    }
}

/// Speculative decoding: where draft tokens come from. It changes the speed, never the text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Speculation {
    /// No drafts.
    #[default]
    Off,
    /// Prompt lookup: the text is expected to repeat the prompt or itself.
    Prompt,
    /// The text is expected to resemble this one; where it does not, prompt lookup.
    Answer(Vec<TokenId>),
}

/// The grammar of a structured output.
#[derive(Debug, Clone, PartialEq)]
pub enum Grammar {
    /// JSON of this schema.
    JsonSchema(serde_json::Value),
    /// The whole text matches this regular expression.
    Regex(String),
    /// A sentence of this Lark grammar.
    Lark(String),
}
