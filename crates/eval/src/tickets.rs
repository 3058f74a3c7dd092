//! Tickets with what a right answer to each needs, one JSON object a line.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{BadLine, Disposition, EvalError};

/// A file of tickets, all of them sound.
#[derive(Debug, Clone)]
pub struct TicketFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Hash of its content, in hexadecimal: two files with the same hash hold the same tickets.
    pub sha256: String,
    /// In the order of the file; no id stands twice.
    pub tickets: Vec<Ticket>,
}

/// A ticket as the helpdesk hands it over, and what a right answer needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Ticket {
    /// Names it in the report.
    pub id: String,
    /// Tickets of one kind are counted together.
    pub kind: String,
    /// How the customer wrote.
    pub channel: Channel,
    /// Subject line, where the channel has one.
    pub subject: Option<String>,
    /// What the customer wrote.
    pub message: String,
    /// Who sent it.
    pub customer: Customer,
    /// What a right answer needs.
    pub gold: Gold,
}

/// How the customer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A live chat.
    Chat,
    /// E-mail.
    Email,
}

/// What the helpdesk knows about the sender.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Customer {
    /// The sender's address.
    pub email: Option<String>,
    /// Whether the helpdesk has authenticated it.
    pub verified: bool,
}

/// What a right answer needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Gold {
    /// What the message is about.
    pub intents: Vec<String>,
    /// The orders that the reply must be about.
    pub order_ids: Vec<String>,
    /// What ends the ticket well.
    pub disposition: Disposition,
    /// Each has to be found in the reply.
    pub must_state: Vec<Pattern>,
    /// None may be found in the reply.
    pub must_not_state: Vec<Pattern>,
    /// What has to be proposed. The key may not be left out: a misspelt one would let any reply
    /// without an action pass.
    #[serde(deserialize_with = "Option::deserialize")]
    pub action: Option<GoldAction>,
}

/// The action that has to be proposed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GoldAction {
    /// Such as `cancel_order`.
    pub name: String,
    /// The arguments that have to be right; in the file they stand beside the name.
    #[serde(flatten)]
    pub arguments: Map<String, Value>,
}

