//! What a playbook tells the stages before its rules: what to find out for which intent.

use serde::Deserialize;

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
