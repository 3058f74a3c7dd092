//! A playbook, and what it tells the stages before it: what to find out for which intent.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::examples::Example;
use super::expression::Bound;
use super::rule::Rule;
use super::schema::Schema;
use super::texts::{Text, Texts};
use super::{Facts, PlaybookError, Ruling};

/// Whom or what a request is about: what has to be known before its rules can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// Exactly one order of the verified customer.
    Order,
    /// The verified customer.
    Customer,
    /// Nobody: the request is decided without knowing who asks.
    Nobody,
}

/// An intent that the playbook decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentSpec {
    /// What has to be known first.
    pub about: About,
    /// Slots to be extracted from the message, by name.
    pub slots: Vec<String>,
}

/// How a slot is extracted, which settles the shape of its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotKind {
    /// One of the words given in the playbook.
    Choice,
    /// Items of the order.
    Items,
    /// What each of these items is to be replaced with.
    Wanted,
    /// A postal address.
    Address,
    /// A payment method.
    Payment,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSpec {
    /// How it is extracted.
    pub kind: SlotKind,
    /// The words to choose from; only with [`SlotKind::Choice`].
    pub values: Vec<Choice>,
    /// How customers put a request without saying any of them.
    pub not_said: Vec<String>,
}

/// Examples of each of a choice's words, and of messages without any, from which a choice can be read.
pub const MIN_CHOICE_EXAMPLES: usize = 5;

/// One word of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The word that the rules see.
    pub name: String,
    /// What a customer means by it.
    pub means: String,
    /// How customers put it.
    pub examples: Vec<String>,
}

/// A store's rules, compiled.
#[derive(Debug)]
pub struct Playbook {
    pub(super) schema: Schema,
    pub(super) slots: BTreeMap<String, SlotSpec>,
    pub(super) intents: BTreeMap<String, IntentSpec>,
    pub(super) phrases: BTreeMap<String, Vec<Text>>,
    pub(super) rules: Vec<Rule>,
    pub(super) texts: Texts,
    pub(super) examples: Vec<Example>,
}

impl Playbook {
    /// The intents that the playbook decides, by label.
    pub fn intents(&self) -> impl Iterator<Item = (&str, &IntentSpec)> {
        self.intents.iter().map(|(label, spec)| (label.as_str(), spec))
    }

    /// What is needed for an intent; none when the playbook does not decide it.
    #[must_use]
    pub fn intent(&self, label: &str) -> Option<&IntentSpec> {
        self.intents.get(label)
    }

    /// How a slot is extracted.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<&SlotSpec> {
        self.slots.get(name)
    }

    /// The slots that the playbook declares, by name.
    pub fn slots(&self) -> impl Iterator<Item = (&str, &SlotSpec)> {
        self.slots.iter().map(|(name, spec)| (name.as_str(), spec))
    }

    /// Decides a case: the first rule of the intent whose condition holds. Declared facts that are
    /// not given are null. Where no rule fits, a person decides.
    ///
    /// # Errors
    /// [`PlaybookError::UnknownIntent`], or what made the condition, the action or the sentences of
    /// a rule fail with these facts. A failed condition never counts as false.
    pub fn rule(&self, label: &str, facts: &Facts) -> Result<Ruling, PlaybookError> {
        if !self.intents.contains_key(label) {
            let known = self.intents.keys().cloned().collect();
            return Err(PlaybookError::UnknownIntent { label: label.to_owned(), known });
        }
        let facts = self.schema.complete(facts);
        let bound = Bound::new(&facts);
        let mut missed = Vec::new();
        for rule in self.rules_of(label) {
            if rule.fits(&bound)? {
                return Ok(Ruling { missed, ..rule.apply(&facts, &bound, &self.texts)? });
            }
            missed.push(rule.missed());
        }
        let reason = format!("no rule of the playbook fits this case of {label}");
        Ok(Ruling::escalation(None, reason, missed))
    }

    /// The rules of an intent, in the order in which they are asked.
    pub(super) fn rules_of(&self, label: &str) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.intents.iter().any(|intent| intent == label))
    }
}
