//! What can be wrong with a playbook, and where in it.

use std::fmt;

/// A kind of thing in a playbook that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A declared fact.
    Fact,
    /// An intent that the playbook decides.
    Intent,
    /// A slot that is extracted from the message.
    Slot,
    /// A wording that several rules share.
    Phrase,
    /// A rule.
    Rule,
    /// An example.
    Example,
}

/// A place in a playbook: `rule "cancel_processed", when`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What kind of thing it is.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// The field in it, such as `when` or `say.de[1]`.
    pub field: String,
}

impl Place {
    pub(super) fn new(part: Part, name: &str, field: impl Into<String>) -> Self {
        Self { part, name: name.to_owned(), field: field.into() }
    }

    pub(super) fn in_rule(name: &str, field: impl Into<String>) -> Self {
        Self::new(Part::Rule, name, field)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Fact => "fact",
            Part::Intent => "intent",
            Part::Slot => "slot",
            Part::Phrase => "phrase",
            Part::Rule => "rule",
            Part::Example => "example",
        };
        write!(f, "{part} {:?}, {}", self.name, self.field)
    }
}

/// Why a playbook cannot be read, or a case not be decided.
#[derive(Debug, thiserror::Error)]
pub enum PlaybookError {
    /// The text is not TOML of the form that a playbook has.
    #[error("the playbook cannot be read: {0}")]
    Form(#[from] toml::de::Error),
    /// What stands there does not fit the rest of the playbook.
    #[error("{place}: {problem}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong, with which value, and what to do.
        problem: String,
    },
    /// A condition or an argument is not valid CEL.
    #[error("{place}: `{expression}` is not a valid CEL expression: {source}")]
    Expression {
        /// Where.
        place: Place,
        /// As it is written.
        expression: String,
        /// Why.
        source: cel::ParseErrors,
    },
    /// A sentence is not valid Jinja.
    #[error("{place}: this is not a valid Jinja text: {source:#}")]
    Text {
        /// Where.
        place: Place,
        /// Why.
        source: minijinja::Error,
    },
    /// A pattern of an example is not a valid regular expression.
    #[error("{place}: this is not a valid regular expression: {source}")]
    Pattern {
        /// Where.
        place: Place,
        /// Why.
        source: regex::Error,
    },
    /// A condition or an argument cannot be evaluated with these facts.
    #[error("{place}: `{expression}` cannot be evaluated with these facts: {source}")]
    Evaluation {
        /// Where.
        place: Place,
        /// As it is written.
        expression: String,
        /// Why.
        source: Box<cel::ExecutionError>,
    },
    /// A condition is neither true nor false, or an argument has no JSON form.
    #[error("{place}: `{expression}` gave {value}, but {wanted} is needed")]
    WrongType {
        /// Where.
        place: Place,
        /// As it is written.
        expression: String,
        /// What came out.
        value: String,
        /// What is needed.
        wanted: &'static str,
    },
    /// A sentence cannot be filled in with these facts.
    #[error("{place}: the sentence cannot be filled in with these facts: {source:#}")]
    Filling {
        /// Where.
        place: Place,
        /// Why.
        source: minijinja::Error,
    },
    /// An intent that the playbook does not decide.
    #[error("the playbook does not decide the intent {label:?}; it decides {}", .known.join(", "))]
    UnknownIntent {
        /// The intent asked for.
        label: String,
        /// The intents that it decides.
        known: Vec<String>,
    },
}
