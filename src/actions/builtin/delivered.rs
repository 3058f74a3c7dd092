//! Actions on a delivered order. No money moves yet: it does once the shop has the items back. Until
//! then, the ledger records the items and the payment method.

use serde_json::{Value, json};
use tier0_store::{Amount, OrderStatus};

use super::{
    super::error::NotDone,
    arguments::{ReplaceItems, ReturnItems},
    case::Case,
    lines, money,
};

const DELIVERED: &str = "delivered";

/// Records that items are returned for a refund.
pub(super) async fn return_items(mut case: Case<'_>, arguments: ReturnItems) -> Result<Value, NotDone> {
    let mut order = case.order(&arguments.order_id, DELIVERED).await?;
    let refund = lines::total(&order, &lines::positions(&order, &arguments.item_ids)?);
    let nothing_due = order.money(Amount::ZERO);
    money::check(&case.action.customer, &arguments.payment_method_id, &nothing_due)?;
    order.status = OrderStatus::return_requested();
    case.store.save_order(&order).await?;
    Ok(json!({
        "order_id": order.id,
        "status": order.status,
        "item_ids": arguments.item_ids,
        "payment_method_id": arguments.payment_method_id,
        "refund_due": refund,
    }))
}

/// Records that items are exchanged for other variants of the same products.
pub(super) async fn exchange_items(mut case: Case<'_>, arguments: ReplaceItems) -> Result<Value, NotDone> {
    let mut order = case.order(&arguments.order_id, DELIVERED).await?;
    let replacements = lines::replacements(&mut case, &order, &arguments).await?;
    let difference = lines::difference(&order, &replacements);
    money::check(&case.action.customer, &arguments.payment_method_id, &order.money(difference))?;
    order.status = OrderStatus::exchange_requested();
    case.store.save_order(&order).await?;
    Ok(json!({
        "order_id": order.id,
        "status": order.status,
        "item_ids": arguments.item_ids,
        "new_item_ids": arguments.new_item_ids,
        "payment_method_id": arguments.payment_method_id,
        "price_difference": difference,
    }))
}
