//! What the reply says: statements from the store's data, passages of its articles, and the wording of
//! both.

mod account;
pub(super) mod brief;
pub(super) mod compose;
pub(super) mod format;
mod products;
pub(super) mod retrieve;
pub(super) mod statements;
pub(super) mod templates;