/// A regular expression that does not tell upper from lower case.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles `expression`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(expression: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(expression).case_insensitive(true).build();
        regex.map(Self).map_err(|error| {
            // The message draws the place over several lines; its last line says what is wrong.
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{expression}` is not a regular expression: {reason}")
        })
    }

    /// The expression as it stands in the file.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The first words of `text` that it matches.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.0.find(text).map(|found| found.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl TicketFile {
    /// Reads a file. Blank lines are skipped.
    ///
    /// # Errors
    /// When it cannot be read, holds no ticket, or holds lines that are none: all of them are named.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let unreadable = |source| EvalError::Io { action: "read the tickets", path: path.to_owned(), source };
        Self::parse(path, &fs::read(path).map_err(unreadable)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, EvalError> {
        let mut tickets = Vec::new();
        let mut bad_lines = Vec::new();
        let mut line_of_id = HashMap::new();
        for (line, text) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            if text.trim_ascii().is_empty() {
                continue;
            }
            match parse_ticket(text).and_then(|ticket| unrepeated(ticket, line, &mut line_of_id)) {
                Ok(ticket) => tickets.push(ticket),
                Err(reason) => bad_lines.push(BadLine { line, reason }),
            }
        }
        if !bad_lines.is_empty() {
            return Err(EvalError::BadTickets { path: path.to_owned(), lines: bad_lines });
        }
        if tickets.is_empty() {
            return Err(EvalError::NoTickets { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), sha256: hash(bytes), tickets })
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Goes through a JSON value, so that whatever is wrong with a ticket can be said with its id.
fn parse_ticket(line: &[u8]) -> Result<Ticket, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    // serde would also take an array with the fields in order.
    if !value.is_object() {
        return Err("not a JSON object".to_owned());
    }
    let id = value["id"].as_str().map(str::to_owned);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let ticket = id.map_or("a ticket without an id".to_owned(), |id| format!("ticket {id}"));
        format!("{ticket}: {error}")
    })
}

/// Answers are kept by the ticket's id, so it has to be its own.
fn unrepeated(
    ticket: Ticket,
    line: usize,
    line_of_id: &mut HashMap<String, usize>,
) -> Result<Ticket, String> {
    match line_of_id.insert(ticket.id.clone(), line) {
        None => Ok(ticket),
        Some(first) => Err(format!("ticket {}: the id is already that of line {first}", ticket.id)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<TicketFile, EvalError> {
        TicketFile::parse(Path::new("tickets.jsonl"), text.as_bytes())
    }

    fn ticket(id: &str) -> Value {
        json!({
            "id": id, "kind": "address", "channel": "email", "subject": null, "message": "I moved.",
            "customer": {"email": "ada@mail.example", "verified": true},
            "gold": {
                "intents": ["change_address"], "order_ids": ["#A1"], "disposition": "action",
                "must_state": ["new\\ address"], "must_not_state": [],
                "action": {"name": "modify_address", "order_id": "#A1", "zip": "04107"},
            },
        })
    }

    /// The only bad line's number and reason.
    fn bad_line(text: &str) -> (usize, String) {
        match parse(text).unwrap_err() {
            EvalError::BadTickets { lines, .. } if lines.len() == 1 => {
                (lines[0].line, lines[0].reason.clone())
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_file_is_read_in_order_without_its_blank_lines() {
        let file = parse(&format!("{}\n\n  \r\n{}", ticket("t2"), ticket("t1"))).unwrap();
        let ids: Vec<_> = file.tickets.iter().map(|ticket| ticket.id.as_str()).collect();
        assert_eq!(ids, ["t2", "t1"]);
        let action = file.tickets[0].gold.action.clone().unwrap();
        assert_eq!(action.name, "modify_address");
        assert_eq!(Value::from(action.arguments), json!({"order_id": "#A1", "zip": "04107"}));
    }

    #[test]
    fn the_hash_is_that_of_the_content() {
        // The first example of FIPS 180-2.
        assert_eq!(hash(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let line = ticket("t1").to_string();
        assert_eq!(parse(&line).unwrap().sha256, hash(line.as_bytes()));
    }

    #[rstest]
    #[case("NEW ADDRESS", Some("NEW ADDRESS"))]
    #[case("your New Address is", Some("New Address"))]
    #[case("newaddress", None)]
    fn patterns_do_not_tell_upper_from_lower_case(#[case] text: &str, #[case] found: Option<&str>) {
        let file = parse(&ticket("t1").to_string()).unwrap();
        assert_eq!(file.tickets[0].gold.must_state[0].find(text), found);
    }

    #[test]
    fn an_invalid_expression_is_reported_with_its_ticket_and_place() {
        let mut bad = ticket("t2");
        bad["gold"]["must_not_state"] = json!(["fine", "refund (was"]);
        let (line, reason) = bad_line(&format!("{}\n{bad}\n", ticket("t1")));
        assert_eq!(line, 2);
        assert_eq!(
            reason,
            "ticket t2: gold.must_not_state[1]: `refund (was` is not a regular expression: unclosed group"
        );
    }

    #[rstest]
    #[case::not_json("{\"id\": ", "not JSON: EOF")]
    #[case::not_an_object("[1]", "not a JSON object")]
    #[case::not_utf8_escape("\"\\ud800\"", "not JSON")]
    #[case::no_id("{\"kind\": \"x\"}", "a ticket without an id: missing field `id`")]
    fn a_bad_line_is_reported_with_its_number(#[case] line: &str, #[case] expected: &str) {
        let (number, reason) = bad_line(&format!("{}\n{line}\n{}", ticket("t1"), ticket("t2")));
        assert_eq!(number, 2);
        assert!(reason.starts_with(expected), "{reason}");
    }

    #[rstest]
    #[case("/gold/action")]
    #[case("/gold/must_state")]
    #[case("/gold/must_not_state")]
    #[case("/gold/disposition")]
    #[case("/customer/verified")]
    #[case("/message")]
    fn what_a_ticket_needs_cannot_be_left_out(#[case] pointer: &str) {
        let mut bad = ticket("t9");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap().as_object_mut().unwrap().shift_remove(key);
        let (_, reason) = bad_line(&bad.to_string());
        assert!(reason.starts_with("ticket t9: ") && reason.contains(&format!("`{key}`")), "{reason}");
    }

    #[test]
    fn an_unknown_disposition_is_reported_with_those_that_there_are() {
        let mut bad = ticket("t1");
        bad["gold"]["disposition"] = json!("solve");
        let (_, reason) = bad_line(&bad.to_string());
        assert!(reason.contains("gold.disposition: unknown variant `solve`"), "{reason}");
        assert!(reason.contains("`clarify`"), "{reason}");
    }

    #[test]
    fn an_id_can_stand_only_once() {
        let (line, reason) = bad_line(&format!("{0}\n\n{0}", ticket("t1")));
        assert_eq!((line, reason.as_str()), (3, "ticket t1: the id is already that of line 1"));
    }

    #[test]
    fn every_bad_line_is_named_up_to_a_limit() {
        let message = parse(&"x\n".repeat(12)).unwrap_err().to_string();
        assert!(message.contains("tickets.jsonl:1: not JSON"), "{message}");
        assert!(message.contains("tickets.jsonl:10: "), "{message}");
        assert!(!message.contains("tickets.jsonl:11: "), "{message}");
        assert!(message.ends_with("and 2 more"), "{message}");
    }

    #[rstest]
    #[case("")]
    #[case("\n \n")]
    fn a_file_without_tickets_is_refused(#[case] text: &str) {
        assert!(matches!(parse(text), Err(EvalError::NoTickets { .. })));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let message = TicketFile::read(Path::new("no/such/tickets.jsonl")).unwrap_err().to_string();
        assert!(message.contains("no/such/tickets.jsonl"), "{message}");
    }

    proptest::proptest! {
        /// Whatever stands in a line, it is a ticket or a reason.
        #[test]
        fn no_line_is_too_odd_to_report(bytes: Vec<u8>) {
            let _ = TicketFile::parse(Path::new("tickets.jsonl"), &bytes);
        }
    }
}
