//! How a ticket's path ends before its reply: a person takes over, or a stage fails.

use super::SupportError;

/// A stage's result; `?` passes a hand-off on as it does a failure.
pub(super) type Step<T> = Result<T, Stop>;

/// Why no reply is sent.
#[derive(Debug)]
pub(super) enum Stop {
    /// A person takes over. An ordinary end, reported as an answer.
    HandOff(HandOff),
    /// A stage failed. The ticket has no answer.
    Failed(SupportError),
}

/// Why a person takes over, and the draft they may start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HandOff {
    pub(super) reason: String,
    pub(super) draft: Option<String>,
}

impl HandOff {
    /// A hand-off without a draft.
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), draft: None }
    }
}

impl From<HandOff> for Stop {
    fn from(hand_off: HandOff) -> Self {
        Self::HandOff(hand_off)
    }
}

impl From<SupportError> for Stop {
    fn from(error: SupportError) -> Self {
        Self::Failed(error)
    }
}
