//! The seam between confirmation and execution: what an executor gets, and what it has to do.

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value};
use tier0_store::{ActionEntry, ActionId, ActionState, Customer, StoreTransaction};

use super::error::NotDone;

/// An action that its customer has confirmed.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfirmedAction {
    /// The action's id, from its token: the same at every confirmation.
    pub id: ActionId,
    /// The customer who confirmed it, as the store has them now.
    pub customer: Customer,
    /// The action, such as `cancel_order`.
    pub name: String,
    /// Its arguments, by the names of the ticket format.
    pub arguments: Map<String, Value>,
    /// When it was first confirmed, to the second.
    pub confirmed_at: DateTime<Utc>,
}

impl ConfirmedAction {
    /// The action's entry in the ledger.
    pub(super) fn entry(&self, state: ActionState, result: Value) -> ActionEntry {
        let ended = state != ActionState::Running;
        ActionEntry {
            id: self.id.clone(),
            customer_id: self.customer.id.clone(),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            state,
            result,
            confirmed_at: self.confirmed_at,
            finished_at: ended.then(|| Utc::now().trunc_subsecs(0)),
        }
    }
}

/// Carries confirmed actions out.
#[async_trait]
pub trait Execute: Send + Sync {
    /// Carries an action out, enters it as [`ActionState::Done`] into the ledger and returns what was done.
    /// `store` is the transaction in which the confirmation was checked; the executor commits it.
    ///
    /// # Errors
    /// [`NotDone`]; the ledger does not say `Done` then.
    async fn execute(&self, store: StoreTransaction, action: &ConfirmedAction) -> Result<Value, NotDone>;
}
