//! The order and the customer that an action changes, as they are now.

use tier0_store::{Customer, Order, OrderId, StoreTransaction};

use super::super::{error::NotDone, execute::ConfirmedAction};

/// One action and the store that it changes.
pub(super) struct Case<'a> {
    pub(super) store: &'a mut StoreTransaction,
    pub(super) action: &'a ConfirmedAction,
}

impl Case<'_> {
    /// The customer's order, if its status is the one that the action needs.
    ///
    /// # Errors
    /// [`NotDone::Impossible`] when it is not the customer's, or has another status.
    pub(super) async fn order(&mut self, id: &OrderId, status: &str) -> Result<Order, NotDone> {
        let order = self.store.order(&self.action.customer.id, id).await?;
        let order =
            order.ok_or_else(|| NotDone::impossible(format!("there is no order {id} in the account")))?;
        if order.status.as_str() != status {
            return Err(NotDone::impossible(format!(
                "the order {id} has the status \"{}\", and would have to be \"{status}\"",
                order.status
            )));
        }
        Ok(order)
    }

    /// A copy of the customer, to be changed and saved.
    pub(super) fn customer(&self) -> Customer {
        self.action.customer.clone()
    }

    /// Writes the changed order and the changed customer.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) async fn save(&mut self, order: &Order, customer: &Customer) -> Result<(), NotDone> {
        self.store.save_order(order).await?;
        self.save_customer(customer).await
    }

    /// Writes the customer, if the action has changed them.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) async fn save_customer(&mut self, customer: &Customer) -> Result<(), NotDone> {
        if *customer != self.action.customer {
            self.store.save_customer(customer).await?;
        }
        Ok(())
    }
}
