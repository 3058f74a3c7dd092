//! The fields that constrain a text: OpenAI's `response_format`, and vLLM's `guided_json`,
//! `guided_regex` and `guided_grammar`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use crate::engine::Grammar;

/// The fields, unchecked.
#[derive(Debug, Default, Deserialize)]
pub(super) struct GrammarFields {
    response_format: Option<ResponseFormat>,
    guided_json: Option<Value>,
    guided_regex: Option<String>,
    guided_grammar: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<NamedSchema>,
}

#[derive(Debug, Deserialize)]
struct NamedSchema {
    schema: Option<Value>,
}

impl GrammarFields {
    /// The grammar that the text has to follow, if any.
    ///
    /// # Errors
    /// 400 when the fields contradict each other or a format is unknown.
    pub(super) fn grammar(self) -> Result<Option<Grammar>, ApiError> {
        let format = self.response_format.map(ResponseFormat::grammar).transpose()?.flatten();
        // Some clients send the schema as a string.
        let parsed = self.guided_json.map(|schema| match schema {
            Value::String(text) => serde_json::from_str(&text).map_err(|e| {
                ApiError::invalid_param("guided_json", format!("`guided_json` is no JSON: {e}"))
            }),
            schema => Ok(schema),
        });
        let given: Vec<Grammar> = format
            .into_iter()
            .chain(parsed.transpose()?.map(Grammar::JsonSchema))
            .chain(self.guided_regex.map(Grammar::Regex))
            .chain(self.guided_grammar.map(Grammar::Lark))
            .collect();
        match <[Grammar; 1]>::try_from(given) {
            Ok([one]) => Ok(Some(one)),
            Err(none) if none.is_empty() => Ok(None),
            Err(several) => Err(ApiError::invalid_param(
                "response_format",
                format!(
                    "{} constraints are given, but only one of `response_format`, `guided_json`, `guided_regex` \
                     and `guided_grammar` can hold",
                    several.len()
                ),
            )),
        }
    }
}

impl ResponseFormat {
    fn grammar(self) -> Result<Option<Grammar>, ApiError> {
        match self.kind.as_str() {
            "text" => Ok(None),
            "json_object" => Ok(Some(Grammar::JsonSchema(json!({"type": "object"})))),
            "json_schema" => match self.json_schema.and_then(|named| named.schema) {
                Some(schema) => Ok(Some(Grammar::JsonSchema(schema))),
                None => Err(ApiError::invalid_param(
                    "response_format",
                    "`response_format` of the type \"json_schema\" needs `json_schema.schema`",
                )),
            },
            other => Err(ApiError::invalid_param(
                "response_format",
                format!(
                    "`response_format` has the type {other:?}, but \"text\", \"json_object\" and \"json_schema\" are known"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(body: Value) -> Result<Option<Grammar>, ApiError> {
        serde_json::from_value::<GrammarFields>(body).unwrap().grammar()
    }

    #[rstest]
    #[case(json!({}), None)]
    #[case(json!({"response_format": {"type": "text"}}), None)]
    #[case(json!({"response_format": {"type": "json_object"}}), Some(Grammar::JsonSchema(json!({"type": "object"}))))]
    #[case(
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}}}),
        Some(Grammar::JsonSchema(json!({"type": "null"})))
    )]
    #[case(json!({"guided_json": "{\"type\": \"null\"}"}), Some(Grammar::JsonSchema(json!({"type": "null"}))))]
    #[case(json!({"guided_regex": "a+"}), Some(Grammar::Regex("a+".to_owned())))]
    #[case(json!({"guided_grammar": "start: \"a\""}), Some(Grammar::Lark("start: \"a\"".to_owned())))]
    fn every_form_is_read(#[case] body: Value, #[case] expected: Option<Grammar>) {
        assert_eq!(read(body).unwrap(), expected);
    }

    #[rstest]
    #[case(json!({"response_format": {"type": "xml"}}))]
    #[case(json!({"response_format": {"type": "json_schema"}}))]
    #[case(json!({"guided_regex": "a", "response_format": {"type": "json_object"}}))]
    #[case(json!({"guided_json": "{"}))]
    fn what_cannot_hold_is_refused(#[case] body: Value) {
        assert!(read(body).is_err());
    }
}
