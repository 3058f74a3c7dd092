//! What a customer would like instead of an item.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tier0_store::{Options, Order, OrderItem, OrderStore, Product, StoreError, Variant};
use tier0_text::{contains, words};

use crate::support::{
    SupportError,
    understand::product_match::{fits, named_options, values},
};

/// Variants that one reply offers.
const MAX_OFFERED: usize = 6;

/// What the message says of an item's replacement.
enum Replacement<'a> {
    NotSaid,
    OtherProduct,
    Same,
    Variant(&'a Variant),
    /// More than one would do.
    Several(Vec<&'a Variant>),
    NoSuchVariant,
}

/// What is wanted instead of the chosen items; null where nothing is said, or no item is chosen.
pub(super) async fn read(
    store: &dyn OrderStore,
    order: &Order,
    chosen: &[&OrderItem],
    said: &[String],
) -> Result<Value, SupportError> {
    let failed = |error: StoreError| SupportError::Store(error.to_string());
    let all = store.products().await.map_err(failed)?;
    // One item at a time: which wish is for which of several, the words do not tell safely.
    let [item] = chosen else { return Ok(Value::Null) };
    let Some(product) = all.iter().find(|product| product.id == item.product_id) else {
        return Ok(Value::Null);
    };
    Ok(match replacement(product, item, &all, order, said) {
        Replacement::NotSaid => Value::Null,
        Replacement::OtherProduct => state("other_product"),
        Replacement::Same => state("same"),
        Replacement::NoSuchVariant => {
            offering("no_such_variant", product.variants.iter().filter(|v| v.available))
        }
        Replacement::Several(variants) => offering("several", variants.into_iter()),
        Replacement::Variant(variant) if !variant.available => {
            offering("out_of_stock", product.variants.iter().filter(|v| v.available))
        }
        Replacement::Variant(variant) => found(product, variant, item, order),
    })
}

fn replacement<'a>(
    product: &'a Product,
    item: &OrderItem,
    all: &[Product],
    order: &Order,
    said: &[String],
) -> Replacement<'a> {
    let named = named_options(&product.variants, said);
    let changes = changes(&named, &item.options);
    if changes.is_empty() {
        let in_order = |other: &Product| order.items.iter().any(|item| item.product_id == other.id);
        let others = all.iter().filter(|other| other.id != product.id && !in_order(other));
        return match others.into_iter().any(|other| contains(said, &words(&other.name))) {
            true => Replacement::OtherProduct,
            false if named.is_empty() => Replacement::NotSaid,
            false => Replacement::Same,
        };
    }
    if changes.iter().any(|(_, values)| values.len() > 1) {
        return several(product, &changes);
    }
    let as_before = |(key, value): (&str, &str)| {
        let change = changes.iter().find(|(changed, _)| *changed == key);
        change.map_or(value.to_owned(), |(_, values)| values.first().copied().unwrap_or(value).to_owned())
    };
    let target: Options =
        item.options.iter().map(|(key, value)| (key.to_owned(), as_before((key, value)))).collect();
    match product.variants.iter().find(|variant| variant.options == target) {
        Some(variant) => Replacement::Variant(variant),
        None => several(product, &changes),
    }
}

/// The named values that the item does not have already.
fn changes<'a>(
    named: &[(&'a str, BTreeSet<&'a str>)],
    current: &Options,
) -> Vec<(&'a str, BTreeSet<&'a str>)> {
    let new = |key: &str, values: &BTreeSet<&'a str>| -> BTreeSet<&'a str> {
        values.iter().copied().filter(|value| current.get(key) != Some(value)).collect()
    };
    let changes = named.iter().map(|(key, values)| (*key, new(key, values)));
    changes.filter(|(_, values)| !values.is_empty()).collect()
}

fn several<'a>(product: &'a Product, changes: &[(&str, BTreeSet<&str>)]) -> Replacement<'a> {
    let fitting: Vec<&Variant> =
        product.variants.iter().filter(|v| v.available && fits(&v.options, changes)).collect();
    if fitting.is_empty() { Replacement::NoSuchVariant } else { Replacement::Several(fitting) }
}

fn state(state: &str) -> Value {
    json!({ "state": state, "ids": [], "text": null, "difference": null, "difference_text": null, "offered_text": null })
}

fn offering<'a>(name: &str, variants: impl Iterator<Item = &'a Variant>) -> Value {
    let offered: Vec<String> = variants.take(MAX_OFFERED).map(|v| format!("({})", values(v))).collect();
    let mut facts = state(name);
    if !offered.is_empty() {
        facts["offered_text"] = json!(offered.join(", "));
    }
    facts
}

fn found(product: &Product, variant: &Variant, item: &OrderItem, order: &Order) -> Value {
    let (new, old) = (variant.price * item.quantity, item.total());
    let unsigned = if new > old { new - old } else { old - new };
    json!({
        "state": "found",
        "ids": [variant.item_id.to_string()],
        "text": format!("{} ({})", product.name, values(variant)),
        "difference": (new - old).units(),
        "difference_text": order.money(unsigned).to_string(),
        "offered_text": null,
    })
}
