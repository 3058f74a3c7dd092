//! Words and sentences of what customers and shops write: the one home of rules about text.
//!
//! A leaf: it knows no store, no message and no model, only characters. Where a customer's word is
//! compared with the store's, both sides go through [`words`], so that they are folded alike.
#![forbid(unsafe_code)]

mod sentences;
mod words;

pub use sentences::sentences;
pub use words::{contains, mentions, position, singular, words};
