//! Customers, orders, products and articles: what the shop knows. A leaf: it uses no other crate of the
//! workspace.
//!
//! Place in the path: `support` asks it who is writing, what they ordered and what the shop sells;
//! `retrieval` reads its articles. Data comes in through [`import_native`], from a shop's export or
//! from the [`demo`] shop. Every question about orders takes a [`VerifiedCustomer`], which only
//! [`OrderStore::identify`] can make, so no text of a message can reach another customer's data.
//! What a customer has confirmed, `actions` carries out in a [`StoreTransaction`].
#![forbid(unsafe_code)]

mod action;
mod article;
mod customer;
pub mod demo;
mod identity;
mod ids;
mod import;
mod money;
mod name_match;
mod order;
mod product;
mod sqlite;
#[cfg(test)]
mod tests;
mod timestamp;

use async_trait::async_trait;

pub use action::{ActionEntry, ActionState};
pub use article::Article;
pub use customer::{Address, Customer, Loyalty, PaymentMethod, PaymentMethodKind};
pub use identity::{Sender, VerifiedCustomer};
pub use ids::{
    ActionId, ArticleId, CustomerId, EmailAddress, InvalidText, ItemId, OrderId, PaymentMethodId, ProductId,
};
pub use import::{BadLine, ImportError, ImportSummary, Rejections, Tally, import_native};
pub use money::{Amount, Currency, InvalidAmount, Money};
pub use order::{Order, OrderItem, OrderStatus, Payment, PaymentKind, Shipment};
pub use product::{Options, Product, Variant};
pub use sqlite::{SqliteStore, StoreTransaction};

/// The shop's data, as the support pipeline may ask for it.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Who is writing: `None` unless the sender is verified and their address, in whatever case,
    /// belongs to a customer.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn identify(&self, sender: &Sender) -> Result<Option<VerifiedCustomer>, StoreError>;

    /// The customer's own record.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, or the customer is gone from it.
    async fn customer(&self, customer: &VerifiedCustomer) -> Result<Customer, StoreError>;

    /// The customer's orders, newest first; those without a date come last, as they were imported.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn orders(&self, customer: &VerifiedCustomer) -> Result<Vec<Order>, StoreError>;

    /// One of the customer's orders. Another customer's order and one that does not exist are the
    /// same `None`.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn order(&self, customer: &VerifiedCustomer, id: &OrderId) -> Result<Option<Order>, StoreError>;

    /// A product of the shop.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn product(&self, id: &ProductId) -> Result<Option<Product>, StoreError>;

    /// All products, by name.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn products(&self) -> Result<Vec<Product>, StoreError>;

    /// Products whose name shares a word with `text`, the most completely named first. A plural is
    /// the same word.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn find_products(&self, text: &str) -> Result<Vec<Product>, StoreError>;

    /// All knowledge articles, by id.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn articles(&self) -> Result<Vec<Article>, StoreError>;

    /// The currency of amounts that name none (prices, gift card balances): that of most orders,
    /// US dollars before there are any.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn currency(&self) -> Result<Currency, StoreError>;

    /// How much the store holds.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    async fn counts(&self) -> Result<Counts, StoreError>;
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Customers.
    pub customers: u64,
    /// Orders of all customers.
    pub orders: u64,
    /// Products.
    pub products: u64,
    /// Variants of all products.
    pub variants: u64,
    /// Knowledge articles.
    pub articles: u64,
}

/// Why the store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder of the store's file cannot be made.
    #[error("cannot create the folder of the store {path}: {source}")]
    Folder {
        /// The store's file.
        path: std::path::PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The store's file cannot be opened or created.
    #[error("cannot open the store {path}: {source}; check that it is a tier0 store and writable")]
    Open {
        /// The store's file.
        path: std::path::PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// The store's tables cannot be brought up to date.
    #[error("cannot bring the store {path} up to date: {source}; a newer tier0 may have made it")]
    Migrate {
        /// The store's file.
        path: std::path::PathBuf,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// A query failed.
    #[error("the store's database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The store holds something that no import puts there.
    #[error("the store holds a {column} that cannot be read ({reason}); import the data again")]
    Corrupt {
        /// Table and column.
        column: &'static str,
        /// Why it cannot be read.
        reason: String,
    },
    /// The customer was there when the sender was identified, and is no more.
    #[error("the customer {id} is no longer in the store")]
    CustomerGone {
        /// Whose record it was.
        id: CustomerId,
    },
}
