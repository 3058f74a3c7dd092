//! The lines of an order that an action is about, and what takes their place.

use tier0_store::{Amount, ItemId, Order, OrderItem, Product, Variant};

use super::{super::error::Failure, arguments::ReplaceItems, case::Case};

/// A line of an order as it will be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replacement {
    /// The line's position in the order.
    pub(super) position: usize,
    /// As many of the new item, at today's price.
    pub(super) item: OrderItem,
}

/// The positions of the lines with these items. An item stands for its whole line; one that is
/// named twice stands for two.
///
/// # Errors
/// [`Failure`] when there is no such line, or no item is named.
pub(super) fn positions(order: &Order, ids: &[ItemId]) -> Result<Vec<usize>, Failure> {
    if ids.is_empty() {
        return Err(Failure::Arguments { reason: "item_ids names no item".to_owned() });
    }
    let mut positions: Vec<usize> = Vec::with_capacity(ids.len());
    for id in ids {
        let position = (0..order.items.len())
            .find(|position| order.items[*position].item_id == *id && !positions.contains(position));
        let missing = || Failure::impossible(format!("the order {} has no item {id} left", order.id));
        positions.push(position.ok_or_else(missing)?);
    }
    Ok(positions)
}

/// What the lines at these positions cost together.
pub(super) fn total(order: &Order, positions: &[usize]) -> Amount {
    positions.iter().map(|position| order.items[*position].total()).sum()
}

/// The lines as they will be: each with an available variant of the same product.
///
/// # Errors
/// [`Failure`] when an item or its replacement is not there.
pub(super) async fn replacements(
    case: &mut Case<'_>,
    order: &Order,
    arguments: &ReplaceItems,
) -> Result<Vec<Replacement>, Failure> {
    let (old, new) = (&arguments.item_ids, &arguments.new_item_ids);
    if old.len() != new.len() {
        let reason = format!("item_ids names {} items, but new_item_ids names {}", old.len(), new.len());
        return Err(Failure::Arguments { reason });
    }
    let mut replacements = Vec::with_capacity(new.len());
    for (position, id) in positions(order, old)?.into_iter().zip(new) {
        let line = &order.items[position];
        let product = case.store.product(&line.product_id).await?;
        let gone = || Failure::impossible(format!("{} is not sold any more", line.name));
        let item = replaced(line, &product.ok_or_else(gone)?, id)?;
        replacements.push(Replacement { position, item });
    }
    Ok(replacements)
}

fn replaced(line: &OrderItem, product: &Product, id: &ItemId) -> Result<OrderItem, Failure> {
    let variant = product.variants.iter().find(|variant| variant.item_id == *id);
    match variant {
        None => Err(Failure::impossible(format!("the item {id} is not a variant of {}", product.name))),
        Some(_) if line.item_id == *id => {
            Err(Failure::impossible(format!("the item {id} would be replaced by itself")))
        }
        Some(Variant { available: false, options, .. }) => Err(Failure::impossible(format!(
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

/// What the new lines cost more than the old ones; below nothing where they cost less.
pub(super) fn difference(order: &Order, replacements: &[Replacement]) -> Amount {
    let positions: Vec<usize> = replacements.iter().map(|new| new.position).collect();
    let new: Amount = replacements.iter().map(|new| new.item.total()).sum();
    new - total(order, &positions)
}
