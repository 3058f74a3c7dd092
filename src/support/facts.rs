//! Sentences that state what the store's data says: one fact each, with the words that a reply
//! must carry over unchanged.

use chrono::{DateTime, Utc};

use crate::store::{Customer, Order, Payment, PaymentKind, PaymentMethodKind, Product, Shipment};

use super::ruling::Point;

/// Where an order is: its status, when that was reached, and how to follow it.
pub(super) fn status(order: &Order) -> Vec<Point> {
    let status = order.status.as_str();
    let mut points = vec![Point::stating(
        format!("The status of order {} is \"{status}\".", order.id),
        [order.id.to_string(), status.to_owned()],
    )];
    if let (Some(at), "delivered") = (order.delivered_at, status) {
        points.push(dated("It was delivered on", at));
    }
    if let (Some(at), "cancelled") = (order.cancelled_at, status) {
        points.push(dated("It was cancelled on", at));
    }
    points.extend(order.shipments.iter().filter_map(|s| tracking(order, s)));
    points
}

/// What is in an order, what was paid and where it goes.
pub(super) fn details(order: &Order, customer: &Customer) -> Vec<Point> {
    let items = order.items.iter().map(|item| {
        let options = item.options.to_string();
        let options = if options.is_empty() { options } else { format!(" ({options})") };
        format!("{} × {}{options} at {}", item.quantity, item.name, order.money(item.unit_price))
    });
    let names = order.items.iter().map(|item| item.name.clone());
    let status = order.status.as_str();
    let mut points = vec![
        Point::stating(
            format!("Order {} contains {}.", order.id, items.collect::<Vec<_>>().join("; ")),
            names.chain([order.id.to_string()]),
        ),
        Point::stating(format!("Its status is \"{status}\"."), [status.to_owned()]),
        Point::stating(
            format!("It goes to {}.", order.shipping_address),
            [order.shipping_address.line1.clone(), order.shipping_address.postal_code.clone()],
        ),
    ];
    points.extend(order.payments.iter().map(|payment| money(order, payment, customer)));
    points
}

/// What has come back of an order's money.
pub(super) fn refunds(order: &Order, customer: &Customer) -> Vec<Point> {
    let mut points = status(order);
    points.truncate(1);
    let refunds: Vec<&Payment> = order.payments.iter().filter(|p| p.kind == PaymentKind::Refund).collect();
    if refunds.is_empty() {
        let text = format!("No refund has been recorded for order {} so far.", order.id);
        points.push(Point::stating(text, ["no refund".to_owned()]));
    }
    points.extend(refunds.into_iter().map(|payment| money(order, payment, customer)));
    points
}

/// What a product costs and which variants can be had.
pub(super) fn product(product: &Product, currency: &crate::store::Currency) -> Vec<Point> {
    let available: Vec<_> = product.variants.iter().filter(|v| v.available).collect();
    let name = &product.name;
    let (Some(low), Some(high)) =
        (available.iter().map(|v| v.price).min(), available.iter().map(|v| v.price).max())
    else {
        return vec![Point::stating(format!("The {name} is out of stock at the moment."), [name.clone()])];
    };
    let (low, high) = (low.in_currency(currency).to_string(), high.in_currency(currency).to_string());
    let price = match low == high {
        true => format!("The {name} costs {low}."),
        false => format!("The {name} costs between {low} and {high}, depending on the variant."),
    };
    let mut points = vec![Point::stating(price, [name.clone(), low, high])];
    if product.variants.len() > 1 {
        let listed = available.iter().map(|v| v.options.to_string()).collect::<Vec<_>>();
        points.push(Point::plain(format!(
            "{} of its {} variants are in stock: {}.",
            available.len(),
            product.variants.len(),
            listed.join("; ")
        )));
    }
    points
}

/// A name for the items, short enough to tell orders apart: `Water Bottle and 2 more`.
pub(super) fn item_summary(order: &Order) -> String {
    match order.items.as_slice() {
        [] => "no items".to_owned(),
        [one] => one.name.clone(),
        [first, second] => format!("{} and {}", first.name, second.name),
        [first, rest @ ..] => format!("{} and {} more", first.name, rest.len()),
    }
}

fn dated(what: &str, at: DateTime<Utc>) -> Point {
    let date = at.format("%-d %B %Y").to_string();
    Point::stating(format!("{what} {date}."), [at.format("%Y").to_string(), at.format("%-d").to_string()])
}

fn tracking(order: &Order, shipment: &Shipment) -> Option<Point> {
    let numbers = shipment.tracking_numbers.join(", ");
    if numbers.is_empty() {
        return None;
    }
    let carrier = shipment.carrier.as_ref().map(|carrier| format!(" with {carrier}")).unwrap_or_default();
    let subject = match order.shipments.len() {
        1 => "Its".to_owned(),
        _ => format!("For {}, the", contents(order, shipment)),
    };
    let noun = if shipment.tracking_numbers.len() == 1 { "number is" } else { "numbers are" };
    let must = shipment.tracking_numbers.iter().chain(&shipment.carrier).cloned();
    Some(Point::stating(format!("{subject} tracking {noun} {numbers}{carrier}."), must))
}

/// Names of what a shipment holds.
fn contents(order: &Order, shipment: &Shipment) -> String {
    let inside = order.items.iter().filter(|item| shipment.item_ids.contains(&item.item_id));
    let names: Vec<&str> = inside.map(|item| item.name.as_str()).collect();
    if names.is_empty() { "one parcel".to_owned() } else { format!("the {}", names.join(" and the ")) }
}

fn money(order: &Order, payment: &Payment, customer: &Customer) -> Point {
    let amount = order.money(payment.amount).to_string();
    let method = customer.payment_method(&payment.payment_method_id);
    let method = method.map_or_else(
        || "a payment method that is no longer in your account".to_owned(),
        |method| {
            let kind = match &method.kind {
                PaymentMethodKind::CreditCard => "credit card".to_owned(),
                PaymentMethodKind::GiftCard => "gift card".to_owned(),
                PaymentMethodKind::Paypal => "PayPal account".to_owned(),
                PaymentMethodKind::Other(word) => word.replace('_', " "),
            };
            let last4 = method.last4.as_ref().map(|d| format!(" ending in {d}")).unwrap_or_default();
            format!("your {kind}{last4}")
        },
    );
    let text = match payment.kind {
        PaymentKind::Payment => format!("{amount} was paid with {method}."),
        PaymentKind::Refund => format!("{amount} was refunded to {method}."),
    };
    Point::stating(text, [amount])
}
