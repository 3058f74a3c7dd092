//! What a reply has to say: decided by rules and data before the model writes a word.

use tier0_playbook::{Language, ProposedAction};

use super::templates::Localized;
use crate::support::{Citation, Outcome};

/// One thing that the reply has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::support) struct Statement {
    /// A whole sentence; it may stand in the reply as it is. What quotes an article is in the
    /// article's language alone.
    pub(in crate::support) text: Localized,
    /// What stands in a template instead: an article's words need an introduction.
    pub(in crate::support) introduced: Option<Localized>,
    /// An English reply has to contain one text out of each group, in either case.
    pub(in crate::support) must: Vec<Vec<String>>,
}

impl Statement {
    /// A statement whose wording is free.
    pub(in crate::support) fn plain(text: Localized) -> Self {
        Self { text, introduced: None, must: Vec::new() }
    }

    /// A statement with words that the reply must keep.
    pub(in crate::support) fn requiring(text: Localized, must: impl IntoIterator<Item = String>) -> Self {
        Self { must: must.into_iter().map(|word| vec![word]).collect(), ..Self::plain(text) }
    }

    /// The words of an article, in English.
    pub(in crate::support) fn quoting(text: &str) -> Self {
        Self::plain(Localized::from([(Language::En, text.to_owned())]))
    }

    /// The same, with the words that introduce it where no model phrases it.
    pub(in crate::support) fn introduced_by(mut self, introduction: &str) -> Self {
        let alone = self.text.iter().map(|(language, text)| (*language, format!("{introduction} {text}")));
        self.introduced = Some(alone.collect());
        self
    }

    /// The sentence as the model gets it.
    pub(in crate::support) fn english(&self) -> &str {
        self.text.get(&Language::En).map_or("", String::as_str)
    }
}

/// What a reply has to say, and what goes with it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::support) struct Brief {
    pub(in crate::support) outcome: Outcome,
    pub(in crate::support) statements: Vec<Statement>,
    pub(in crate::support) order_ids: Vec<String>,
    pub(in crate::support) citations: Vec<Citation>,
    pub(in crate::support) action: Option<ProposedAction>,
    /// 0 to 1: how sure the stages were that it fits the message.
    pub(in crate::support) confidence: f32,
}

impl Brief {
    /// A brief without orders, citations or action.
    pub(in crate::support) fn new(outcome: Outcome, statements: Vec<Statement>, confidence: f32) -> Self {
        Self { outcome, statements, order_ids: Vec::new(), citations: Vec::new(), action: None, confidence }
    }

    /// The same about these orders.
    pub(in crate::support) fn about(mut self, order_ids: Vec<String>) -> Self {
        self.order_ids = order_ids;
        self
    }

    /// Both in one reply. `None` where each proposes an action: one reply confirms one.
    pub(in crate::support) fn and(mut self, other: Self) -> Option<Self> {
        if self.action.is_some() && other.action.is_some() {
            return None;
        }
        if weight(other.outcome) > weight(self.outcome) {
            self.outcome = other.outcome;
        }
        let new: Vec<_> = other.statements.into_iter().filter(|s| !self.statements.contains(s)).collect();
        self.statements.extend(new);
        let new = |ids: &[String], id: &String| !ids.contains(id);
        let order_ids: Vec<_> = other.order_ids.into_iter().filter(|id| new(&self.order_ids, id)).collect();
        self.order_ids.extend(order_ids);
        self.citations.extend(other.citations);
        self.action = self.action.or(other.action);
        self.confidence = self.confidence.min(other.confidence);
        Some(self)
    }

    /// The statements' sentences in English.
    pub(in crate::support) fn english(&self) -> Vec<String> {
        self.statements.iter().map(|statement| statement.english().to_owned()).collect()
    }

    /// The reply that the statements make as they stand; `None` where one lacks the language.
    pub(in crate::support) fn reply_in(&self, language: Language) -> Option<String> {
        let alone = |statement: &Statement| {
            let text = statement.introduced.as_ref().unwrap_or(&statement.text);
            text.get(&language).cloned()
        };
        let sentences: Option<Vec<String>> = self.statements.iter().map(alone).collect();
        sentences.map(|sentences| sentences.join(" "))
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
        Brief::new(outcome, vec![Statement::quoting(text)], 0.9).about(vec!["#A1".to_owned()])
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
