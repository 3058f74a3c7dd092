//! The texts of one message, as types: which of them may be searched, shown to the model or verified
//! against is a matter of the type, not of care.
//!
//! | type | holds | used for |
//! |---|---|---|
//! | [`AsWritten`] | everything that the customer wrote in the conversation | language, order numbers |
//! | [`OwnWords`] | of that, the words that are answered, in the customer's language | translation, escalation |
//! | [`English`] | the own words in English | every later stage: the model, the rules, the verifier |

/// Everything that the customer wrote in the conversation, in their own language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AsWritten(String);

/// The words of the customer that are answered: the last message, with those before it that it goes on
/// from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnWords(String);

/// The own words, or a part of them, in English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct English(String);

impl AsWritten {
    /// The customer's messages in one text.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// All of it, where every message is answered.
    pub(super) fn into_own_words(self) -> OwnWords {
        OwnWords(self.0)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl OwnWords {
    /// A message of the customer.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether these words are all that the customer wrote.
    pub(super) fn are_all_of(&self, written: &AsWritten) -> bool {
        self.0 == written.0
    }

    /// The same words as English: for messages whose language is English.
    pub(super) fn as_english(&self) -> English {
        English(self.0.clone())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl English {
    /// A text that is known to be English: a translation, or a part of another [`English`].
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same below the ticket's subject, which belongs to what an e-mail asks.
    pub(super) fn with_subject(&self, subject: Option<&str>) -> Self {
        match subject.map(str::trim).filter(|subject| !subject.is_empty()) {
            Some(subject) => Self(format!("{subject}\n{}", self.0)),
            None => self.clone(),
        }
    }

    /// The text that orders are searched in: this, and behind it what the customer wrote, whose order
    /// numbers are the same in every language.
    pub(super) fn with_written(&self, written: &AsWritten) -> Self {
        Self(format!("{}\n{}", self.0, written.0))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}
