//! Which of the customer's orders a message is about. Only a verified customer's own are seen.

use crate::store::{Customer, Order, OrderId, OrderStore, Sender, VerifiedCustomer};

use super::{SupportError, types::Ticket};

/// Orders that one reply may speak of; with more in question, the reply asks which.
const MAX_ORDERS: usize = 3;
/// Digits that a number needs to be taken for an order's.
const MIN_ORDER_DIGITS: usize = 4;
/// States in which nothing about an order is under way.
const SETTLED: [&str; 4] = ["delivered", "cancelled", "returned", "exchanged"];

/// What the store knows of the sender and the orders in question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lookup {
    /// The customer's record, once verified.
    pub(super) customer: Option<Customer>,
    pub(super) orders: Orders,
}

/// The orders that a message is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Orders {
    /// The sender is not a verified customer: nothing was looked up.
    Unverified,
    /// The message names orders, none of which is in this customer's account.
    NotFound(Vec<String>),
    /// The customer has not ordered anything.
    None,
    /// The message names none, and it could be any of these (newest first).
    Unclear(Vec<Order>),
    /// These.
    Found(Vec<Order>),
}

/// Looks the sender and their orders up.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn look_up(
    store: &dyn OrderStore,
    ticket: &Ticket,
    question: &str,
) -> Result<Lookup, SupportError> {
    let failed = |error: crate::store::StoreError| SupportError::Store(error.to_string());
    let sender = Sender { email: ticket.customer_email.clone(), verified: ticket.customer_verified };
    let Some(verified) = store.identify(&sender).await.map_err(failed)? else {
        return Ok(Lookup { customer: None, orders: Orders::Unverified });
    };
    let customer = store.customer(&verified).await.map_err(failed)?;
    let orders = orders_in_question(store, &verified, question).await.map_err(failed)?;
    Ok(Lookup { customer: Some(customer), orders })
}

async fn orders_in_question(
    store: &dyn OrderStore,
    customer: &VerifiedCustomer,
    question: &str,
) -> Result<Orders, crate::store::StoreError> {
    let named = named_orders(question);
    let mut found = Vec::new();
    for id in &named {
        if let Some(order) = store.order(customer, id).await? {
            found.push(order);
        }
    }
    if !found.is_empty() {
        return Ok(Orders::Found(found));
    }
    if !named.is_empty() {
        return Ok(Orders::NotFound(named.iter().map(ToString::to_string).collect()));
    }
    let all = store.orders(customer).await?;
    let open: Vec<Order> = all.iter().filter(|o| !SETTLED.contains(&o.status.as_str())).cloned().collect();
    Ok(match (all.len(), open.len()) {
        (0, _) => Orders::None,
        (1, _) => Orders::Found(all),
        (_, 1..=MAX_ORDERS) => Orders::Found(open),
        _ => Orders::Unclear(all.into_iter().take(MAX_ORDERS).collect()),
    })
}

/// Everything in a text that could be an order's number, in its order, each once: a run of letters
/// and digits with enough digits, optionally behind `#`.
fn named_orders(text: &str) -> Vec<OrderId> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '#' && c != '-');
    let mut ids: Vec<OrderId> = Vec::new();
    for word in words {
        let word = word.trim_matches('-');
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        if digits < MIN_ORDER_DIGITS || letters > 3 {
            continue;
        }
        if let Some(id) = OrderId::parse(word).ok().filter(|id| !ids.contains(id)) {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        named_orders(text).iter().map(|id| id.canonical().to_owned()).collect()
    }

    #[test]
    fn order_numbers_are_found_in_any_spelling() {
        assert_eq!(named("status of w2611340?"), ["W2611340"]);
        assert_eq!(named("Order #W2611340, again: W2611340."), ["W2611340"]);
        assert_eq!(named("my orders T10023 and #t10024"), ["T10023", "T10024"]);
    }

    #[test]
    fn other_numbers_are_left_alone() {
        assert!(named("I ordered 2 lamps on the 14th, model ABCDE12345, for 250 dollars").is_empty());
    }
}
