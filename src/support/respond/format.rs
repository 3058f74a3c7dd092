//! The form of a reply: what stands around its body, and what a model writes there unasked.

use tier0_playbook::Language;

use crate::support::Channel;

/// Opening words of greetings, and of closings, that models write in spite of being told not to.
const GREETINGS: [&str; 6] = ["hi", "hello", "dear", "hey", "good morning", "good afternoon"];
const CLOSINGS: [&str; 9] = [
    "best regards",
    "kind regards",
    "regards",
    "sincerely",
    "best",
    "warm regards",
    "thank you",
    "thanks",
    "yours sincerely",
];
/// Longest line that can be a greeting or part of a closing.
const MAX_COURTESY_CHARS: usize = 40;
/// Longest line that can announce a reply.
const MAX_PREAMBLE_CHARS: usize = 60;

/// The reply around a body: e-mails are greeted and signed, chat messages are not.
pub(in crate::support) fn wrap(
    body: &str,
    channel: Channel,
    language: Language,
    first_name: Option<&str>,
    store_name: Option<&str>,
) -> String {
    match channel {
        Channel::Chat => body.to_owned(),
        Channel::Email => {
            let (hello, regards) = courtesy(language);
            let greeting = first_name.map_or_else(|| format!("{hello},"), |name| format!("{hello} {name},"));
            let signature =
                store_name.map_or_else(|| "Customer support".to_owned(), |name| format!("{name} support"));
            format!("{greeting}\n\n{body}\n\n{regards}\n{signature}")
        }
    }
}

/// How an e-mail begins and ends.
fn courtesy(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::En => ("Hello", "Kind regards"),
        Language::Es => ("Hola", "Un cordial saludo"),
        Language::De => ("Guten Tag", "Freundliche Grüße"),
        Language::Fr => ("Bonjour", "Cordialement"),
    }
}

/// What a model wrote, without quotes around it, greeting or closing.
pub(in crate::support) fn strip_boilerplate(text: &str) -> String {
    let text = text.trim().trim_matches('"').trim();
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    while lines.len() > 1
        && (lines[0].is_empty() || is_preamble(lines[0]) || is_courtesy(lines[0], &GREETINGS))
    {
        lines.remove(0);
    }
    let closing = lines.iter().rposition(|line| is_courtesy(line, &CLOSINGS));
    if let Some(at) =
        closing.filter(|at| *at > 0 && lines[*at..].iter().all(|l| l.chars().count() <= MAX_COURTESY_CHARS))
    {
        lines.truncate(at);
    }
    lines.join("\n").trim().to_owned()
}

/// Whether a line only announces what follows: "Sure, here is the reply:".
fn is_preamble(line: &str) -> bool {
    let lower = line.to_lowercase();
    line.ends_with(':')
        && line.chars().count() <= MAX_PREAMBLE_CHARS
        && ["reply", "response", "body", "message", "answer"].iter().any(|word| lower.contains(word))
}

/// Whether a line is nothing but a formula that begins with one of `openings`.
fn is_courtesy(line: &str, openings: &[&str]) -> bool {
    let lower = line.to_lowercase();
    let begins = |opening: &&str| {
        lower.strip_prefix(*opening).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    line.chars().count() <= MAX_COURTESY_CHARS && !line.ends_with(['.', '?']) && openings.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Your order is pending.", "Your order is pending.")]
    #[case("Hi Maya,\n\nYour order is pending.\n\nBest regards,\n[Your Name]", "Your order is pending.")]
    #[case("\"Your order is pending.\"", "Your order is pending.")]
    #[case(
        "Thank you for your message. Your order is pending.",
        "Thank you for your message. Your order is pending."
    )]
    #[case("Sure, here's the reply:\n\nHello Sam,\n\nYour order is pending.", "Your order is pending.")]
    #[case("Hi there", "Hi there")]
    fn only_the_body_is_kept(#[case] text: &str, #[case] body: &str) {
        assert_eq!(strip_boilerplate(text), body);
    }

    #[test]
    fn an_email_has_a_greeting_and_a_closing() {
        let reply = wrap("It is pending.", Channel::Email, Language::En, Some("Maya"), Some("Larkmoor"));
        assert_eq!(reply, "Hello Maya,\n\nIt is pending.\n\nKind regards\nLarkmoor support");
        let chat = wrap("It is pending.", Channel::Chat, Language::En, Some("Maya"), Some("Larkmoor"));
        assert_eq!(chat, "It is pending.");
    }
}
