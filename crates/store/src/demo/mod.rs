//! An invented outdoor-and-home shop, to try tier0 out and to test it.
//!
//! [`generate`] makes the same shop from the same seed and day. It is written out in the native
//! import format and comes into a store by the same import as a real shop's export. The catalogue
//! and the policies are files under `examples/demo-store/`.

mod catalog;
mod dice;
mod goods;
mod orders;
mod people;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Serialize;

use super::{
    Article, ArticleId, Customer, ImportError, ImportSummary, InvalidText, Order, Product, SqliteStore,
    import_native,
};
use catalog::Catalog;
use dice::Dice;

/// The customer to try tier0 out with. Whatever the seed, hers are [`SHIPPED_ORDER`],
/// [`DELIVERED_ORDER`] and [`PENDING_ORDER`], and no others.
pub const CUSTOMER_EMAIL: &str = "maya.lindqvist@example.com";
/// On its way to the demo customer, with a carrier and a tracking number.
pub const SHIPPED_ORDER: &str = "#T10023";
/// Delivered to the demo customer less than two weeks ago.
pub const DELIVERED_ORDER: &str = "#T10058";
/// Placed by the demo customer today or yesterday.
pub const PENDING_ORDER: &str = "#T10091";

/// The rules of the shop: a playbook.
pub const PLAYBOOK: &str = include_str!("../../../../examples/demo-store/playbook.toml");

#[derive(rust_embed::RustEmbed)]
#[folder = "../../examples/demo-store/policies"]
struct Policies;

/// The demo shop's data.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoStore {
    /// Customers, the demo customer first.
    pub customers: Vec<Customer>,
    /// Orders, oldest first.
    pub orders: Vec<Order>,
    /// Products, in the catalogue's order.
    pub products: Vec<Product>,
    /// Policies, by id.
    pub articles: Vec<Article>,
}

/// Makes the shop as it stands on the day `today`. Same seed and day, same shop.
///
/// # Errors
/// [`DemoError`] when the embedded catalogue is broken.
pub fn generate(seed: u64, today: NaiveDate) -> Result<DemoStore, DemoError> {
    let catalog = Catalog::embedded()?;
    let mut dice = Dice::new(seed);
    let goods = goods::stock(&catalog, &mut dice)?;
    let mut customers = people::customers(&catalog.people, &mut dice)?;
    let orders = orders::place(&catalog, &goods, &customers, today, &mut dice)?;
    people::enrol_members(&mut customers, &orders, &mut dice);
    Ok(DemoStore {
        customers,
        orders,
        products: goods.into_iter().map(|goods| goods.product).collect(),
        articles: policies()?,
    })
}

fn policies() -> Result<Vec<Article>, DemoError> {
    let mut articles = Vec::new();
    for name in Policies::iter() {
        let stem = name.strip_suffix(".md").unwrap_or(&name);
        let id = ArticleId::from_stem(stem)?;
        if let Some(file) = Policies::get(&name) {
            let text = String::from_utf8_lossy(&file.data).into_owned();
            articles.push(Article::from_markdown(id, text));
        }
    }
    articles.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(articles)
}

impl DemoStore {
    /// Writes the shop into the folder `dir` in the native import format. The folder is created
    /// when it is missing; files of the same names are replaced.
    ///
    /// # Errors
    /// [`DemoError::Write`] when a file cannot be written.
    pub fn write_to(&self, dir: &Path) -> Result<(), DemoError> {
        std::fs::create_dir_all(dir).map_err(|source| DemoError::Write { path: dir.to_owned(), source })?;
        write(&dir.join("customers.jsonl"), &json_lines(&self.customers)?)?;
        write(&dir.join("orders.jsonl"), &json_lines(&self.orders)?)?;
        write(&dir.join("products.jsonl"), &json_lines(&self.products)?)?;
        for article in &self.articles {
            write(&dir.join(format!("{}.md", article.id)), &article.text)?;
        }
        write(&dir.join("playbook.toml"), PLAYBOOK)?;
        Ok(())
    }

    /// Brings the shop into a store, by way of a folder and the import that all shops go through.
    ///
    /// # Errors
    /// [`DemoError`] when the folder cannot be written or the import fails.
    pub async fn import_into(&self, store: &SqliteStore) -> Result<ImportSummary, DemoError> {
        let dir =
            tempfile::tempdir().map_err(|source| DemoError::Write { path: std::env::temp_dir(), source })?;
        self.write_to(dir.path())?;
        Ok(import_native(store, dir.path()).await?)
    }
}

fn json_lines<T: Serialize>(records: &[T]) -> Result<String, DemoError> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&serde_json::to_string(record)?);
        lines.push('\n');
    }
    Ok(lines)
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    std::fs::write(path, text).map_err(|source| DemoError::Write { path: path.to_owned(), source })
}

/// Why the demo shop could not be made, written or imported.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The embedded catalogue cannot be read.
    #[error("the demo shop's catalog.toml is broken: {0}")]
    Catalog(#[from] toml::de::Error),
    /// The embedded catalogue or policies make an id of the wrong form.
    #[error("the demo shop's catalog or policies are broken: {0}")]
    Id(#[from] InvalidText),
    /// A record has no JSON form.
    #[error("cannot write a record of the demo shop as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file or folder cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The import refused it.
    #[error(transparent)]
    Import(#[from] ImportError),
}
