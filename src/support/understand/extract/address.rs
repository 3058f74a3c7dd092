//! A postal address that the message gives.

use serde_json::{Map, Value, json};
use tier0_text::{contains, words};

const LINES: [&str; 6] = ["line1", "line2", "city", "region", "postal_code", "country"];
/// What no parcel arrives without.
const NEEDED: [&str; 3] = ["line1", "city", "postal_code"];

/// The model's answer, as far as it stands in the message; null where nothing of it does.
pub(super) fn read(answer: Option<&Map<String, Value>>, said: &[String]) -> Value {
    let line = |name: &str| -> Option<String> {
        let text = answer?.get(name)?.as_str()?.trim().trim_matches(',').to_owned();
        contains(said, &words(&text)).then_some(text)
    };
    let lines: Vec<(&str, Option<String>)> = LINES.iter().map(|name| (*name, line(name))).collect();
    let given = |name: &str| lines.iter().any(|(line, text)| *line == name && text.is_some());
    if !given("line1") && !given("city") && !given("postal_code") {
        return Value::Null;
    }
    let postal_code =
        lines.iter().find(|(name, _)| *name == "postal_code").and_then(|(_, text)| text.as_deref());
    let has_digits = postal_code.is_some_and(|code| code.chars().any(|c| c.is_ascii_digit()));
    let text: Vec<&str> = lines.iter().filter_map(|(_, text)| text.as_deref()).collect();
    let mut facts = json!({
        "complete": NEEDED.iter().all(|name| given(name)) && has_digits,
        "text": text.join(", "),
    });
    for (name, text) in &lines {
        facts[*name] = json!(text);
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(message: &str, answer: &Value) -> Value {
        read(answer.as_object(), &words(message))
    }

    #[test]
    fn an_address_that_the_message_gives_is_taken_line_by_line() {
        let answer = json!({"line1": "9 Kiln Court", "line2": "", "city": "Briar Glen", "region": "OR",
            "postal_code": "97301", "country": ""});
        let found = read_from("Please send it to 9 Kiln Court, Briar Glen, OR 97301.", &answer);
        assert_eq!(found["text"], "9 Kiln Court, Briar Glen, OR, 97301");
        assert_eq!((&found["complete"], &found["line2"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn what_the_model_adds_is_left_out() {
        let answer = json!({"line1": "9 Kiln Court", "line2": "", "city": "Portland", "region": "",
            "postal_code": "97301", "country": "USA"});
        let found = read_from("Send it to 9 Kiln Court from now on", &answer);
        assert_eq!(
            (&found["complete"], &found["city"], &found["text"]),
            (&json!(false), &Value::Null, &json!("9 Kiln Court"))
        );
        assert_eq!(read_from("I have moved", &answer), Value::Null);
        assert_eq!(read(None, &[]), Value::Null);
    }
}
