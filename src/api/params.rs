//! The fields that chat and text completions share: how to generate, and how to answer.
//!
//! They are read from JSON, checked against their ranges, and converted to the engine's types.
//! Unsupported values are refused, never ignored.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::Deserialize;
use serde_json::Value;

use super::{body::JsonBody, error::ApiError, grammar::GrammarFields};
use crate::{
    engine::{Grammar, Sampling},
    model::TokenId,
};

/// Most stop strings of one request, as in OpenAI's API.
const MAX_STOPS: usize = 4;

/// How to generate and how to answer, checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Params {
    /// How tokens are sampled.
    pub(super) sampling: Sampling,
    /// Most tokens to generate; `None` is what the context leaves.
    pub(super) max_tokens: Option<usize>,
    /// Strings that end the text.
    pub(super) stop: Vec<String>,
    /// Tokens that end the text.
    pub(super) stop_tokens: Vec<TokenId>,
    /// The grammar that the text has to follow.
    pub(super) grammar: Option<Grammar>,
    /// Number of alternatives to report with each token's log-probability; `None` is no log-probabilities.
    pub(super) n_logprobs: Option<usize>,
    /// Whether the answer is a stream of events.
    pub(super) stream: bool,
    /// Whether the stream ends with the token counts.
    pub(super) include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Fields {
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    stop: Option<Value>,
    n: Option<u64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<BTreeMap<String, f32>>,
    stop_token_ids: Option<Vec<u32>>,
    tools: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

impl Params {
    /// Reads and checks the shared fields of a request. The caller sets `n_logprobs`, because chat and text
    /// completions have different fields for it.
    ///
    /// # Errors
    /// 400 naming the first field that is out of range or not supported.
    pub(super) fn read(body: &JsonBody) -> Result<Self, ApiError> {
        let fields: Fields = body.read()?;
        fields.refuse_unsupported()?;
        let stream = fields.stream.unwrap_or(false);
        if fields.stream_options.is_some() && !stream {
            return Err(ApiError::invalid_param(
                "stream_options",
                "`stream_options` needs `stream` to be true",
            ));
        }
        Ok(Self {
            sampling: fields.sampling()?,
            max_tokens: fields.max_tokens()?,
            stop_tokens: fields.stop_token_ids.unwrap_or_default().into_iter().map(TokenId).collect(),
            grammar: body.read::<GrammarFields>()?.grammar()?,
            n_logprobs: None,
            stop: stop_strings(fields.stop)?,
            stream,
            include_usage: fields.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
        })
    }
}

impl Fields {
    fn sampling(&self) -> Result<Sampling, ApiError> {
        let temperature = self.temperature.unwrap_or(1.0);
        let top_p = self.top_p.unwrap_or(1.0);
        Ok(Sampling {
            temperature: in_range("temperature", temperature, 0.0..=2.0)?,
            top_p: in_range("top_p", top_p, 0.0..=1.0)?,
            top_k: self.top_k.unwrap_or(0),
            min_p: in_range("min_p", self.min_p.unwrap_or(0.0), 0.0..=1.0)?,
            repetition_penalty: in_range(
                "repetition_penalty",
                self.repetition_penalty.unwrap_or(1.0),
                0.01..=10.0,
            )?,
            presence_penalty: in_range("presence_penalty", self.presence_penalty.unwrap_or(0.0), -2.0..=2.0)?,
            frequency_penalty: in_range(
                "frequency_penalty",
                self.frequency_penalty.unwrap_or(0.0),
                -2.0..=2.0,
            )?,
            logit_bias: self.logit_bias()?,
            seed: self.seed.map_or_else(rand::random, i64::cast_unsigned),
        })
    }

    fn logit_bias(&self) -> Result<BTreeMap<TokenId, f32>, ApiError> {
        let biases = self.logit_bias.iter().flatten();
        biases
            .map(|(token, bias)| {
                let id = token.parse().map_err(|_| {
                    ApiError::invalid_param(
                        "logit_bias",
                        format!("`logit_bias` names {token:?}, which is no token id"),
                    )
                })?;
                Ok((TokenId(id), in_range("logit_bias", *bias, -100.0..=100.0)?))
            })
            .collect()
    }

    /// `max_completion_tokens` is the newer name and wins.
    fn max_tokens(&self) -> Result<Option<usize>, ApiError> {
        for (param, value) in
            [("max_completion_tokens", self.max_completion_tokens), ("max_tokens", self.max_tokens)]
        {
            match value {
                Some(0) => {
                    let message = format!("`{param}` is 0, but must be at least 1");
                    return Err(ApiError::invalid_param(param, message));
                }
                Some(_) => return Ok(value),
                None => {}
            }
        }
        Ok(None)
    }

    fn refuse_unsupported(&self) -> Result<(), ApiError> {
        let refusals = [
            ("n", self.n.is_some_and(|n| n != 1), "only 1 choice"),
            ("tools", self.tools.as_ref().is_some_and(|tools| !tools.is_empty()), "no tools"),
        ];
        match refusals.iter().find(|(_, asked, _)| *asked) {
            Some((param, _, instead)) => Err(ApiError::unsupported(
                param,
                format!("this value of `{param}` is not supported: the server knows {instead}"),
            )),
            None => Ok(()),
        }
    }
}

fn in_range(param: &str, value: f32, range: RangeInclusive<f32>) -> Result<f32, ApiError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (range.start(), range.end());
    Err(ApiError::invalid_param(param, format!("`{param}` is {value}, but must be between {low} and {high}")))
}

