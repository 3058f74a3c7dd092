//! A playbook, and how it decides a case.

use std::collections::BTreeMap;

use super::error::PlaybookError;
use super::example::Example;
use super::expression::Bound;
use super::facts::Facts;
use super::rule::Rule;
use super::ruling::Ruling;
use super::schema::Schema;
use super::spec::{IntentSpec, SlotSpec};
use super::texts::{Text, Texts};

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
