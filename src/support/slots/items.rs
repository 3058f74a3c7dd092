//! Which items of the order a request is about.

use serde_json::{Map, Value, json};

use super::super::words::{contains, mentions, words};
use crate::store::{Amount, Order, OrderItem};

/// How customers speak of all items at once.
const EVERYTHING: [&str; 10] = [
    "whole order",
    "entire order",
    "complete order",
    "everything",
    "all items",
    "all of it",
    "all of them",
    "both",
    "all the items",
    "full order",
];
/// Words of sentences about items that are to stay.
const STAYING: [&str; 9] =
    ["keep", "keeping", "kept", "stay", "stays", "happy with", "love", "are fine", "is fine"];
/// Words of sentences about items that are not.
const LEAVING: [&str; 9] =
    ["return", "send back", "sending back", "exchange", "swap", "change", "goes back", "replace", "switch"];

/// The order's items as the model sees them, one a line.
pub(super) fn listed(order: &Order) -> Vec<String> {
    order.items.iter().map(described).collect()
}

fn described(item: &OrderItem) -> String {
    let options = item.options.to_string();
    if options.is_empty() { item.name.clone() } else { format!("{} ({options})", item.name) }
}

/// The items that the model chose, as far as the message names them; null where it names none, or
/// the model chose others.
pub(super) fn read(chosen: &[usize], message: &str, order: &Order) -> Value {
    let said = words(message);
    let all: Vec<usize> = (0..order.items.len()).collect();
    let named = named(&said, order);
    let picked = if order.items.len() == 1 || (mentions(&said, &EVERYTHING) && named.is_empty()) {
        all
    } else {
        let mut chosen: Vec<usize> = chosen.iter().copied().filter(|at| *at < order.items.len()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let stays = |at: &usize| stays(&order.items[*at], message);
        if chosen.is_empty() || chosen.iter().any(|at| !named.contains(at) || stays(at)) {
            return Value::Null;
        }
        chosen
    };
    facts(&picked, order)
}

fn facts(picked: &[usize], order: &Order) -> Value {
    let items: Vec<&OrderItem> = picked.iter().map(|at| &order.items[*at]).collect();
    let value: Amount = items.iter().map(|item| item.total()).sum();
    let value_text = order.money(value).to_string();
    json!({
        "ids": items.iter().map(|item| item.item_id.to_string()).collect::<Vec<_>>(),
        "text": items.iter().map(|item| described(item)).collect::<Vec<_>>().join(", "),
        "all": items.len() == order.items.len(),
        "n": items.len(),
        "value": value.units(),
        "value_text": value_text,
    })
}

/// The items that the slot `items` holds; none where it is empty.
pub(super) fn chosen<'a>(slots: &Map<String, Value>, order: &'a Order) -> Vec<&'a OrderItem> {
    let ids = slots.get("items").and_then(|items| items["ids"].as_array()).into_iter().flatten();
    let ids: Vec<&str> = ids.filter_map(Value::as_str).collect();
    order.items.iter().filter(|item| ids.contains(&item.item_id.to_string().as_str())).collect()
}

/// Positions of the items that a text names: by whole name, else by the word that says what it is.
fn named(said: &[String], order: &Order) -> Vec<usize> {
    let names: Vec<Vec<String>> = order.items.iter().map(|item| words(&item.name)).collect();
    let is_named = |name: &Vec<String>| {
        let head = name.last().is_some_and(|head| said.contains(head));
        contains(said, name)
            || (head && !names.iter().any(|other| shares_head(other, name) && contains(said, other)))
    };
    names.iter().enumerate().filter(|(_, name)| is_named(name)).map(|(at, _)| at).collect()
}

fn shares_head(a: &[String], b: &[String]) -> bool {
    a.last() == b.last()
}

/// Whether the only sentences that name an item say that it stays.
fn stays(item: &OrderItem, message: &str) -> bool {
    let name = words(&item.name);
    let sentences: Vec<Vec<String>> =
        message.split(['.', '!', '?', '\n', ';', '(', ')']).map(words).collect();
    let naming = |said: &&Vec<String>| name.last().is_some_and(|head| said.contains(head));
    let mut naming = sentences.iter().filter(naming).peekable();
    naming.peek().is_some() && naming.all(|said| mentions(said, &STAYING) && !mentions(said, &LEAVING))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use rstest::rstest;

    use super::*;

    fn order() -> Order {
        let item = |id: &str, name: &str, color: &str| {
            json!({"item_id": id, "product_id": "p", "name": name, "options": {"color": color},
                "unit_price": 10.5, "quantity": 1})
        };
        serde_json::from_value(json!({
            "id": "#A1", "customer_id": "c", "status": "delivered", "currency": "USD",
            "shipping_address": {"line1": "a", "city": "b", "postal_code": "1", "country": "c"},
            "items": [item("1", "Action Camera", "black"), item("2", "Digital Camera", "red"), item("3", "Lamp", "red")],
            "shipments": [], "payments": [],
        }))
        .unwrap()
    }

    fn ids(chosen: &[usize], message: &str) -> Value {
        read(chosen, message, &order())["ids"].clone()
    }

    #[rstest]
    #[case(&[1], "I return the digital camera", json!(["2"]))]
    #[case(&[2], "The lamp goes back. The camera is fine.", json!(["3"]))]
    #[case(&[], "I return the whole order", json!(["1", "2", "3"]))]
    #[case::not_named(&[0], "I return the digital camera", Value::Null)]
    #[case::not_chosen(&[], "I return the lamp", Value::Null)]
    #[case::kept(&[2], "The digital camera goes back. I am keeping the lamp.", Value::Null)]
    #[case::out_of_range(&[9], "I return the lamp", Value::Null)]
    fn only_what_is_named_and_not_kept_comes_out(
        #[case] chosen: &[usize],
        #[case] message: &str,
        #[case] expected: Value,
    ) {
        assert_eq!(ids(chosen, message), expected);
    }

    #[test]
    fn an_order_of_one_item_needs_no_name() {
        let mut order = order();
        order.items.truncate(1);
        let read = read(&[], "I want to send it back", &order);
        assert_eq!(
            (read["n"].clone(), read["all"].clone(), read["value_text"].clone()),
            (json!(1), json!(true), json!("$10.50"))
        );
    }
}