/// `stop` is a string or a list of them.
fn stop_strings(stop: Option<Value>) -> Result<Vec<String>, ApiError> {
    let items = match stop {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(item) => vec![item],
    };
    if items.len() > MAX_STOPS {
        let n = items.len();
        return Err(ApiError::invalid_param(
            "stop",
            format!("`stop` holds {n} strings, but at most {MAX_STOPS} are allowed"),
        ));
    }
    items
        .into_iter()
        .map(|item| match item {
            Value::String(text) if !text.is_empty() => Ok(text),
            _ => Err(ApiError::invalid_param(
                "stop",
                "`stop` must be a string or a list of strings, none of them empty",
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Params, ApiError> {
        Params::read(&JsonBody::try_from(body)?)
    }

    fn refusal(body: Value) -> Value {
        serde_json::to_value(read(body).unwrap_err().body()).unwrap()["error"].take()
    }

    #[test]
    fn defaults_are_those_of_openai() {
        let params = read(json!({})).unwrap();
        assert_eq!(params.sampling.temperature, 1.0);
        assert_eq!(params.sampling.top_p, 1.0);
        assert_eq!(params.sampling.top_k, 0);
        assert_eq!(params.max_tokens, None);
        assert!(params.stop.is_empty() && !params.stream && !params.include_usage);
        let again = read(json!({})).unwrap();
        assert_ne!(params.sampling.seed, again.sampling.seed);
    }

    #[test]
    fn nulls_and_neutral_values_are_as_good_as_absent() {
        let params = read(json!({
            "temperature": null, "seed": 7, "stop": null, "n": 1, "presence_penalty": 0,
            "frequency_penalty": 0.0, "logit_bias": {}, "tools": [],
            "response_format": {"type": "text"}, "stream_options": null, "user": "u-1",
            "a_field_of_tomorrow": [1, 2],
        }))
        .unwrap();
        assert_eq!(params.sampling.temperature, 1.0);
        assert_eq!(params.sampling.seed, 7);
    }

    #[test]
    fn what_steers_the_choice_of_tokens_is_taken_over() {
        let params = read(json!({
            "presence_penalty": 0.5, "frequency_penalty": -1, "repetition_penalty": 1.25, "min_p": 0.125,
            "logit_bias": {"50256": -100}, "stop_token_ids": [7], "response_format": {"type": "json_object"},
        }))
        .unwrap();
        let Sampling { presence_penalty, frequency_penalty, repetition_penalty, min_p, logit_bias, .. } =
            params.sampling;
        assert_eq!(
            (presence_penalty, frequency_penalty, repetition_penalty, min_p),
            (0.5, -1.0, 1.25, 0.125)
        );
        assert_eq!(logit_bias, [(TokenId(50256), -100.0)].into());
        assert_eq!(params.stop_tokens, [TokenId(7)]);
        assert!(params.grammar.is_some());
    }

    #[test]
    fn the_newer_name_of_the_token_limit_wins() {
        let both = json!({"max_tokens": 5, "max_completion_tokens": 9});
        assert_eq!(read(both).unwrap().max_tokens, Some(9));
        assert_eq!(read(json!({"max_tokens": 5})).unwrap().max_tokens, Some(5));
    }

    #[test]
    fn stop_is_a_string_or_a_list() {
        assert_eq!(read(json!({"stop": "\n"})).unwrap().stop, ["\n"]);
        let list = json!({"stop": ["a", "b", "c", "d"]});
        assert_eq!(read(list).unwrap().stop, ["a", "b", "c", "d"]);
    }

    #[rstest]
    #[case("temperature", json!(2.1))]
    #[case("temperature", json!(-0.1))]
    #[case("temperature", json!("hot"))]
    #[case("top_p", json!(1.5))]
    #[case("top_k", json!(-1))]
    #[case("seed", json!(1.5))]
    #[case("max_tokens", json!(0))]
    #[case("max_tokens", json!(-3))]
    #[case("max_completion_tokens", json!(0))]
    #[case("stop", json!(""))]
    #[case("stop", json!(["a", 1]))]
    #[case("stop", json!(["a", "b", "c", "d", "e"]))]
    #[case("n", json!(2))]
    #[case("presence_penalty", json!(2.5))]
    #[case("frequency_penalty", json!(-3))]
    #[case("min_p", json!(1.5))]
    #[case("repetition_penalty", json!(0))]
    #[case("logit_bias", json!({"50256": -101}))]
    #[case("logit_bias", json!({"cat": 1}))]
    #[case("response_format", json!({"type": "xml"}))]
    #[case("tools", json!([{"type": "function"}]))]
    #[case("stream", json!("yes"))]
    #[case("stream_options", json!({"include_usage": true}))]
    fn values_that_cannot_be_met_name_their_field(#[case] param: &str, #[case] value: Value) {
        let error = refusal(json!({ param: value }));
        assert_eq!(error["param"], param);
        assert_eq!(error["type"], "invalid_request_error");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(param), "{message}");
    }

    #[test]
    fn a_field_inside_another_is_named_by_its_path() {
        let error = refusal(json!({"stream": true, "stream_options": {"include_usage": 1}}));
        assert_eq!(error["param"], "stream_options.include_usage");
    }

    proptest! {
        #[test]
        fn every_seed_is_kept_apart(a in any::<i64>(), b in any::<i64>()) {
            let seed = |seed: i64| read(json!({ "seed": seed })).unwrap().sampling.seed;
            prop_assert_eq!(seed(a) == seed(b), a == b);
        }

        #[test]
        fn temperatures_within_the_range_are_taken_as_they_are(t in 0.0f32..=2.0) {
            prop_assert_eq!(read(json!({"temperature": t})).unwrap().sampling.temperature, t);
        }
    }
}
