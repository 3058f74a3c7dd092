//! What the message asks for: the classifier's intents, gathered to the topics that the pipeline
//! treats alike; one request, or one for each order or numbered point.

use tier0_playbook::Playbook;

use super::lookup::named_orders;
use crate::{
    intent::{Classifier, OUT_OF_SCOPE, Score, parts},
    support::{IntentScore, SupportError, texts::English},
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
/// Requests of one message at most; a message with more is read as one.
const MAX_REQUESTS: usize = 3;

/// What kind of answer a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::support) enum RequestKind {
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

impl RequestKind {
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
pub(in crate::support) struct IntentRequest {
    pub(in crate::support) kind: RequestKind,
    /// Probability of the topic: of all its intents together.
    pub(in crate::support) confidence: f32,
    /// The words that ask for it.
    pub(in crate::support) text: English,
    /// Whether it may be a question about the rules rather than a request under them.
    pub(in crate::support) asks_in_general: bool,
}

/// The outcome of the first stage.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::support) struct Triage {
    /// In the message's order; at least one.
    pub(in crate::support) requests: Vec<IntentRequest>,
    /// The likeliest intents, likeliest first.
    pub(in crate::support) intents: Vec<IntentScore>,
}

impl Triage {
    /// Whether it is likely enough what is asked for, and a machine may answer.
    pub(in crate::support) fn is_clear(&self) -> bool {
        let for_a_machine = self.requests.iter().all(|asked| asked.kind != RequestKind::Person);
        for_a_machine && self.confidence() >= MIN_PART
    }

    /// How sure the least sure request is, 0 to 1.
    pub(in crate::support) fn confidence(&self) -> f32 {
        self.requests.iter().map(|asked| asked.confidence).fold(1.0, f32::min)
    }
}

/// Classifies a message as a whole and part by part.
///
/// # Errors
/// When the classifier fails.
pub(in crate::support) fn triage(
    classifier: &Classifier,
    playbook: Option<&Playbook>,
    question: &English,
    message: &English,
) -> Result<Triage, SupportError> {
    let heard = |texts: &[&str]| -> Result<Vec<IntentRequest>, SupportError> {
        let classified = classify(classifier, texts)?;
        let asked = texts.iter().zip(classified);
        Ok(asked.map(|(text, scores)| IntentRequest::from_scores(&scores, playbook, text)).collect())
    };
    let parts = parts(message.as_str());
    let by_order = by_order(&parts);
    let scores = classify(classifier, &[question.as_str()])?.pop().unwrap_or_default();
    let asked = match requests(heard(&strs(&by_order))?) {
        Some(asked) => asked,
        None => {
            let whole = IntentRequest::from_scores(&scores, playbook, question.as_str());
            let is_clear = whole.is_something_to_do() && whole.confidence >= MIN_PART;
            vec![if is_clear { whole } else { whole.or_surer(&heard(&strs(&parts))?, &scores) }]
        }
    };
    Ok(Triage { requests: asked, intents: named(&scores) })
}

/// The scores of each text's labels.
fn classify(classifier: &Classifier, texts: &[&str]) -> Result<Vec<Vec<Score>>, SupportError> {
    let classified = classifier.classify(texts);
    let classified =
        classified.map_err(|error| SupportError::Stage { stage: "triage", reason: error.to_string() })?;
    Ok(classified.into_iter().map(|classified| classified.scores).collect())
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

impl IntentRequest {
    /// Chooses the likeliest topic. A text whose intents are spread over one topic is clear.
    fn from_scores(scores: &[Score], playbook: Option<&Playbook>, text: &str) -> Self {
        let mut topics: Vec<(RequestKind, f32)> = Vec::new();
        for score in scores {
            let topic = RequestKind::of(&score.label, playbook);
            match topics.iter_mut().find(|(known, _)| *known == topic) {
                Some((_, total)) => *total += score.confidence,
                None => topics.push((topic, score.confidence)),
            }
        }
        let asks_in_general = topics.iter().any(|(t, p)| *t == RequestKind::Policy && *p >= MIN_GENERAL);
        let likeliest = topics.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (kind, confidence) = likeliest.unwrap_or((RequestKind::Person, 0.0));
        Self { kind, confidence, text: English::new(text), asks_in_general }
    }

    fn is_something_to_do(&self) -> bool {
        matches!(self.kind, RequestKind::Ruled(_) | RequestKind::Person)
    }

    /// The same message, or what one of its sentences surely asks to be done: questions beside a
    /// request ("and when do I get my money?") draw the whole away from it.
    fn or_surer(self, sentences: &[Self], whole: &[Score]) -> Self {
        let borne_out = |topic: &RequestKind| match topic {
            RequestKind::Ruled(label) => {
                whole.iter().any(|score| score.label == *label && score.confidence >= MIN_BORNE_OUT)
            }
            _ => false,
        };
        let surer = sentences.iter().filter(|part| part.confidence >= SURE_PART && borne_out(&part.kind));
        match surer.max_by(|a, b| a.confidence.total_cmp(&b.confidence)) {
            Some(part) => Self { kind: part.kind.clone(), confidence: part.confidence, ..self },
            None => self,
        }
    }
}

/// The requests of a message with several: those parts that name an order of their own and ask for
/// something of their own. `None` where the message is one request.
fn requests(parts: Vec<IntentRequest>) -> Option<Vec<IntentRequest>> {
    let own_order = |part: &IntentRequest| !named_orders(part.text.as_str()).is_empty();
    let sure = |part: &IntentRequest| part.confidence >= MIN_PART && part.kind.stands_alone();
    let asked: Vec<IntentRequest> = parts.into_iter().filter(|part| own_order(part) && sure(part)).collect();
    let differ = asked.iter().any(|part| part.kind != asked[0].kind);
    (differ && asked.len() <= MAX_REQUESTS).then_some(asked)
}

/// A message's parts put together by the order that they are about: what follows an order's number
/// belongs to it until another is named.
fn by_order(parts: &[String]) -> Vec<String> {
    let mut stretches: Vec<String> = Vec::new();
    for part in parts {
        match stretches.last_mut() {
            Some(last) if named_orders(part).is_empty() && !named_orders(last).is_empty() => {
                last.push(' ');
                last.push_str(part);
            }
            _ => stretches.push(part.clone()),
        }
    }
    stretches
}

/// The likeliest intents, for the report.
fn named(scores: &[Score]) -> Vec<IntentScore> {
    let worth_naming =
        scores.iter().take(MAX_NAMED).enumerate().filter(|(i, s)| *i == 0 || s.confidence >= MIN_NAMED);
    let label = |score: &Score| match score.label.as_str() {
        // Helpdesks know one word for what is nothing of theirs.
        OUT_OF_SCOPE => "other".to_owned(),
        label => label.to_owned(),
    };
    worth_naming.map(|(_, s)| IntentScore { label: label(s), confidence: s.confidence }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(label: &str, confidence: f32) -> Score {
        Score { label: label.to_owned(), confidence }
    }

    fn part(kind: RequestKind, confidence: f32, text: &str) -> IntentRequest {
        IntentRequest { kind, confidence, text: English::new(text), asks_in_general: false }
    }

    #[test]
    fn intents_of_one_topic_add_up() {
        let scores = [score("complaint", 0.4), score("delivery_info", 0.35), score("policy_question", 0.21)];
        let asked = IntentRequest::from_scores(&scores, None, "");
        assert_eq!(asked.kind, RequestKind::Policy);
        assert!((asked.confidence - 0.56).abs() < 1e-6);
    }

    #[test]
    fn what_no_one_knows_goes_to_a_person() {
        assert_eq!(IntentRequest::from_scores(&[], None, "").kind, RequestKind::Person);
        assert_eq!(
            IntentRequest::from_scores(&[score("complaint", 0.9)], None, "").kind,
            RequestKind::Person
        );
    }

    #[test]
    fn what_follows_a_number_belongs_to_its_order() {
        let message =
            "I need two things! 1) where is #T10023, the lamp 2) cancel #T10058, please. I don't need it.";
        let stretches = by_order(&parts(message));
        assert_eq!(
            stretches,
            ["I need two things!", "where is #T10023, the lamp", "cancel #T10058, please. I don't need it."]
        );
    }

    #[test]
    fn a_sure_request_is_heard_beside_a_question() {
        let cancel = RequestKind::Ruled("cancel_order".to_owned());
        let whole = part(RequestKind::Refund, 0.46, "Cancel #1. When do I get my money?");
        let sentences = [part(cancel.clone(), 0.95, "Cancel #1."), part(RequestKind::Refund, 0.9, "When?")];
        let scores = [score("refund_status", 0.46), score("cancel_order", 0.33)];
        let asked = whole.clone().or_surer(&sentences, &scores);
        assert_eq!((asked.kind, asked.text), (cancel, whole.text.clone()));
        let unheard = [score("refund_status", 0.9), score("cancel_order", 0.05)];
        assert_eq!(whole.or_surer(&sentences, &unheard).kind, RequestKind::Refund);
    }

    #[test]
    fn parts_are_requests_only_if_they_ask_for_different_things() {
        let status = part(RequestKind::OrderStatus, 0.9, "where is #T10023");
        let cancel = part(RequestKind::Ruled("cancel_order".to_owned()), 0.9, "cancel #T10058");
        assert_eq!(requests(vec![status.clone(), cancel.clone()]).map(|asked| asked.len()), Some(2));
        assert_eq!(requests(vec![status.clone(), status.clone()]), None);
        let unsure = IntentRequest { confidence: 0.3, ..cancel };
        assert_eq!(requests(vec![status, unsure]), None);
    }
}
