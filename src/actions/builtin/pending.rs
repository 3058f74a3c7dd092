//! Actions on an order that has not been sent yet.

use serde_json::{Value, json};
use tier0_store::{Amount, OrderStatus};

use super::{
    super::error::NotDone,
    arguments::{CancelOrder, ModifyAddress, ModifyPayment, ReplaceItems},
    case::Case,
    lines, money,
};

const PENDING: &str = "pending";

/// Cancels the order and refunds everything to the methods that paid for it.
pub(super) async fn cancel(mut case: Case<'_>, arguments: CancelOrder) -> Result<Value, NotDone> {
    let mut order = case.order(&arguments.order_id, PENDING).await?;
    let mut customer = case.customer();
    let refunds = money::refund_all(&mut order, &mut customer);
    order.status = OrderStatus::cancelled();
    order.cancelled_at = Some(case.action.confirmed_at);
    case.save(&order, &customer).await?;
    Ok(json!({"order_id": order.id, "status": order.status, "refunds": refunds}))
}

/// Sends the order to another address.
pub(super) async fn modify_address(mut case: Case<'_>, arguments: ModifyAddress) -> Result<Value, NotDone> {
    let mut order = case.order(&arguments.order_id, PENDING).await?;
    order.shipping_address = arguments.address.instead_of(&order.shipping_address)?;
    case.store.save_order(&order).await?;
    Ok(json!({"order_id": order.id, "status": order.status, "shipping_address": order.shipping_address}))
}

/// Pays the order with another method and refunds the others.
pub(super) async fn modify_payment(mut case: Case<'_>, arguments: ModifyPayment) -> Result<Value, NotDone> {
    let mut order = case.order(&arguments.order_id, PENDING).await?;
    let mut customer = case.customer();
    let method = &arguments.payment_method_id;
    let held = money::held(&order);
    if held.is_empty() {
        return Err(NotDone::impossible(format!("nothing has been paid for the order {}", order.id)));
    }
    if held.iter().all(|(id, _)| id == method) {
        return Err(NotDone::impossible(format!("the order {} is already paid with {method}", order.id)));
    }
    let amount: Amount = held.iter().map(|(_, amount)| *amount).sum();
    let refunds = money::refund_all(&mut order, &mut customer);
    money::charge(&mut order, &mut customer, method, amount)?;
    case.save(&order, &customer).await?;
    Ok(json!({
        "order_id": order.id,
        "status": order.status,
        "payment": order.payments.last(),
        "refunds": refunds,
    }))
}

/// Replaces items by other variants of the same products, and charges or refunds the price difference.
pub(super) async fn modify_items(mut case: Case<'_>, arguments: ReplaceItems) -> Result<Value, NotDone> {
    let mut order = case.order(&arguments.order_id, PENDING).await?;
    let mut customer = case.customer();
    let replacements = lines::replacements(&mut case, &order, &arguments).await?;
    let difference = lines::difference(&order, &replacements);
    money::settle(&mut order, &mut customer, &arguments.payment_method_id, difference)?;
    for new in replacements {
        order.items[new.position] = new.item;
    }
    order.status = OrderStatus::items_modified();
    case.save(&order, &customer).await?;
    Ok(json!({
        "order_id": order.id,
        "status": order.status,
        "item_ids": arguments.item_ids,
        "new_item_ids": arguments.new_item_ids,
        "payment_method_id": arguments.payment_method_id,
        "price_difference": difference,
    }))
}
