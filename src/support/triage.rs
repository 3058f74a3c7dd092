//! What the message is about: the classifier's intents, gathered to the topics that the pipeline
//! treats alike.

use crate::intent::Score;

use super::{IntentScore, types::Ticket};

/// Intents named in a report at most, and the confidence below which they are not worth naming.
const MAX_NAMED: usize = 3;
const MIN_NAMED: f32 = 0.05;

/// What kind of answer a message needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
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
    const ALL: [Self; 6] =
        [Self::OrderStatus, Self::OrderDetails, Self::Refund, Self::Product, Self::Policy, Self::Person];

    fn of(label: &str) -> Self {
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

    /// Whether it can only be answered from the customer's own orders.
    pub(super) fn needs_orders(self) -> bool {
        matches!(self, Self::OrderStatus | Self::OrderDetails | Self::Refund)
    }
}

/// The outcome of the first stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Triage {
    pub(super) topic: Topic,
    /// Probability of the topic: of all its intents together.
    pub(super) confidence: f32,
    /// The likeliest intents, likeliest first.
    pub(super) intents: Vec<IntentScore>,
}

impl Triage {
    /// Chooses the likeliest topic. A message whose intents are spread over one topic is clear.
    pub(super) fn from_scores(scores: &[Score]) -> Self {
        let total =
            |topic| scores.iter().filter(|s| Topic::of(&s.label) == topic).map(|s| s.confidence).sum::<f32>();
        let weighed = Topic::ALL.map(|topic| (topic, total(topic)));
        let (topic, confidence) =
            weighed.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((Topic::Person, 0.0));
        let named =
            scores.iter().take(MAX_NAMED).enumerate().filter(|(i, s)| *i == 0 || s.confidence >= MIN_NAMED);
        let intents =
            named.map(|(_, s)| IntentScore { label: s.label.clone(), confidence: s.confidence }).collect();
        Self { topic, confidence, intents }
    }
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

    #[test]
    fn intents_of_one_topic_add_up() {
        let scores = [
            score("cancel_order", 0.4),
            score("delivery_info", 0.35),
            score("policy_question", 0.21),
            score("x", 0.04),
        ];
        let triage = Triage::from_scores(&scores);
        assert_eq!(triage.topic, Topic::Policy);
        assert!((triage.confidence - 0.56).abs() < 1e-6);
        let named: Vec<_> = triage.intents.iter().map(|i| i.label.as_str()).collect();
        assert_eq!(named, ["cancel_order", "delivery_info", "policy_question"]);
    }

    #[test]
    fn what_no_one_knows_goes_to_a_person() {
        assert_eq!(Triage::from_scores(&[]).topic, Topic::Person);
        assert_eq!(Triage::from_scores(&[score("complaint", 0.9)]).topic, Topic::Person);
    }
}
