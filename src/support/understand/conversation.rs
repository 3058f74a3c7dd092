//! What a customer asks for over several messages: "cancel my order", "which one?", "#W2611340".

use tier0_text::{contains, words};

use super::lookup::named_orders;
use crate::{
    model::chat::Role,
    support::{
        Ticket,
        texts::{AsWritten, OwnWords},
    },
};

/// Earlier messages of the customer that a request may go on from.
const MAX_EARLIER: usize = 3;
/// Words beside order numbers in a message that says nothing of its own.
const MAX_BARE_WORDS: usize = 3;
/// Words of a message that may be a mere yes.
const MAX_YES_WORDS: usize = 6;
/// How customers agree to what was proposed.
const YES: [&str; 10] =
    ["yes", "yep", "yeah", "ok", "okay", "sure", "confirm", "confirmed", "agreed", "go ahead"];
/// What takes the yes back.
const NO: [&str; 6] = ["no", "not", "dont", "but", "wait", "instead"];

/// The customer's side of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::support) struct Conversation<'a> {
    /// The message to answer.
    last: &'a str,
    /// What the customer wrote before, oldest first.
    earlier: Vec<&'a str>,
    /// What they were told last.
    told: Option<&'a str>,
}

impl<'a> Conversation<'a> {
    /// Reads a ticket's messages; `None` where the customer says nothing.
    pub(in crate::support) fn of(ticket: &'a Ticket) -> Option<Self> {
        let at = ticket.messages.iter().rposition(|message| message.role == Role::User)?;
        let last = Some(ticket.messages[at].content.trim()).filter(|last| !last.is_empty())?;
        let before = &ticket.messages[..at];
        let told = before.iter().rfind(|message| message.role == Role::Assistant);
        let written = before.iter().filter(|message| message.role == Role::User);
        let mut earlier: Vec<&str> = written.map(|message| message.content.trim()).collect();
        earlier.drain(..earlier.len().saturating_sub(MAX_EARLIER));
        Some(Self { last, earlier, told: told.map(|message| message.content.as_str()) })
    }

    /// Whether there is anything that the last message may go on from.
    pub(in crate::support) fn has_earlier(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Whether the last message answers a question, or says too little to stand alone.
    fn goes_on(&self) -> bool {
        let asked = self.told.is_some_and(|told| told.contains('?'));
        self.has_earlier() && (asked || is_bare(self.last))
    }

    /// Whether the customer only agrees to what they were told.
    pub(in crate::support) fn agrees(&self) -> bool {
        let said = words(self.last);
        let has = |list: &[&str]| list.iter().any(|phrase| contains(&said, &words(phrase)));
        self.told.is_some() && said.len() <= MAX_YES_WORDS && has(&YES) && !has(&NO)
    }

    /// Everything that the customer wrote.
    pub(in crate::support) fn as_written(&self) -> AsWritten {
        AsWritten::new(self.earlier.iter().copied().chain([self.last]).collect::<Vec<_>>().join("\n"))
    }

    /// The words to answer: the last message, with those before it that it goes on from.
    pub(in crate::support) fn own_words(&self) -> OwnWords {
        if self.goes_on() { self.as_written().into_own_words() } else { OwnWords::new(self.last) }
    }
}

/// Whether a message is little more than an order's number.
fn is_bare(message: &str) -> bool {
    let numbers = named_orders(message).len();
    let is_word = |word: &String| !word.chars().all(char::is_numeric) && word.len() > 1;
    words(message).iter().filter(|word| is_word(word)).count() <= MAX_BARE_WORDS && numbers > 0
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{model::chat::Message, support::Channel};

    fn ticket(turns: &[(Role, &str)]) -> Ticket {
        Ticket {
            id: None,
            channel: Channel::Chat,
            subject: None,
            messages: turns.iter().map(|(role, text)| Message::new(*role, *text)).collect(),
            customer_email: None,
            customer_verified: false,
        }
    }

    #[rstest]
    #[case::an_answer(&[(Role::User, "cancel it"), (Role::Assistant, "Which order?"), (Role::User, "the newest")], true)]
    #[case::a_number(&[(Role::User, "cancel it"), (Role::Assistant, "Send the number."), (Role::User, "it is #W2611340")], true)]
    #[case::something_new(&[(Role::User, "cancel it"), (Role::Assistant, "Done."), (Role::User, "Where is my lamp?")], false)]
    #[case::the_first_message(&[(Role::User, "#W2611340")], false)]
    fn an_answer_goes_on_from_the_request(#[case] turns: &[(Role, &str)], #[case] goes_on: bool) {
        assert_eq!(Conversation::of(&ticket(turns)).unwrap().goes_on(), goes_on);
    }

    #[rstest]
    #[case("Yes", true)]
    #[case("ok, go ahead please", true)]
    #[case("Yes, but the other one", false)]
    #[case("no", false)]
    #[case("Yes I want to know when the parcel comes", false)]
    fn a_yes_is_a_yes(#[case] last: &str, #[case] agrees: bool) {
        let turns =
            [(Role::User, "cancel it"), (Role::Assistant, "Reply yes to confirm."), (Role::User, last)];
        assert_eq!(Conversation::of(&ticket(&turns)).unwrap().agrees(), agrees);
    }

    #[test]
    fn all_that_was_written_is_read() {
        let turns = [(Role::User, "a"), (Role::Assistant, "?"), (Role::User, "b"), (Role::User, "c")];
        assert_eq!(Conversation::of(&ticket(&turns)).unwrap().as_written(), AsWritten::new("a\nb\nc"));
        assert_eq!(Conversation::of(&ticket(&[(Role::User, " ")])), None);
    }
}
