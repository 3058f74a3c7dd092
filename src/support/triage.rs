//! What the message asks for: the classifier's intents, gathered to the topics that the pipeline
//! treats alike; one request, or one for each order or numbered point.

use super::{IntentScore, SupportError, lookup::named_orders, types::Ticket};
use crate::{
    intent::{Classifier, IntentError, Score},
    playbook::Playbook,
};

/// Intents named in a report at most, and the confidence below which they are not worth naming.
const MAX_NAMED: usize = 3;
const MIN_NAMED: f32 = 0.05;
/// Confidence from which a part of a message counts as a request of its own.
const MIN_PART: f32 = 0.5;
/// Confidence from which a sentence surely asks for something to be done, and the part of it that the
/// whole message has to bear out.
const SURE_PART: f32 = 0.8;
const MIN_BORNE_OUT: f32 = 0.15;
/// Probability of a question about the rules from which a request may be one.
const MIN_GENERAL: f32 = 0.2;
/// Requests of one message at most; what asks for more is for a person.
const MAX_REQUESTS: usize = 3;

/// What kind of answer a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Topic {
    /// The playbook decides this intent.
    Ruled(String),
    /// Where an order is.
    OrderStatus,
    /// What is in an order, what it cost, where it goes.
    OrderDetails,
    /// Whether money has come back.
    Refund,
    /// What the store sells.
    Product,
    /// What the store's articles say.
    Policy,
    /// Something that only a person may settle.
    Person,
}

impl Topic {
    fn of(label: &str, playbook: Option<&Playbook>) -> Self {
        if playbook.is_some_and(|playbook| playbook.intent(label).is_some()) {
            return Self::Ruled(label.to_owned());
        }
        match label {
            "track_order" => Self::OrderStatus,
            "order_details" | "invoice" => Self::OrderDetails,
            "refund_status" => Self::Refund,
            "product_info" => Self::Product,
            "policy_question" | "delivery_info" | "gift_card" | "loyalty" | "warranty"
            | "price_adjustment" | "create_account" | "password_reset" | "newsletter" | "place_order" => {
                Self::Policy
            }
            _ => Self::Person,
        }
    }

    /// Whether a message may ask for it beside something else.
    fn stands_alone(&self) -> bool {
        !matches!(self, Self::Person | Self::Refund)
    }
}

/// One thing that a message asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) topic: Topic,
    /// Probability of the topic: of all its intents together.
    pub(super) confidence: f32,
    /// The words that ask for it.
    pub(super) text: String,
    /// Whether it may be a question about the rules rather than a request under them.
    pub(super) asks_in_general: bool,
}

/// The outcome of the first stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Triage {
    /// In the message's order; at least one.
    pub(super) asked: Vec<Asked>,
    /// The likeliest intents, likeliest first.
    pub(super) intents: Vec<IntentScore>,
}

impl Triage {
    /// Sure that no machine should answer.
    pub(super) fn confidence(&self) -> f32 {
        self.asked.iter().map(|asked| asked.confidence).fold(1.0, f32::min)
    }
}

/// Classifies a message as a whole and part by part.
///
/// # Errors
/// When the classifier fails.
pub(super) fn triage(
    classifier: &Classifier,
    playbook: Option<&Playbook>,
    question: &str,
    message: &str,
) -> Result<Triage, SupportError> {
    let failed = |error: IntentError| SupportError::Stage { stage: "triage", reason: error.to_string() };
    let scores = classifier.classify(question).map_err(failed)?;
    let whole = Asked::from_scores(&scores, playbook, question);
    let mut parts = Vec::new();
    for part in parts_of(message) {
        let scores = classifier.classify(&part).map_err(failed)?;
        parts.push(Asked::from_scores(&scores, playbook, &part));
    }
    let asked = match requests(parts) {
        Some(asked) => asked,
        None => {
            let sentences = pieces(message).into_iter().map(|sentence| {
                let scores = classifier.classify(&sentence).map_err(failed)?;
                Ok(Asked::from_scores(&scores, playbook, &sentence))
            });
            let sentences = sentences.collect::<Result<Vec<_>, SupportError>>()?;
            vec![whole.or_surer(&sentences, &scores)]
        }
    };
    Ok(Triage { asked, intents: named(&scores) })
}

impl Asked {
    /// Chooses the likeliest topic. A text whose intents are spread over one topic is clear.
    fn from_scores(scores: &[Score], playbook: Option<&Playbook>, text: &str) -> Self {
        let mut topics: Vec<(Topic, f32)> = Vec::new();
        for score in scores {
            let topic = Topic::of(&score.label, playbook);
            match topics.iter_mut().find(|(known, _)| *known == topic) {
                Some((_, total)) => *total += score.confidence,
                None => topics.push((topic, score.confidence)),
            }
        }
        let asks_in_general = topics.iter().any(|(t, p)| *t == Topic::Policy && *p >= MIN_GENERAL);
        let likeliest = topics.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (topic, confidence) = likeliest.unwrap_or((Topic::Person, 0.0));
        Self { topic, confidence, text: text.to_owned(), asks_in_general }
    }
}

impl Asked {
    /// The same message, or what one of its sentences surely asks to be done: questions beside a
    /// request ("and when do I get my money?") draw the whole away from it.
    fn or_surer(self, sentences: &[Self], whole: &[Score]) -> Self {
        if matches!(self.topic, Topic::Ruled(_) | Topic::Person) && self.confidence >= MIN_PART {
            return self;
        }
        let borne_out = |topic: &Topic| match topic {
            Topic::Ruled(label) => {
                whole.iter().any(|score| score.label == *label && score.confidence >= MIN_BORNE_OUT)
            }
            _ => false,
        };
        let surer = sentences.iter().filter(|part| part.confidence >= SURE_PART && borne_out(&part.topic));
        match surer.max_by(|a, b| a.confidence.total_cmp(&b.confidence)) {
            Some(part) => Self { topic: part.topic.clone(), confidence: part.confidence, ..self },
            None => self,
        }
    }
}

