//! Why an action was not carried out.

use chrono::{DateTime, SecondsFormat, Utc};
use tier0_store::{EmailAddress, StoreError};

/// Why a confirmation came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The token is not one that this server has signed.
    #[error(
        "there is no such action: the confirmation token is not this server's, or was cut or changed \
         on its way"
    )]
    UnknownToken,
    /// The token is in order, but what it proposes was not done.
    #[error("the action {name} was not carried out: {failure}")]
    NotDone {
        /// Such as `cancel_order`.
        name: String,
        /// Why.
        #[source]
        failure: Failure,
    },
    /// A proposal cannot be written down.
    #[error("the proposal of the action {name} cannot be signed: {source}")]
    Unsigned {
        /// Such as `cancel_order`.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Why a proposed action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The confirmation came too late.
    #[error(
        "its confirmation token expired at {}; let it be proposed again",
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    Expired {
        /// When the token became void.
        at: DateTime<Utc>,
    },
    /// Somebody else than the customer confirms.
    #[error("it was not proposed to {email}")]
    WrongCustomer {
        /// The address that was given.
        email: EmailAddress,
    },
    /// Things have changed since it was proposed.
    #[error("it is no longer possible: {reason}")]
    Impossible {
        /// What stands in its way.
        reason: String,
    },
    /// The built-in store cannot do it.
    #[error("the built-in store does not know this action; name a service that does in actions.webhook_url")]
    UnknownAction,
    /// Its arguments are not those of the action.
    #[error("its arguments cannot be used: {reason}; the playbook has to give others")]
    Arguments {
        /// What is wrong with them.
        reason: String,
    },
    /// The store's hook was asked and said no.
    #[error("the store's hook refused it with status {status}: {message}")]
    HookRefused {
        /// The hook's HTTP status.
        status: u16,
        /// The hook's words.
        message: String,
    },
    /// The store's hook gave no answer that counts.
    #[error("the store's hook failed {n_tries} times, at last because {reason}; it may be confirmed again")]
    HookFailed {
        /// How often it was asked.
        n_tries: usize,
        /// What went wrong the last time.
        reason: String,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Failure {
    /// It is no longer possible, because of this.
    pub(super) fn impossible(reason: impl Into<String>) -> Self {
        Self::Impossible { reason: reason.into() }
    }
}
