//! What a reply has to say: settled by rules and data before the model writes a word.

use tier0_playbook::{Language, ProposedAction};

use super::{Citation, Outcome, phrases::Said};

/// One thing that the reply has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    /// A whole sentence; it may stand in the reply as it is. What quotes an article is in the
    /// article's language alone.
    pub(super) said: Said,
    /// What stands in a template instead: an article's words need an introduction.
    pub(super) introduced: Option<Said>,
    /// An English reply has to contain one text out of each group, in either case.
    pub(super) must: Vec<Vec<String>>,
}

impl Point {
    /// A point whose wording is free.
    pub(super) fn plain(said: Said) -> Self {
        Self { said, introduced: None, must: Vec::new() }
    }

    /// A point with words that must not be lost.
    pub(super) fn stating(said: Said, must: impl IntoIterator<Item = String>) -> Self {
        Self { must: must.into_iter().map(|word| vec![word]).collect(), ..Self::plain(said) }
    }

    /// The words of an article, in English.
    pub(super) fn quoting(text: &str) -> Self {
        Self::plain(Said::from([(Language::En, text.to_owned())]))
    }

    /// The same, with the words that introduce it where no model phrases it.
    pub(super) fn introduced_by(mut self, introduction: &str) -> Self {
        let alone = self.said.iter().map(|(language, text)| (*language, format!("{introduction} {text}")));
        self.introduced = Some(alone.collect());
        self
    }

    /// The sentence as the model gets it.
    pub(super) fn english(&self) -> &str {
        self.said.get(&Language::En).map_or("", String::as_str)
    }
}

/// What a reply has to say, and what goes with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Brief {
    pub(super) outcome: Outcome,
    pub(super) points: Vec<Point>,
    pub(super) order_ids: Vec<String>,
    pub(super) citations: Vec<Citation>,
    pub(super) action: Option<ProposedAction>,
    /// 0 to 1: how sure the stages were that it fits the message.
    pub(super) confidence: f32,
}

impl Brief {
    /// A brief without orders, citations or action.
    pub(super) fn new(outcome: Outcome, points: Vec<Point>, confidence: f32) -> Self {
        Self { outcome, points, order_ids: Vec::new(), citations: Vec::new(), action: None, confidence }
    }

    /// The same about these orders.
    pub(super) fn about(mut self, order_ids: Vec<String>) -> Self {
        self.order_ids = order_ids;
        self
    }

    /// Both in one reply. `None` where each proposes an action: one reply confirms one.
    pub(super) fn and(mut self, other: Self) -> Option<Self> {
        if self.action.is_some() && other.action.is_some() {
            return None;
        }
        if weight(other.outcome) > weight(self.outcome) {
            self.outcome = other.outcome;
        }
        self.points.extend(
            other.points.into_iter().filter(|point| !self.points.contains(point)).collect::<Vec<_>>(),
        );
        let new = |ids: &[String], id: &String| !ids.contains(id);
        let order_ids: Vec<_> = other.order_ids.into_iter().filter(|id| new(&self.order_ids, id)).collect();
        self.order_ids.extend(order_ids);
        self.citations.extend(other.citations);
        self.action = self.action.or(other.action);
        self.confidence = self.confidence.min(other.confidence);
        Some(self)
    }

    /// The points' sentences in English.
    pub(super) fn english(&self) -> Vec<String> {
        self.points.iter().map(|point| point.english().to_owned()).collect()
    }

    /// The reply that the points make as they stand; `None` where one lacks the language.
    pub(super) fn reply_in(&self, language: Language) -> Option<String> {
        let alone = |point: &Point| {
            let said = point.introduced.as_ref().unwrap_or(&point.said);
            said.get(&language).cloned()
        };
        let said: Option<Vec<String>> = self.points.iter().map(alone).collect();
        said.map(|sentences| sentences.join(" "))
    }
}

/// Which outcome names a reply that has several.
fn weight(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Answer => 0,
        Outcome::Clarify => 1,
        Outcome::Refuse => 2,
        Outcome::Deny => 3,
        Outcome::Action => 4,
        Outcome::Escalate => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(outcome: Outcome, text: &str) -> Brief {
        Brief::new(outcome, vec![Point::quoting(text)], 0.9).about(vec!["#A1".to_owned()])
    }

    fn cancelling() -> Brief {
        let action = ProposedAction { name: "cancel_order".to_owned(), arguments: serde_json::Map::new() };
        Brief { action: Some(action), confidence: 0.7, ..brief(Outcome::Action, "It can be cancelled.") }
    }

    #[test]
    fn two_requests_make_one_reply() {
        let both = brief(Outcome::Answer, "It is pending.").and(cancelling());
        let both = both.into_iter().next().map(|both| {
            (
                both.outcome,
                both.reply_in(Language::En),
                both.order_ids.len(),
                both.confidence,
                both.action.is_some(),
            )
        });
        let reply = Some("It is pending. It can be cancelled.".to_owned());
        assert_eq!(both, Some((Outcome::Action, reply, 1, 0.7, true)));
    }

    #[test]
    fn two_actions_are_too_many() {
        assert_eq!(cancelling().and(cancelling()), None);
    }

    #[test]
    fn an_article_has_only_its_own_language() {
        assert_eq!(brief(Outcome::Answer, "We ship.").reply_in(Language::De), None);
    }
}
