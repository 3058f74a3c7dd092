//! What an action is about: the order and the customer, as they are now.

use tier0_store::{Customer, Order, OrderId, StoreTransaction};

use super::super::{error::Failure, execute::ConfirmedAction};

/// One action and the store that it changes.
pub(super) struct Case<'a> {
    pub(super) store: &'a mut StoreTransaction,
    pub(super) action: &'a ConfirmedAction,
}

impl Case<'_> {
    /// The customer's order, as long as its status is the one that the action needs.
    ///
    /// # Errors
    /// [`Failure::Impossible`] when it is not the customer's, or has gone on.
    pub(super) async fn order(&mut self, id: &OrderId, status: &str) -> Result<Order, Failure> {
        let order = self.store.order(&self.action.customer.id, id).await?;
        let order =
            order.ok_or_else(|| Failure::impossible(format!("there is no order {id} in the account")))?;
        if order.status.as_str() != status {
            return Err(Failure::impossible(format!(
                "the order {id} has the status \"{}\", and would have to be \"{status}\"",
                order.status
            )));
        }
        Ok(order)
    }

    /// The customer, to be changed.
    pub(super) fn customer(&self) -> Customer {
        self.action.customer.clone()
    }

    /// Writes down what the action has made of the order and of the customer.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) async fn save(&mut self, order: &Order, customer: &Customer) -> Result<(), Failure> {
        self.store.save_order(order).await?;
        self.save_customer(customer).await
    }

    /// Writes down what the action has made of the customer.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub(super) async fn save_customer(&mut self, customer: &Customer) -> Result<(), Failure> {
        if *customer != self.action.customer {
            self.store.save_customer(customer).await?;
        }
        Ok(())
    }
}
