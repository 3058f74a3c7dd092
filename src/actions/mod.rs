//! Confirmed actions: what a reply proposes is done once the customer has confirmed it, and not before.
//!
//! Place in the path: `support` has the [`ActionService`] sign what the playbook proposes; the token
//! goes out with the reply. `api` brings it back when the customer confirms, and the service executes
//! the action: by [`StoreExecutor`] in the built-in store, or by [`WebhookExecutor`] in the shop's own
//! system. Nothing is written before that, and nothing is done twice: the store's ledger records every
//! action by the random id in its token.

mod builtin;
mod error;
mod execute;
mod hmac;
mod key;
mod keyed_locks;
mod service;
#[cfg(test)]
mod tests;
mod token;
mod webhook;

pub use builtin::StoreExecutor;
pub use error::{ActionError, NotDone};
pub use execute::{ConfirmedAction, Execute};
pub use key::{ActionKey, KeyError};
pub use service::{ActionService, ConfirmAction, Confirmed, Proposal};
pub use webhook::{Webhook, WebhookError, WebhookExecutor};
