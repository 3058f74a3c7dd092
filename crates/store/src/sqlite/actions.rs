//! The ledger's rows.

use sqlx::{Row, SqliteConnection, query};

use super::{read, write};
use crate::{ActionEntry, ActionId, StoreError};

pub(super) async fn entry(
    db: &mut SqliteConnection,
    id: &ActionId,
) -> Result<Option<ActionEntry>, StoreError> {
    let row = query("SELECT * FROM actions WHERE id = ?").bind(id).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(ActionEntry {
        id: row.try_get("id")?,
        customer_id: row.try_get("customer_id")?,
        name: row.try_get("name")?,
        arguments: read::json(&row, "arguments", "actions.arguments")?,
        state: row.try_get("state")?,
        result: read::json(&row, "result", "actions.result")?,
        confirmed_at: read::moment(row.try_get("confirmed_at_s")?, "actions.confirmed_at_s")?,
        finished_at: read::time(&row, "finished_at_s", "actions.finished_at_s")?,
    }))
}

/// Adds an entry, or writes down what became of it.
pub(super) async fn save(db: &mut SqliteConnection, entry: &ActionEntry) -> Result<(), StoreError> {
    query(
        "INSERT INTO actions
             (id, customer_id, name, arguments, state, result, confirmed_at_s, finished_at_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET
             state = excluded.state, result = excluded.result, finished_at_s = excluded.finished_at_s",
    )
    .bind(&entry.id)
    .bind(&entry.customer_id)
    .bind(&entry.name)
    .bind(write::json(&entry.arguments)?)
    .bind(entry.state)
    .bind(write::json(&entry.result)?)
    .bind(entry.confirmed_at.timestamp())
    .bind(entry.finished_at.map(|time| time.timestamp()))
    .execute(db)
    .await?;
    Ok(())
}
