//! The ledger of what customers have confirmed.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{ActionId, CustomerId};

/// A confirmed action, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionEntry {
    /// The id in the confirmation token.
    pub id: ActionId,
    /// Who confirmed it.
    pub customer_id: CustomerId,
    /// Such as `cancel_order`.
    pub name: String,
    /// By the names of the ticket format.
    pub arguments: Map<String, Value>,
    /// How far it has come.
    pub state: ActionState,
    /// What was done, or why it failed; null while it runs.
    pub result: Value,
    /// When the customer confirmed it, to the second.
    pub confirmed_at: DateTime<Utc>,
    /// When it was done or failed, to the second.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far a confirmed action has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum ActionState {
    /// The store's hook has been called, and its answer is not there. Remains where the server was
    /// stopped meanwhile.
    Running,
    /// Carried out. Nothing changes the entry any more.
    Done,
    /// The store's hook refused or did not answer; it may be confirmed again.
    Failed,
}
