//! Confirmed actions: what a reply proposes is done once the customer has said yes, and not before.
//!
//! Place in the path: `support` has the [`ActionDesk`] sign what the playbook proposes; the token
//! goes out with the reply. `api` brings it back with the customer's yes, and the desk has it carried
//! out: by [`StoreExecutor`] in the built-in store, or by [`WebhookExecutor`] in the shop's own
//! system. Nothing is written before that, and nothing twice: the store's ledger remembers every
//! action by the random id in its token.

mod builtin;
mod desk;
mod error;
mod execute;
mod key;
mod mac;
#[cfg(test)]
mod tests;
mod token;
mod turns;
mod webhook;

pub use builtin::StoreExecutor;
pub use desk::{ActionDesk, ConfirmAction, Confirmed, Proposal};
pub use error::{ActionError, Failure};
pub use execute::{ConfirmedAction, Execute};
pub use key::{ActionKey, KeyError};
pub use webhook::{Webhook, WebhookError, WebhookExecutor};
