//! What `check` can find.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::Place;
use crate::language::Language;
use crate::spec::MIN_CHOICE_EXAMPLES;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth a look; the playbook decides every case.
    Warning,
    /// Some case goes wrong, or a part of the playbook is not what it seems.
    Error,
}

/// Something that is valid but cannot be meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A fact that is not declared: misspelt, or missing from `[facts]`.
    UnknownField {
        /// Where it is mentioned.
        place: Place,
        /// Its path.
        field: String,
    },
    /// A fact is compared with a text that none of its samples has.
    UnknownValue {
        /// Where.
        place: Place,
        /// The fact's path.
        field: String,
        /// The text.
        value: String,
    },
    /// An intent lists a slot that is not declared.
    UndeclaredSlot {
        /// The intent.
        intent: String,
        /// The slot.
        slot: String,
    },
    /// One of a choice's words, or its `not_said`, has too few examples to be told from the others.
    TooFewExamples {
        /// The slot.
        slot: String,
        /// The word, or `not_said`.
        word: String,
        /// How many it has.
        n_examples: usize,
    },
    /// A rule looks at a slot that its intent does not list, so it is always null.
    UnlistedSlot {
        /// The intent.
        intent: String,
        /// The rule.
        rule: String,
        /// The slot.
        slot: String,
    },
    /// An intent lists a slot that none of its rules looks at.
    UnusedSlot {
        /// The intent.
        intent: String,
        /// The slot.
        slot: String,
    },
    /// A phrase that no sentence uses.
    UnusedPhrase {
        /// The phrase.
        phrase: String,
    },
    /// In none of the cases tried does the rule decide.
    UnreachableRule {
        /// The rule.
        rule: String,
        /// The intent for which it never decides.
        intent: String,
    },
    /// Cases that no rule fits.
    MissingCase {
        /// The intent.
        intent: String,
        /// One of the cases, with the facts that the conditions look at.
        facts: Map<String, Value>,
        /// How many of the cases tried are like that.
        n_cases: usize,
    },
    /// A condition, an argument or a sentence fails.
    Failure {
        /// The rule.
        rule: String,
        /// What the error says.
        problem: String,
        /// The facts with which it fails.
        facts: Map<String, Value>,
    },
    /// What must be in the reply is not in the rule's own English sentences.
    MustNotSaid {
        /// The rule.
        rule: String,
        /// The texts of which the reply has none.
        group: Vec<String>,
        /// The rule's own reply.
        reply: String,
    },
    /// A rule lacks a language that other rules have.
    MissingLanguage {
        /// The rule.
        rule: String,
        /// The language.
        language: Language,
    },
    /// There are too many cases to try all; these were drawn, the same every time.
    Sampled {
        /// The intent.
        intent: String,
        /// Cases tried.
        n_tried: usize,
        /// Cases that there are.
        n_cases: u128,
    },
    /// A rule cites a section that there is not.
    UnknownSection {
        /// The rule.
        rule: String,
        /// The section as it is cited.
        id: String,
    },
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::UnusedSlot { .. }
            | Self::UnusedPhrase { .. }
            | Self::MissingLanguage { .. }
            | Self::TooFewExamples { .. }
            | Self::Sampled { .. } => Severity::Warning,
            Self::UnknownField { .. }
            | Self::UnknownValue { .. }
            | Self::UndeclaredSlot { .. }
            | Self::UnlistedSlot { .. }
            | Self::UnreachableRule { .. }
            | Self::MissingCase { .. }
            | Self::Failure { .. }
            | Self::MustNotSaid { .. }
            | Self::UnknownSection { .. } => Severity::Error,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField { place, field } => {
                write!(f, "{place}: {field:?} is not declared in [facts]; correct it or declare it")
            }
            Self::UnknownValue { place, field, value } => write!(
                f,
                "{place}: {field} is compared with {value:?}, which is none of its sample values; correct it or add it to them"
            ),
            Self::UndeclaredSlot { intent, slot } => {
                write!(f, "intent {intent:?} lists the slot {slot:?}; declare it as [slots.{slot}]")
            }
            Self::UnlistedSlot { intent, rule, slot } => write!(
                f,
                "rule {rule:?} looks at slots.{slot}, which the intent {intent:?} does not list, so it is always null; add it to the intent's slots"
            ),
            Self::TooFewExamples { slot, word, n_examples } => write!(
                f,
                "slot {slot:?}: {word:?} has {n_examples} examples, but the slot is always null until each word and not_said have {MIN_CHOICE_EXAMPLES}"
            ),
            Self::UnusedSlot { intent, slot } => {
                write!(
                    f,
                    "intent {intent:?} lists the slot {slot:?}, at which none of its rules looks; leave it out"
                )
            }
            Self::UnusedPhrase { phrase } => {
                write!(f, "no sentence uses the phrase {phrase:?}; leave it out")
            }
            Self::UnreachableRule { rule, intent } => write!(
                f,
                "rule {rule:?} never decides a case of {intent:?}: rules before it fit first, or its condition is never true"
            ),
            Self::MissingCase { intent, facts, n_cases } => {
                write!(f, "intent {intent:?}: no rule fits {n_cases} of the cases, such as {}", json(facts))
            }
            Self::Failure { problem, facts, .. } => write!(f, "{problem}; with {}", json(facts)),
            Self::MustNotSaid { rule, group, reply } => write!(
                f,
                "rule {rule:?} demands one of {group:?}, which its own reply lacks: {reply:?}; correct must or say.en"
            ),
            Self::MissingLanguage { rule, language } => {
                write!(f, "rule {rule:?} says nothing in {language}, but other rules do; add say.{language}")
            }
            Self::Sampled { intent, n_tried, n_cases } => {
                write!(
                    f,
                    "intent {intent:?}: of {n_cases} cases, {n_tried} were tried; fewer sample values allow trying all"
                )
            }
            Self::UnknownSection { rule, id } => {
                write!(f, "rule {rule:?} cites {id:?}, but the articles have no such section")
            }
        }
    }
}

fn json(facts: &Map<String, Value>) -> String {
    Value::Object(facts.clone()).to_string()
}
