//! The store in one SQLite file.
//!
//! Reads of more than one table run in a transaction, so that an import which commits meanwhile is
//! seen as a whole or not at all.

mod actions;
mod read;
mod transaction;
mod write;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{
    Article, Counts, Currency, Customer, Order, OrderId, OrderStore, Product, ProductId, Sender, StoreError,
    VerifiedCustomer, name_match,
};

pub use transaction::StoreTransaction;

static MIGRATIONS: Migrator = sqlx::migrate!("src/migrations");

/// How long a query waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in an SQLite file. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, which is created with its folder when it is missing.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be created or opened, or its tables were made by a
    /// newer version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|source| StoreError::Folder { path: path.to_owned(), source })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        Self::connect(path, SqlitePoolOptions::new(), options).await
    }

    /// Opens an empty store that is gone with its last clone.
    ///
    /// # Errors
    /// [`StoreError`] when SQLite refuses.
    pub async fn in_memory() -> Result<Self, StoreError> {
        // Each connection would have a database of its own, so there is one, kept for ever.
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        Self::connect(Path::new(":memory:"), pool, options).await
    }

    async fn connect(
        path: &Path,
        pool: SqlitePoolOptions,
        options: SqliteConnectOptions,
    ) -> Result<Self, StoreError> {
        let pool = pool
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        MIGRATIONS
            .run(&pool)
            .await
            .map_err(|source| StoreError::Migrate { path: path.to_owned(), source })?;
        Ok(Self { pool })
    }

    /// A transaction that sees one state of the store. Dropping it ends it.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin().await?)
    }
}

#[async_trait]
impl OrderStore for SqliteStore {
    async fn identify(&self, sender: &Sender) -> Result<Option<VerifiedCustomer>, StoreError> {
        let Some(email) = sender.verified_email() else {
            return Ok(None);
        };
        let customer = read::customer_by_email(&mut *self.snapshot().await?, &email).await?;
        Ok(customer.and_then(|customer| VerifiedCustomer::confirm(sender, &customer)))
    }

    async fn customer(&self, customer: &VerifiedCustomer) -> Result<Customer, StoreError> {
        read::customer(&mut *self.snapshot().await?, customer.id())
            .await?
            .ok_or_else(|| StoreError::CustomerGone { id: customer.id().clone() })
    }

    async fn orders(&self, customer: &VerifiedCustomer) -> Result<Vec<Order>, StoreError> {
        read::orders_of(&mut *self.snapshot().await?, customer.id()).await
    }

    async fn order(&self, customer: &VerifiedCustomer, id: &OrderId) -> Result<Option<Order>, StoreError> {
        read::order_of(&mut *self.snapshot().await?, customer.id(), id).await
    }

    async fn product(&self, id: &ProductId) -> Result<Option<Product>, StoreError> {
        read::product(&mut *self.snapshot().await?, id).await
    }

    async fn products(&self) -> Result<Vec<Product>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let names = read::product_names(&mut snapshot).await?;
        let ids = names.iter().map(|(id, _)| id);
        read::products_by_id(&mut snapshot, ids).await
    }

    async fn find_products(&self, text: &str) -> Result<Vec<Product>, StoreError> {
        let mut snapshot = self.snapshot().await?;
        let names = read::product_names(&mut snapshot).await?;
        let ranked = name_match::rank(names.iter().map(|(_, name)| name.as_str()), text);
        let ids = ranked.iter().map(|&position| &names[position].0);
        read::products_by_id(&mut snapshot, ids).await
    }

    async fn articles(&self) -> Result<Vec<Article>, StoreError> {
        read::articles(&mut *self.snapshot().await?).await
    }

    async fn currency(&self) -> Result<Currency, StoreError> {
        let most_used = read::most_used_currency(&mut *self.snapshot().await?).await?;
        Ok(most_used.unwrap_or_else(Currency::usd))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        read::counts(&mut *self.snapshot().await?).await
    }
}
