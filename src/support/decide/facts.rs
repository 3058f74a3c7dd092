//! What the playbook's rules may look at: the order, the customer and the slots, as JSON.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tier0_playbook::Facts;
use tier0_store::{Customer, Order};

use crate::support::payment_method::method_text;

/// The facts of one request.
pub(in crate::support) fn facts(
    order: Option<&Order>,
    customer: Option<&Customer>,
    slots: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Facts {
    Facts::from(json!({
        "order": order.map(|order| order_facts(order, customer, now)),
        "customer": customer.map(customer_facts),
        "slots": slots,
        "today": now.format("%Y-%m-%d").to_string(),
    }))
}

fn customer_facts(customer: &Customer) -> Value {
    let kinds: Vec<&str> = customer.payment_methods.iter().map(|method| method.kind.as_str()).collect();
    json!({
        "first_name": customer.first_name,
        "tier": customer.loyalty.as_ref().map(|loyalty| loyalty.tier.clone()),
        "payment_kinds": kinds,
    })
}

fn order_facts(order: &Order, customer: Option<&Customer>, now: DateTime<Utc>) -> Value {
    let days_since = |at: Option<DateTime<Utc>>| at.map(|at| (now.date_naive() - at.date_naive()).num_days());
    let items: Vec<Value> = order
        .items
        .iter()
        .map(|item| {
            json!({
                "item_id": item.item_id.to_string(),
                "name": item.name,
                "options": item.options.to_string(),
                "price": item.unit_price.units(),
            })
        })
        .collect();
    let names: Vec<&str> = order.items.iter().map(|item| item.name.as_str()).collect();
    json!({
        "id": order.id.to_string(),
        "status": order.status.as_str(),
        "n_items": order.items.len(),
        "items": items,
        "items_text": names.join(", "),
        "total": order.items_total().amount.units(),
        "total_text": order.items_total().to_string(),
        "payment": payment(order, customer),
        "address_text": order.shipping_address.to_string(),
        "days_since_placed": days_since(order.placed_at),
        "days_since_delivered": days_since(order.delivered_at),
        "days_since_cancelled": days_since(order.cancelled_at),
        "delivered_on_text": order.delivered_at.map(|at| at.format("%-d %B %Y").to_string()),
        "refunded": order.refunded().amount.units(),
    })
}

/// The method that paid the order; a removed one is known by its id alone.
fn payment(order: &Order, customer: Option<&Customer>) -> Value {
    let Some(id) = order.payments.first().map(|payment| &payment.payment_method_id) else {
        return json!({"id": null, "kind": "none", "text": "your original payment method"});
    };
    let method = customer.and_then(|customer| customer.payment_method(id));
    json!({
        "id": id.to_string(),
        "kind": method.map_or("removed", |method| method.kind.as_str()),
        "text": method.map_or_else(|| "your original payment method".to_owned(), method_text),
    })
}