/// The requests of a message with several: those parts that name an order of their own and ask for
/// something of their own. `None` where the message is one request.
fn requests(parts: Vec<Asked>) -> Option<Vec<Asked>> {
    let own_order = |part: &Asked| !named_orders(&part.text).is_empty();
    let sure = |part: &Asked| part.confidence >= MIN_PART && part.topic.stands_alone();
    let asked: Vec<Asked> = parts.into_iter().filter(|part| own_order(part) && sure(part)).collect();
    let differ = asked.iter().any(|part| part.topic != asked[0].topic);
    (differ && asked.len() <= MAX_REQUESTS).then_some(asked)
}

/// The parts of a message that may ask for different things: numbered points, lines, sentences.
/// What follows the order's number within its point belongs to it.
fn parts_of(message: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for piece in pieces(message) {
        match parts.last_mut() {
            // A sentence without a number of its own goes on with the one before.
            Some(last) if named_orders(&piece).is_empty() && !named_orders(last).is_empty() => {
                last.push(' ');
                last.push_str(&piece);
            }
            _ => parts.push(piece),
        }
    }
    parts
}

/// Splits at line ends, ends of sentences and numbers of points such as `2)`.
fn pieces(message: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in message.split_inclusive(char::is_whitespace) {
        let bare = word.trim();
        let is_point = bare.len() <= 3
            && bare.ends_with([')', '.'])
            && bare.starts_with(|c: char| c.is_ascii_digit())
            && bare.trim_end_matches([')', '.']).chars().all(|c| c.is_ascii_digit());
        if is_point {
            pieces.push(String::new());
            continue;
        }
        if let Some(last) = pieces.last_mut() {
            last.push_str(word);
        }
        if bare.ends_with(['.', '!', '?', ';']) || word.ends_with('\n') {
            pieces.push(String::new());
        }
    }
    let pieces = pieces.into_iter().map(|piece| piece.trim().to_owned());
    pieces.filter(|piece| piece.chars().any(char::is_alphanumeric)).collect()
}

/// The likeliest intents, for the report.
fn named(scores: &[Score]) -> Vec<IntentScore> {
    let worth_naming =
        scores.iter().take(MAX_NAMED).enumerate().filter(|(i, s)| *i == 0 || s.confidence >= MIN_NAMED);
    worth_naming.map(|(_, s)| IntentScore { label: s.label.clone(), confidence: s.confidence }).collect()
}

/// The text that is classified: an e-mail's subject belongs to what it asks.
pub(super) fn question(ticket: &Ticket, message: &str) -> String {
    match ticket.subject.as_deref().map(str::trim).filter(|s| !s.is_empty()) {
        Some(subject) => format!("{subject}\n{message}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(label: &str, confidence: f32) -> Score {
        Score { label: label.to_owned(), confidence }
    }

    fn part(topic: Topic, confidence: f32, text: &str) -> Asked {
        Asked { topic, confidence, text: text.to_owned(), asks_in_general: false }
    }

    #[test]
    fn intents_of_one_topic_add_up() {
        let scores = [score("complaint", 0.4), score("delivery_info", 0.35), score("policy_question", 0.21)];
        let asked = Asked::from_scores(&scores, None, "");
        assert_eq!(asked.topic, Topic::Policy);
        assert!((asked.confidence - 0.56).abs() < 1e-6);
    }

    #[test]
    fn what_no_one_knows_goes_to_a_person() {
        assert_eq!(Asked::from_scores(&[], None, "").topic, Topic::Person);
        assert_eq!(Asked::from_scores(&[score("complaint", 0.9)], None, "").topic, Topic::Person);
    }

    #[test]
    fn numbered_points_and_sentences_are_parts() {
        let parts = parts_of(
            "two things!! 1) where is #T10023, the lamp 2) cancel #T10058, please. I don't need it.",
        );
        assert_eq!(
            parts,
            ["two things!!", "where is #T10023, the lamp", "cancel #T10058, please. I don't need it."]
        );
    }

    #[test]
    fn a_sure_request_is_heard_beside_a_question() {
        let cancel = Topic::Ruled("cancel_order".to_owned());
        let whole = part(Topic::Refund, 0.46, "Cancel #1. When do I get my money?");
        let sentences = [part(cancel.clone(), 0.95, "Cancel #1."), part(Topic::Refund, 0.9, "When?")];
        let scores = [score("refund_status", 0.46), score("cancel_order", 0.33)];
        let asked = whole.clone().or_surer(&sentences, &scores);
        assert_eq!((asked.topic, asked.text), (cancel, whole.text.clone()));
        let unheard = [score("refund_status", 0.9), score("cancel_order", 0.05)];
        assert_eq!(whole.or_surer(&sentences, &unheard).topic, Topic::Refund);
    }

    #[test]
    fn parts_are_requests_only_if_they_ask_for_different_things() {
        let status = part(Topic::OrderStatus, 0.9, "where is #T10023");
        let cancel = part(Topic::Ruled("cancel_order".to_owned()), 0.9, "cancel #T10058");
        assert_eq!(requests(vec![status.clone(), cancel.clone()]).map(|asked| asked.len()), Some(2));
        assert_eq!(requests(vec![status.clone(), status.clone()]), None);
        let unsure = Asked { confidence: 0.3, ..cancel };
        assert_eq!(requests(vec![status, unsure]), None);
    }
}
