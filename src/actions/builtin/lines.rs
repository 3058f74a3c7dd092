//! The order lines that an action changes, and their replacements.

use tier0_store::{Amount, ItemId, Order, OrderItem, Product, Variant};

use super::{super::error::NotDone, arguments::ReplaceItems, case::Case};

/// A new line of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replacement {
    /// The line's position in the order.
    pub(super) position: usize,
    /// The new item, in the old quantity, at today's price.
    pub(super) item: OrderItem,
}

/// The positions of the lines with these items. An item means its whole line; an item that is named twice
/// means two lines.
///
/// # Errors
/// [`NotDone`] when a line does not exist, or no item is named.
pub(super) fn positions(order: &Order, ids: &[ItemId]) -> Result<Vec<usize>, NotDone> {
    if ids.is_empty() {
        return Err(NotDone::Arguments { reason: "item_ids names no item".to_owned() });
    }
    let mut positions: Vec<usize> = Vec::with_capacity(ids.len());
    for id in ids {
        let position = (0..order.items.len())
            .find(|position| order.items[*position].item_id == *id && !positions.contains(position));
        let missing = || NotDone::impossible(format!("the order {} has no item {id} left", order.id));
        positions.push(position.ok_or_else(missing)?);
    }
    Ok(positions)
}

/// The total price of the lines at these positions.
pub(super) fn total(order: &Order, positions: &[usize]) -> Amount {
    positions.iter().map(|position| order.items[*position].total()).sum()
}

/// The new lines, each with an available variant of the same product.
///
/// # Errors
/// [`NotDone`] when an item or its replacement does not exist or is not available.
pub(super) async fn replacements(
    case: &mut Case<'_>,
    order: &Order,
    arguments: &ReplaceItems,
) -> Result<Vec<Replacement>, NotDone> {
    let (old, new) = (&arguments.item_ids, &arguments.new_item_ids);
    if old.len() != new.len() {
        let reason = format!("item_ids names {} items, but new_item_ids names {}", old.len(), new.len());
        return Err(NotDone::Arguments { reason });
    }
    let mut replacements = Vec::with_capacity(new.len());
    for (position, id) in positions(order, old)?.into_iter().zip(new) {
        let line = &order.items[position];
        let product = case.store.product(&line.product_id).await?;
        let gone = || NotDone::impossible(format!("{} is not sold any more", line.name));
        let item = replaced(line, &product.ok_or_else(gone)?, id)?;
        replacements.push(Replacement { position, item });
    }
    Ok(replacements)
}

fn replaced(line: &OrderItem, product: &Product, id: &ItemId) -> Result<OrderItem, NotDone> {
    let variant = product.variants.iter().find(|variant| variant.item_id == *id);
    match variant {
        None => Err(NotDone::impossible(format!("the item {id} is not a variant of {}", product.name))),
        Some(_) if line.item_id == *id => {
            Err(NotDone::impossible(format!("the item {id} would be replaced by itself")))
        }
        Some(Variant { available: false, options, .. }) => Err(NotDone::impossible(format!(
            "the item {id} ({}, {options}) is not available any more",
            product.name
        ))),
        Some(variant) => Ok(OrderItem {
            item_id: variant.item_id.clone(),
            product_id: product.id.clone(),
            name: product.name.clone(),
            options: variant.options.clone(),
            unit_price: variant.price,
            quantity: line.quantity,
        }),
    }
}

/// The price of the new lines minus that of the old ones; negative if the new ones cost less.
pub(super) fn difference(order: &Order, replacements: &[Replacement]) -> Amount {
    let positions: Vec<usize> = replacements.iter().map(|new| new.position).collect();
    let new: Amount = replacements.iter().map(|new| new.item.total()).sum();
    new - total(order, &positions)
}
