//! What the customer wants: the words that are answered, their language, the requests in them, the orders
//! in question, and the slots that rules look at.

pub(super) mod account_query;
pub(super) mod conversation;
pub(super) mod escalation;
pub(super) mod extract;
pub(super) mod language;
pub(super) mod lookup;
pub(super) mod product_match;
pub(super) mod translate;
pub(super) mod triage;
