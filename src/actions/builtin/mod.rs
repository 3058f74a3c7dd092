//! Carries actions out in the built-in store.
//!
//! An action and its entry in the ledger are one transaction. The facts behind the proposal are checked
//! again, because the order may have changed since: its status, its items, which variants are
//! available, the customer's payment methods and the balances of their gift cards. Rules that only the
//! playbook has, such as the days allowed for a return, were checked before the proposal.

mod account;
mod arguments;
mod case;
mod delivered;
mod lines;
mod money;
mod pending;

use async_trait::async_trait;
use serde_json::Value;
use tier0_store::{ActionState, StoreTransaction};

use super::{
    error::NotDone,
    execute::{ConfirmedAction, Execute},
};
use arguments::read;
use case::Case;

/// Carries actions out in the built-in store.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreExecutor;

#[async_trait]
impl Execute for StoreExecutor {
    async fn execute(&self, mut store: StoreTransaction, action: &ConfirmedAction) -> Result<Value, NotDone> {
        let result = apply(action, Case { store: &mut store, action }).await?;
        store.save_action(&action.entry(ActionState::Done, result.clone())).await?;
        store.commit().await?;
        Ok(result)
    }
}

async fn apply(action: &ConfirmedAction, case: Case<'_>) -> Result<Value, NotDone> {
    match action.name.as_str() {
        "cancel_order" => pending::cancel(case, read(action)?).await,
        "modify_address" => pending::modify_address(case, read(action)?).await,
        "modify_payment" => pending::modify_payment(case, read(action)?).await,
        "modify_items" => pending::modify_items(case, read(action)?).await,
        "return_items" => delivered::return_items(case, read(action)?).await,
        "exchange_items" => delivered::exchange_items(case, read(action)?).await,
        "modify_customer_address" => account::modify_address(case, read(action)?).await,
        _ => Err(NotDone::UnknownAction),
    }
}
