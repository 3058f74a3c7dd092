//! Log-probabilities of tokens, in OpenAI's two forms: one for chat completions, one for text completions.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::engine::TokenLogprob;

/// Most alternatives for each token, as in OpenAI's API.
const MAX_CHAT_ALTERNATIVES: usize = 20;
const MAX_TEXT_ALTERNATIVES: usize = 5;

/// Number of alternatives that a chat completion reports for each token; `None` is no log-probabilities.
///
/// # Errors
/// 400 when there are too many, or when alternatives are requested without log-probabilities.
pub(super) fn n_chat_logprobs(
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
) -> Result<Option<usize>, ApiError> {
    match (logprobs.unwrap_or(false), top_logprobs) {
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => {
            Err(ApiError::invalid_param("top_logprobs", "`top_logprobs` needs `logprobs` to be true"))
        }
        (true, n_top) => at_most("top_logprobs", n_top.unwrap_or_default(), MAX_CHAT_ALTERNATIVES).map(Some),
    }
}

/// Number of alternatives that a text completion reports for each token; `None` is no log-probabilities.
///
/// # Errors
/// 400 when there are too many.
pub(super) fn n_text_logprobs(logprobs: Option<usize>) -> Result<Option<usize>, ApiError> {
    logprobs.map(|n_top| at_most("logprobs", n_top, MAX_TEXT_ALTERNATIVES)).transpose()
}

fn at_most(param: &str, value: usize, most: usize) -> Result<usize, ApiError> {
    if value <= most {
        return Ok(value);
    }
    Err(ApiError::invalid_param(param, format!("`{param}` is {value}, but must be at most {most}")))
}

/// Collects the tokens of a text until they are sent.
#[derive(Debug)]
pub(super) struct LogprobLog {
    is_requested: bool,
    waiting: TokenRun,
}

/// Consecutive tokens, and where in the text they begin.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenRun {
    tokens: Vec<TokenLogprob>,
    /// Number of characters of the text before them.
    offset: usize,
}

impl LogprobLog {
    /// An empty log. Unless `is_requested`, it returns no tokens.
    pub(super) fn new(is_requested: bool) -> Self {
        Self { is_requested, waiting: TokenRun::default() }
    }

    /// Adds the text's next token.
    pub(super) fn push(&mut self, token: TokenLogprob) {
        self.waiting.tokens.push(token);
    }

    /// The tokens since the last call; `None` if there are none, or the request does not ask for them.
    pub(super) fn take(&mut self) -> Option<TokenRun> {
        let offset = self.waiting.offsets().last().copied().unwrap_or(self.waiting.offset);
        let run = std::mem::replace(&mut self.waiting, TokenRun { tokens: Vec::new(), offset });
        (self.is_requested && !run.tokens.is_empty()).then_some(run)
    }
}

impl TokenRun {
    /// The position in the text, in characters, where each token ends.
    fn offsets(&self) -> Vec<usize> {
        let mut end = self.offset;
        let ends = self.tokens.iter().map(|token| {
            end += text(&token.bytes).chars().count();
            end
        });
        ends.collect()
    }
}

/// A token's bytes as text; parts of a character become replacement characters.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The form of chat completions.
#[derive(Debug, Serialize)]
pub(super) struct ChatLogprobs {
    content: Vec<ChatToken>,
    refusal: (),
}

#[derive(Debug, Serialize)]
struct ChatToken {
    #[serde(flatten)]
    token: Alternative,
    top_logprobs: Vec<Alternative>,
}

#[derive(Debug, Serialize)]
struct Alternative {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl Alternative {
    fn new(bytes: Vec<u8>, logprob: f32) -> Self {
        Self { token: text(&bytes), logprob, bytes }
    }
}

impl From<TokenRun> for ChatLogprobs {
    fn from(run: TokenRun) -> Self {
        let content = run.tokens.into_iter().map(|token| ChatToken {
            token: Alternative::new(token.bytes, token.logprob),
            top_logprobs: token
                .top
                .into_iter()
                .map(|(bytes, logprob)| Alternative::new(bytes, logprob))
                .collect(),
        });
        Self { content: content.collect(), refusal: () }
    }
}

/// The form of text completions: one list for each property.
#[derive(Debug, Serialize)]
pub(super) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    /// The likeliest tokens at each position, and always the sampled one.
    top_logprobs: Vec<Map<String, Value>>,
    text_offset: Vec<usize>,
}

impl From<TokenRun> for TextLogprobs {
    fn from(run: TokenRun) -> Self {
        let ends = run.offsets();
        let begins = std::iter::once(run.offset).chain(ends);
        let alternatives = |token: &TokenLogprob| {
            let top = token.top.iter().map(|(bytes, logprob)| (text(bytes), json!(logprob)));
            top.chain([(text(&token.bytes), json!(token.logprob))]).collect()
        };
        Self {
            tokens: run.tokens.iter().map(|token| text(&token.bytes)).collect(),
            token_logprobs: run.tokens.iter().map(|token| token.logprob).collect(),
            top_logprobs: run.tokens.iter().map(alternatives).collect(),
            text_offset: begins.take(run.tokens.len()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(bytes: &[u8]) -> TokenLogprob {
        TokenLogprob { bytes: bytes.to_vec(), logprob: -0.5, top: vec![(bytes.to_vec(), -0.5)] }
    }

    #[test]
    fn offsets_go_on_from_piece_to_piece() {
        let mut log = LogprobLog::new(true);
        log.push(token("Hé".as_bytes()));
        log.push(token(b" you"));
        let first = serde_json::to_value(TextLogprobs::from(log.take().unwrap())).unwrap();
        assert_eq!(first["text_offset"], json!([0, 2]));
        log.push(token(b"!"));
        let second = serde_json::to_value(TextLogprobs::from(log.take().unwrap())).unwrap();
        assert_eq!(second["text_offset"], json!([6]));
        assert_eq!(second["tokens"], json!(["!"]));
    }

    #[test]
    fn a_log_that_nobody_asked_for_stays_silent() {
        let mut log = LogprobLog::new(false);
        log.push(token(b"a"));
        assert!(log.take().is_none());
    }

    #[test]
    fn parts_of_a_character_keep_their_bytes() {
        let mut log = LogprobLog::new(true);
        log.push(token(&[0xF0, 0x9F]));
        let run = serde_json::to_value(ChatLogprobs::from(log.take().unwrap())).unwrap();
        assert_eq!(run["content"][0]["bytes"], json!([0xF0, 0x9F]));
        assert_eq!(run["content"][0]["top_logprobs"][0]["logprob"], json!(-0.5));
    }

    #[test]
    fn alternatives_are_bounded_and_need_likelihoods() {
        assert_eq!(n_chat_logprobs(None, None).unwrap(), None);
        assert_eq!(n_chat_logprobs(Some(true), None).unwrap(), Some(0));
        assert_eq!(n_chat_logprobs(Some(true), Some(20)).unwrap(), Some(20));
        assert!(n_chat_logprobs(Some(true), Some(21)).is_err());
        assert!(n_chat_logprobs(Some(false), Some(3)).is_err());
        assert_eq!(n_text_logprobs(Some(5)).unwrap(), Some(5));
        assert!(n_text_logprobs(Some(6)).is_err());
    }
}
