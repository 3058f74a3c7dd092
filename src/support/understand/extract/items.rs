//! Which items of the order a request is about.

use serde_json::{Map, Value, json};
use tier0_store::{Amount, Order, OrderItem};
use tier0_text::{contains, mentions, words};

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

/// What the order holds, as the model sees it: each name once.
pub(super) fn labels(order: &Order) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for item in &order.items {
        if !labels.contains(&item.name) {
            labels.push(item.name.clone());
        }
    }
    labels
}

fn described(item: &OrderItem) -> String {
    let options = item.options.to_string();
    if options.is_empty() { item.name.clone() } else { format!("{} ({options})", item.name) }
}

/// The items that the model chose by name, as far as the message names them and does not keep them;
/// null where that leaves none. Of several with one name, the message has to tell which it means.
pub(super) fn read(chosen: &[&str], message: &str, order: &Order) -> Value {
    let said = words(message);
    let named = named(&said, order);
    let means_all = mentions(&said, &EVERYTHING);
    let picked: Vec<usize> = if order.items.len() == 1 || (means_all && named.is_empty()) {
        (0..order.items.len()).collect()
    } else {
        let name = |at: usize| order.items[at].name.as_str();
        let is_clear =
            |at: &usize| means_all || named.iter().filter(|other| name(**other) == name(*at)).count() == 1;
        let is_meant = |at: &usize| chosen.contains(&name(*at)) && !stays(&order.items[*at], message);
        named.iter().copied().filter(|at| is_meant(at) && is_clear(at)).collect()
    };
    if picked.is_empty() { Value::Null } else { facts(&picked, order) }
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

/// Positions of the items that a text names: by whole name, else by the word that says what it is;
/// of several with the same name, those that most of its words fit.
fn named(said: &[String], order: &Order) -> Vec<usize> {
    let names: Vec<Vec<String>> = order.items.iter().map(|item| words(&item.name)).collect();
    let is_named = |name: &Vec<String>| {
        let head = name.last().is_some_and(|head| said.contains(head));
        contains(said, name)
            || (head && !names.iter().any(|other| shares_head(other, name) && contains(said, other)))
    };
    let n_fitting =
        |at: usize| order.items[at].options.iter().filter(|(_, value)| contains(said, &words(value))).count();
    let best_of_its_name = |at: usize| {
        let mut same = (0..names.len()).filter(|other| names[*other] == names[at]);
        same.all(|other| n_fitting(other) <= n_fitting(at))
    };
    (0..names.len()).filter(|at| is_named(&names[*at]) && best_of_its_name(*at)).collect()
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

    fn ids(chosen: &[&str], message: &str) -> Value {
        read(chosen, message, &order())["ids"].clone()
    }

    #[rstest]
    #[case(&["Digital Camera"], "I return the digital camera", json!(["2"]))]
    #[case(&["Lamp"], "The lamp goes back. The camera is fine.", json!(["3"]))]
    #[case(&[], "I return the whole order", json!(["1", "2", "3"]))]
    #[case::more_than_named(&["Digital Camera", "Lamp"], "I return the digital camera", json!(["2"]))]
    #[case::not_named(&["Action Camera"], "I return the digital camera", Value::Null)]
    #[case::not_chosen(&[], "I return the lamp", Value::Null)]
    #[case::kept(&["Lamp"], "The digital camera goes back. I am keeping the lamp.", Value::Null)]
    #[case::not_in_the_order(&["Tent"], "I return the tent", Value::Null)]
    fn only_what_is_named_and_not_kept_comes_out(
        #[case] chosen: &[&str],
        #[case] message: &str,
        #[case] expected: Value,
    ) {
        assert_eq!(ids(chosen, message), expected);
    }

    #[test]
    fn of_two_with_one_name_the_words_tell_which() {
        let mut order = order();
        order.items[1].name = "Action Camera".to_owned();
        let ids = |message: &str| read(&["Action Camera"], message, &order)["ids"].clone();
        assert_eq!(ids("I return the red action camera"), json!(["2"]));
        assert_eq!(ids("I return both action cameras"), json!(["1", "2"]));
        assert_eq!(ids("I return the action camera"), Value::Null);
        assert_eq!(labels(&order), ["Action Camera", "Lamp"]);
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
