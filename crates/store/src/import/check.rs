//! What no single line can show: duplicates, and references between records.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::{CUSTOMERS_FILE, Located, ORDERS_FILE, PRODUCTS_FILE, Rejections};
use crate::{Amount, Customer, CustomerId, ItemId, Order, PaymentMethod, Product};

/// No id and no address twice, and sound payment methods.
pub(super) fn customers(customers: &[Located<Customer>], rejections: &mut Rejections) {
    let mut ids = FirstLines::default();
    let mut emails = FirstLines::default();
    for Located { line, record } in customers {
        let id = ids.repeated(&record.id, *line, &format!("customer {}", record.id));
        let what = format!("e-mail address {}", record.email);
        let email = emails.repeated(record.email.key(), *line, &what);
        let reasons = id.into_iter().chain(email);
        let reasons = reasons.chain(payment_methods(&record.payment_methods));
        rejections.extend(CUSTOMERS_FILE, *line, reasons);
    }
}

fn payment_methods(methods: &[PaymentMethod]) -> impl Iterator<Item = String> {
    let mut ids = HashSet::new();
    methods.iter().flat_map(move |method| {
        let repeated =
            (!ids.insert(&method.id)).then(|| format!("the payment method {} is listed twice", method.id));
        let balance = method.balance.unwrap_or_default();
        let negative = negative(balance, || format!("balance of {}", method.id));
        repeated.into_iter().chain(negative)
    })
}

/// No id twice, sound amounts and quantities, and only ordered items in shipments.
pub(super) fn orders(orders: &[Located<Order>], rejections: &mut Rejections) {
    let mut ids = FirstLines::default();
    for Located { line, record } in orders {
        let id = ids.repeated(record.id.canonical(), *line, &format!("order {}", record.id));
        let reasons = id.into_iter().chain(ordered_items(record));
        let reasons = reasons.chain(shipped_items(record)).chain(payments(record));
        rejections.extend(ORDERS_FILE, *line, reasons);
    }
}

fn ordered_items(order: &Order) -> impl Iterator<Item = String> {
    order.items.iter().flat_map(|item| {
        let none = (item.quantity == 0).then(|| format!("the quantity of {} is 0", item.item_id));
        let negative = negative(item.unit_price, || format!("unit price of {}", item.item_id));
        none.into_iter().chain(negative)
    })
}

fn shipped_items(order: &Order) -> impl Iterator<Item = String> {
    let ordered: HashSet<&ItemId> = order.items.iter().map(|item| &item.item_id).collect();
    order
        .shipments
        .iter()
        .flat_map(|shipment| &shipment.item_ids)
        .filter(move |item| !ordered.contains(item))
        .map(|item| format!("a shipment holds the item {item}, which the order does not"))
}

fn payments(order: &Order) -> impl Iterator<Item = String> {
    order.payments.iter().filter_map(|payment| {
        let reason = negative(payment.amount, || "amount of a payment".to_owned())?;
        Some(format!("{reason}; for money back, write a refund with a positive amount"))
    })
}

/// Every order's customer is known.
pub(super) fn owners(
    orders: &[Located<Order>],
    customers: &[Located<Customer>],
    rejections: &mut Rejections,
) {
    let known: HashSet<&CustomerId> = customers.iter().map(|line| &line.record.id).collect();
    for Located { line, record } in orders {
        if !known.contains(&record.customer_id) {
            let reason = format!(
                "the customer {} of the order {} is not in {CUSTOMERS_FILE}",
                record.customer_id, record.id
            );
            rejections.add(ORDERS_FILE, *line, reason);
        }
    }
}

/// No id and no variant twice, and sound prices.
pub(super) fn products(products: &[Located<Product>], rejections: &mut Rejections) {
    let mut ids = FirstLines::default();
    let mut items = FirstLines::default();
    for Located { line, record } in products {
        let id = ids.repeated(&record.id, *line, &format!("product {}", record.id));
        rejections.extend(PRODUCTS_FILE, *line, id);
        for variant in &record.variants {
            let what = format!("item {}", variant.item_id);
            let repeated = items.repeated(&variant.item_id, *line, &what);
            let negative = negative(variant.price, || format!("price of {}", variant.item_id));
            rejections.extend(PRODUCTS_FILE, *line, repeated.into_iter().chain(negative));
        }
    }
}

fn negative(amount: Amount, what: impl FnOnce() -> String) -> Option<String> {
    amount.is_negative().then(|| format!("the {} is negative ({amount})", what()))
}

/// The line on which each key stood first.
struct FirstLines<K> {
    line_of: HashMap<K, usize>,
}

impl<K> Default for FirstLines<K> {
    fn default() -> Self {
        Self { line_of: HashMap::new() }
    }
}

impl<K: Eq + Hash> FirstLines<K> {
    /// Why the key must not stand on this line, if it has stood before. Not only on other lines: a
    /// product can list one item twice.
    fn repeated(&mut self, key: K, line: usize, what: &str) -> Option<String> {
        match self.line_of.entry(key) {
            Entry::Occupied(first) => Some(format!("the {what} is already on line {}", first.get())),
            Entry::Vacant(entry) => {
                entry.insert(line);
                None
            }
        }
    }
}
