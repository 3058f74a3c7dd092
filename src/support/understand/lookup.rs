//! Which of the customer's orders a message is about. Only a verified customer's own are seen.

use tier0_store::{Customer, Order, OrderId, OrderStore, Sender, StoreError, VerifiedCustomer};
use tier0_text::{contains, mentions, words};

use crate::support::{SupportError, Ticket, texts::English};

/// Orders that one reply may speak of; with more in question, the reply asks which.
const MAX_ORDERS: usize = 3;
/// Digits that a number needs to be taken for an order's.
const MIN_ORDER_DIGITS: usize = 4;
/// How customers speak of the newest of their orders.
const NEWEST: [&str; 6] =
    ["last order", "latest order", "most recent order", "newest order", "recent order", "order yesterday"];

/// What the store knows of the sender and the orders in question.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::support) struct Lookup {
    /// The customer's record, once verified.
    pub(in crate::support) customer: Option<Customer>,
    pub(in crate::support) orders: Orders,
}

/// The orders that a message is about.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::support) enum Orders {
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

impl Lookup {
    /// Nothing is known of the sender.
    pub(in crate::support) fn of_nobody() -> Self {
        Self { customer: None, orders: Orders::Unverified }
    }
}

/// Who is writing: nobody known unless the helpdesk has verified the address.
///
/// # Errors
/// When the store cannot be read.
pub(in crate::support) async fn sender(
    store: &dyn OrderStore,
    ticket: &Ticket,
) -> Result<Option<VerifiedCustomer>, SupportError> {
    let sender = Sender { email: ticket.customer_email.clone(), verified: ticket.customer_verified };
    store.identify(&sender).await.map_err(|error| failed(&error))
}

/// Looks the sender and the orders up that `text` is about; where it names none, those that
/// `whole`, the whole message, is about.
///
/// # Errors
/// When the store cannot be read.
pub(in crate::support) async fn look_up(
    store: &dyn OrderStore,
    sender: Option<&VerifiedCustomer>,
    text: &English,
    whole: &English,
) -> Result<Lookup, SupportError> {
    let Some(verified) = sender else { return Ok(Lookup::of_nobody()) };
    let customer = store.customer(verified).await.map_err(|error| failed(&error))?;
    let named =
        [text, whole].into_iter().map(|text| named_orders(text.as_str())).find(|named| !named.is_empty());
    let orders = match named {
        Some(named) => named_in_account(store, verified, &named).await?,
        None => described(store.orders(verified).await.map_err(|error| failed(&error))?, whole.as_str()),
    };
    Ok(Lookup { customer: Some(customer), orders })
}

fn failed(error: &StoreError) -> SupportError {
    SupportError::Store(error.to_string())
}

/// Those of the named orders that are the customer's own. Another's and none at all are the same.
async fn named_in_account(
    store: &dyn OrderStore,
    customer: &VerifiedCustomer,
    named: &[OrderId],
) -> Result<Orders, SupportError> {
    let mut found = Vec::new();
    for id in named {
        found.extend(store.order(customer, id).await.map_err(|error| failed(&error))?);
    }
    if found.is_empty() {
        return Ok(Orders::NotFound(named.iter().map(ToString::to_string).collect()));
    }
    Ok(Orders::Found(found))
}

/// The order that a text without numbers is about: the only one, the newest if it says so, or the
/// only one with what it names.
fn described(all: Vec<Order>, text: &str) -> Orders {
    if all.is_empty() {
        return Orders::None;
    }
    let said = words(text);
    let newest = all.first().filter(|order| order.placed_at.is_some() && mentions(&said, &NEWEST));
    if let (Some(order), _) | (None, [order]) = (newest, all.as_slice()) {
        return Orders::Found(vec![order.clone()]);
    }
    let holds_named = |order: &&Order| order.items.iter().any(|item| contains(&said, &words(&item.name)));
    let mut holding = all.iter().filter(holds_named);
    if let (Some(only), None) = (holding.next(), holding.next()) {
        return Orders::Found(vec![only.clone()]);
    }
    Orders::Unclear(all.into_iter().take(MAX_ORDERS).collect())
}

/// Hyphens that an order's number may hold; telephone numbers have more.
const MAX_HYPHENS: usize = 1;

/// Everything in a text that could be an order's number, in its order, each once: a run of letters
/// and digits with enough digits, optionally behind `#`.
pub(in crate::support) fn named_orders(text: &str) -> Vec<OrderId> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '#' && c != '-');
    let mut ids: Vec<OrderId> = Vec::new();
    for word in words {
        let word = word.trim_matches('-');
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        if digits < MIN_ORDER_DIGITS || letters > 3 || word.matches('-').count() > MAX_HYPHENS {
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
        assert!(
            named("I ordered 2 lamps on the 14th, model ABCDE12345, for 250 dollars; call 1-888-555-0163")
                .is_empty()
        );
    }
}
