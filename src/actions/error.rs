//! Why an action was not carried out.

use chrono::{DateTime, SecondsFormat, Utc};
use tier0_store::{EmailAddress, StoreError};

/// Why a proposal or a confirmation failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The token is not one that this server has signed.
    #[error(
        "there is no such action: the confirmation token is not this server's, or was cut or changed \
         on its way"
    )]
    UnknownToken,
    /// The token is valid, but the action that it proposes was not done.
    #[error("the action {name} was not carried out: {reason}")]
    NotDone {
        /// The action, such as `cancel_order`.
        name: String,
        /// Why it was not done.
        #[source]
        reason: NotDone,
    },
    /// A proposal has no JSON form.
    #[error("the proposal of the action {name} cannot be signed: {source}")]
    Unsigned {
        /// The action, such as `cancel_order`.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Why a proposed action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The confirmation came too late.
    #[error(
        "its confirmation token expired at {}; let it be proposed again",
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    Expired {
        /// When the token became void.
        at: DateTime<Utc>,
    },
    /// Another person than the customer confirms.
    #[error("it was not proposed to {email}")]
    WrongCustomer {
        /// The address that was given.
        email: EmailAddress,
    },
    /// Things have changed since it was proposed.
    #[error("it is no longer possible: {reason}")]
    Impossible {
        /// Why it is impossible now.
        reason: String,
    },
    /// The built-in store does not know the action.
    #[error("the built-in store does not know this action; name a service that does in actions.webhook_url")]
    UnknownAction,
    /// The arguments do not fit the action.
    #[error("its arguments cannot be used: {reason}; the playbook has to give others")]
    Arguments {
        /// What is wrong with them.
        reason: String,
    },
    /// The shop's webhook refused the action.
    #[error("the store's hook refused it with status {status}: {message}")]
    HookRefused {
        /// HTTP status of the webhook's answer.
        status: u16,
        /// The webhook's message.
        message: String,
    },
    /// The shop's webhook gave no usable answer.
    #[error("the store's hook failed {n_tries} times, at last because {reason}; it may be confirmed again")]
    HookFailed {
        /// Number of tries.
        n_tries: usize,
        /// What went wrong the last time.
        reason: String,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotDone {
    /// [`NotDone::Impossible`] for this reason.
    pub(super) fn impossible(reason: impl Into<String>) -> Self {
        Self::Impossible { reason: reason.into() }
    }
}
