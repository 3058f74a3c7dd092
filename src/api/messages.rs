//! Converts the messages of a request to plain messages.

use serde::Deserialize;
use serde_json::Value;

use super::error::ApiError;
use crate::model::chat::{Message, Role};

/// A message as it stands in the request.
#[derive(Debug, Deserialize)]
pub(super) struct WireMessage {
    role: String,
    #[serde(default)]
    content: Value,
}

/// Converts the request's messages to those that a chat template reads.
///
/// # Errors
/// 400 naming the first message with an unknown role or with content other than text.
pub(super) fn plain_messages(messages: Vec<WireMessage>) -> Result<Vec<Message>, ApiError> {
    if messages.is_empty() {
        let message = "`messages` is empty; send at least one message of the role \"user\"";
        return Err(ApiError::invalid_param("messages", message));
    }
    messages
        .into_iter()
        .enumerate()
        .map(|(position, message)| {
            let at = format!("messages[{position}]");
            Ok(Message { role: role(&message.role, &at)?, content: plain_text(message.content, &at)? })
        })
        .collect()
}

/// The role by its name; `developer` is OpenAI's newer name for `system`.
fn role(role: &str, at: &str) -> Result<Role, ApiError> {
    match role {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        _ => Err(ApiError::invalid_param(
            format!("{at}.role"),
            format!(
                "the role {role:?} is not supported; use \"system\", \"developer\", \"user\" or \
                 \"assistant\""
            ),
        )),
    }
}

/// The text of a message's content: a string, or a list of text parts, which become paragraphs.
fn plain_text(content: Value, at: &str) -> Result<String, ApiError> {
    match content {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let parts: Result<Vec<_>, _> = parts
                .iter()
                .enumerate()
                .map(|(position, part)| part_text(part, &format!("{at}.content[{position}]")))
                .collect();
            Ok(parts?.join("\n"))
        }
        _ => Err(ApiError::invalid_param(
            format!("{at}.content"),
            "the content of a message must be a string or a list of text parts",
        )),
    }
}

fn part_text<'a>(part: &'a Value, at: &str) -> Result<&'a str, ApiError> {
    let kind = part.get("type").and_then(Value::as_str);
    let text = part.get("text").and_then(Value::as_str);
    match (kind, text) {
        (Some("text"), Some(text)) => Ok(text),
        (Some("text") | None, _) => {
            Err(ApiError::invalid_param(at, "a part must look like {\"type\": \"text\", \"text\": \"…\"}"))
        }
        (Some(kind), _) => Err(ApiError::invalid_param(
            at,
            format!("parts of the type {kind:?} are not supported, only \"text\""),
        )
        .with_code("unsupported_content")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn read(messages: Value) -> Result<Vec<Message>, ApiError> {
        plain_messages(serde_json::from_value(messages).unwrap())
    }

    #[test]
    fn strings_and_text_parts_become_plain_text() {
        let messages = read(json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "name": "ada", "content": [
                {"type": "text", "text": "first"}, {"type": "text", "text": "zweite Zeile ü"},
            ]},
            {"role": "assistant", "content": ""},
        ]))
        .unwrap();
        let expected =
            [(Role::System, "Be brief."), (Role::User, "first\nzweite Zeile ü"), (Role::Assistant, "")];
        for (message, (role, content)) in messages.iter().zip(expected) {
            assert_eq!((message.role, message.content.as_str()), (role, content));
        }
        assert_eq!(messages.len(), expected.len());
    }

    #[rstest]
    #[case(json!([]), "messages")]
    #[case(json!([{"role": "tool", "content": "x"}]), "messages[0].role")]
    #[case(json!([{"role": "user"}]), "messages[0].content")]
    #[case(json!([{"role": "user", "content": "x"}, {"role": "user", "content": 1}]),
           "messages[1].content")]
    #[case(json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
           "messages[0].content[0]")]
    #[case(json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0]")]
    #[case(json!([{"role": "user", "content": ["bare"]}]), "messages[0].content[0]")]
    fn anything_else_is_refused_where_it_stands(#[case] messages: Value, #[case] param: &str) {
        let error = read(messages).unwrap_err();
        let body = serde_json::to_value(error.body()).unwrap();
        assert_eq!(body["error"]["param"], param);
    }
}
