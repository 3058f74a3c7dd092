//! Changes that belong together: all of them or none.

use sqlx::{Sqlite, Transaction};

use super::{SqliteStore, actions, read, write};
use crate::{ActionEntry, ActionId, Customer, CustomerId, Order, OrderId, Product, ProductId, StoreError};

/// The store while a confirmed action changes it. Nobody else writes meanwhile; dropped without
/// [`commit`](Self::commit), it leaves nothing behind.
///
/// It takes plain customer ids, where [`OrderStore`](crate::OrderStore) wants a verified
/// customer: what leads here is a token that was signed for one.
#[derive(Debug)]
pub struct StoreTransaction {
    db: Transaction<'static, Sqlite>,
}

impl SqliteStore {
    /// Begins to change the store, once others have ended.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written, or another process writes for too long.
    pub async fn begin(&self) -> Result<StoreTransaction, StoreError> {
        // Takes the write lock at once: a reader that becomes a writer could not wait for it.
        Ok(StoreTransaction { db: self.pool.begin_with("BEGIN IMMEDIATE").await? })
    }
}

impl StoreTransaction {
    /// A customer.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn customer(&mut self, id: &CustomerId) -> Result<Option<Customer>, StoreError> {
        read::customer(&mut self.db, id).await
    }

    /// One of the customer's orders. Another customer's order and one that does not exist are the
    /// same `None`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn order(&mut self, customer: &CustomerId, id: &OrderId) -> Result<Option<Order>, StoreError> {
        read::order_of(&mut self.db, customer, id).await
    }

    /// A product of the shop.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn product(&mut self, id: &ProductId) -> Result<Option<Product>, StoreError> {
        read::product(&mut self.db, id).await
    }

    /// The ledger's entry of an action; `None` while nobody has confirmed it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub async fn action(&mut self, id: &ActionId) -> Result<Option<ActionEntry>, StoreError> {
        actions::entry(&mut self.db, id).await
    }

    /// Writes an order down as it now is.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn save_order(&mut self, order: &Order) -> Result<(), StoreError> {
        write::merge_order(&mut self.db, order).await?;
        Ok(())
    }

    /// Writes a customer down as they now are.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn save_customer(&mut self, customer: &Customer) -> Result<(), StoreError> {
        write::replace_customer(&mut self.db, customer).await
    }

    /// Enters an action into the ledger, or what became of it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written.
    pub async fn save_action(&mut self, entry: &ActionEntry) -> Result<(), StoreError> {
        actions::save(&mut self.db, entry).await
    }

    /// Keeps all changes.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be written; nothing is then changed.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.db.commit().await?)
    }
}
