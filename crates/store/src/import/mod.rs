//! Brings a shop's export into the store.
//!
//! Everything is read and checked before anything is written, and written in one transaction.
//! An import is merged with what the store holds: records of a known id are replaced, others are
//! added, and none is removed. Importing the same folder twice therefore changes nothing.

mod check;
mod lines;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Article, Customer, Order, Product, SqliteStore, StoreError};

pub(super) const CUSTOMERS_FILE: &str = "customers.jsonl";
const ORDERS_FILE: &str = "orders.jsonl";
const PRODUCTS_FILE: &str = "products.jsonl";

/// Bad lines that are reported one by one; beyond them only the number is given.
const MAX_REPORTED: usize = 20;

/// Imports the folder `dir`: `customers.jsonl`, `orders.jsonl` (which needs the customers),
/// `products.jsonl`, and every `*.md` file as a knowledge article.
///
/// # Errors
/// [`ImportError`]; nothing of the folder is then in the store.
pub async fn import_native(store: &SqliteStore, dir: &Path) -> Result<ImportSummary, ImportError> {
    let batch = Batch::read(dir)?;
    store.merge(&batch).await
}

/// A record and the line that it stands on.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) line: usize,
    pub(super) record: T,
}

/// An export that has been read and checked.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) customers: Vec<Located<Customer>>,
    pub(super) orders: Vec<Located<Order>>,
    pub(super) products: Vec<Located<Product>>,
    pub(super) articles: Vec<Article>,
}

impl Batch {
    /// Reads and checks the export in the folder `dir`.
    fn read(dir: &Path) -> Result<Self, ImportError> {
        let mut rejections = Rejections::default();
        let customers = lines::read_records(dir, CUSTOMERS_FILE, &mut rejections)?;
        // Without all customers, their orders would look like nobody's: one report is enough.
        let customers_complete = rejections.is_empty();
        let orders = lines::read_records(dir, ORDERS_FILE, &mut rejections)?;
        let products = lines::read_records(dir, PRODUCTS_FILE, &mut rejections)?;
        let articles = lines::read_articles(dir, &mut rejections)?;

        if orders.is_some() && customers.is_none() {
            return Err(ImportError::OrdersWithoutCustomers { dir: dir.to_owned() });
        }
        if customers.is_none() && products.is_none() && articles.is_empty() {
            return Err(ImportError::NothingToImport { dir: dir.to_owned() });
        }

        let batch = Self {
            customers: customers.unwrap_or_default(),
            orders: orders.unwrap_or_default(),
            products: products.unwrap_or_default(),
            articles,
        };
        check::customers(&batch.customers, &mut rejections);
        check::orders(&batch.orders, &mut rejections);
        if customers_complete {
            check::owners(&batch.orders, &batch.customers, &mut rejections);
        }
        check::products(&batch.products, &mut rejections);
        if rejections.is_empty() { Ok(batch) } else { Err(ImportError::Rejected(rejections)) }
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportSummary {
    /// To the customers.
    pub customers: Tally,
    /// To the orders.
    pub orders: Tally,
    /// To the products.
    pub products: Tally,
    /// To the articles.
    pub articles: Tally,
}

/// What an import did to one kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// New in the store.
    pub added: usize,
    /// In the store before, but different.
    pub changed: usize,
    /// In the store already.
    pub unchanged: usize,
}

/// One line a kind, such as `customers: 3 added, 1 changed, 56 unchanged`.
impl fmt::Display for ImportSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "customers: {}", self.customers)?;
        writeln!(f, "orders: {}", self.orders)?;
        writeln!(f, "products: {}", self.products)?;
        write!(f, "articles: {}", self.articles)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, changed, unchanged } = self;
        write!(f, "{added} added, {changed} changed, {unchanged} unchanged")
    }
}

/// Why an export could not be imported. Nothing of it is in the store.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file or the folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The folder holds nothing to import.
    #[error(
        "nothing to import in {dir}: it holds none of customers.jsonl, orders.jsonl, \
         products.jsonl and *.md"
    )]
    NothingToImport {
        /// The folder.
        dir: PathBuf,
    },
    /// Orders came alone.
    #[error("{dir} holds orders.jsonl but no customers.jsonl, which says whose the orders are")]
    OrdersWithoutCustomers {
        /// The folder.
        dir: PathBuf,
    },
    /// Lines are wrong.
    #[error("nothing was imported, because of {0}")]
    Rejected(Rejections),
    /// The store could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The lines that kept an import from the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rejections {
    /// The first of them.
    pub lines: Vec<BadLine>,
    /// How many more there are.
    pub n_more: usize,
}

impl Rejections {
    /// Whether no line is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn extend(&mut self, file: &str, line: usize, reasons: impl IntoIterator<Item = String>) {
        for reason in reasons {
            self.add(file, line, reason);
        }
    }

    pub(super) fn add(&mut self, file: &str, line: usize, reason: String) {
        if self.lines.len() == MAX_REPORTED {
            self.n_more += 1;
            return;
        }
        self.lines.push(BadLine { file: file.to_owned(), line, reason });
    }
}

/// A count and one line for each, such as `customers.jsonl:3: missing field`.
impl fmt::Display for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines.len() + self.n_more {
            1 => write!(f, "1 bad line:")?,
            n => write!(f, "{n} bad lines:")?,
        }
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        if self.n_more > 0 {
            write!(f, "\n  and {} more", self.n_more)?;
        }
        Ok(())
    }
}

/// A line that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file's name in the folder.
    pub file: String,
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}
