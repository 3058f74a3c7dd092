//! Statements of what the store's data says: one fact each, with the words that a reply must carry over
//! unchanged.

use chrono::{DateTime, Utc};
use minijinja::{Value, context};
use tier0_store::{Currency, Customer, Order, Payment, PaymentKind, Shipment};
use tier0_text::{mentions, words};

use super::{
    brief::Statement,
    templates::{Localized, Template, Templates},
};
use crate::support::{SupportError, texts::English};

/// Statuses of orders that have not left yet.
const NOT_SHIPPED: [&str; 2] = ["pending", "processed"];

/// Writes statements from the store's data.
#[derive(Clone, Copy)]
pub(in crate::support) struct StatementWriter<'a> {
    pub(in crate::support) templates: &'a Templates,
}

/// What a question about an order wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Aspects {
    items: bool,
    total: bool,
    payment: bool,
    address: bool,
    status: bool,
    tracking: bool,
}

type Statements = Result<Vec<Statement>, SupportError>;

impl StatementWriter<'_> {
    pub(in crate::support) fn render(
        &self,
        template: Template,
        values: &Value,
    ) -> Result<Localized, SupportError> {
        self.templates.render(template, values)
    }

    pub(in crate::support) fn requiring(
        &self,
        template: Template,
        values: &Value,
        must: impl IntoIterator<Item = String>,
    ) -> Result<Statement, SupportError> {
        Ok(Statement::requiring(self.render(template, values)?, must))
    }

    /// Where an order is: its status, when that was reached, and how to follow it.
    pub(in crate::support) fn status(&self, order: &Order) -> Statements {
        let status = order.status.as_str();
        let mut statements = vec![self.order_status(order)?];
        if let (Some(at), "delivered") = (order.delivered_at, status) {
            statements.push(self.dated(Template::DeliveredOn, at)?);
        }
        if let (Some(at), "cancelled") = (order.cancelled_at, status) {
            statements.push(self.dated(Template::CancelledOn, at)?);
        }
        for shipment in &order.shipments {
            statements.extend(self.tracking(order, shipment)?);
        }
        if order.shipments.is_empty() && NOT_SHIPPED.iter().any(|known| status.starts_with(known)) {
            statements.push(Statement::plain(self.render(Template::NotShipped, &context! {})?));
        }
        Ok(statements)
    }

    /// What is in an order, what was paid and where it goes: what `question` asks of these, or all.
    pub(in crate::support) fn details(
        &self,
        order: &Order,
        customer: &Customer,
        question: &English,
    ) -> Statements {
        let aspects = Aspects::of(question.as_str());
        let mut statements = Vec::new();
        if aspects.items {
            statements.push(self.contents(order)?);
        }
        if aspects.total {
            let values = context! { id => order.id.to_string(), total => order.items_total().to_string() };
            statements.push(self.requiring(Template::Total, &values, [order.items_total().to_string()])?);
        }
        if aspects.payment {
            for payment in &order.payments {
                statements.push(self.money(order, payment, customer)?);
            }
        }
        if aspects.address {
            statements.push(self.ships_to(order)?);
        }
        if aspects.tracking {
            statements.extend(self.status(order)?);
        } else if aspects.status {
            statements.push(self.order_status(order)?);
        }
        Ok(statements)
    }

    /// What has come back of an order's money.
    pub(in crate::support) fn refunds(&self, order: &Order, customer: &Customer) -> Statements {
        let mut statements = vec![self.order_status(order)?];
        let refunds: Vec<&Payment> =
            order.payments.iter().filter(|p| p.kind == PaymentKind::Refund).collect();
        if refunds.is_empty() {
            let values = context! { id => order.id.to_string() };
            statements.push(self.requiring(Template::NoRefund, &values, ["no refund".to_owned()])?);
        }
        for payment in refunds {
            statements.push(self.money(order, payment, customer)?);
        }
        Ok(statements)
    }

    fn order_status(&self, order: &Order) -> Result<Statement, SupportError> {
        let (id, status) = (order.id.to_string(), order.status.to_string());
        self.requiring(Template::OrderStatus, &context! { id => &id, status => &status }, [id, status])
    }

    fn contents(&self, order: &Order) -> Result<Statement, SupportError> {
        let items = order.items.iter().map(|item| {
            let options = item.options.to_string();
            let options = if options.is_empty() { options } else { format!(" ({options})") };
            format!("{} × {}{options}, {}", item.quantity, item.name, order.money(item.unit_price))
        });
        let values = context! { id => order.id.to_string(), items => items.collect::<Vec<_>>() };
        let must = order.items.iter().map(|item| item.name.clone()).chain([order.id.to_string()]);
        self.requiring(Template::Contents, &values, must)
    }

    fn ships_to(&self, order: &Order) -> Result<Statement, SupportError> {
        let address = &order.shipping_address;
        let values = context! { id => order.id.to_string(), address => address.to_string() };
        self.requiring(Template::ShipsTo, &values, [address.line1.clone(), address.postal_code.clone()])
    }

    fn dated(&self, template: Template, at: DateTime<Utc>) -> Result<Statement, SupportError> {
        let (year, day) = (at.format("%Y").to_string(), at.format("%-d").to_string());
        let values =
            context! { date => at.format("%-d %B %Y").to_string(), day => at.format("%d.%m.%Y").to_string() };
        self.requiring(template, &values, [year, day])
    }

    fn tracking(&self, order: &Order, shipment: &Shipment) -> Result<Option<Statement>, SupportError> {
        let numbers = &shipment.tracking_numbers;
        if numbers.is_empty() {
            return Ok(None);
        }
        let contents = (order.shipments.len() > 1).then(|| contents(order, shipment));
        let carrier = &shipment.carrier;
        let must = numbers.iter().chain(carrier).cloned();
        self.requiring(Template::Tracking, &context! { contents, numbers, carrier }, must).map(Some)
    }

    fn money(
        &self,
        order: &Order,
        payment: &Payment,
        customer: &Customer,
    ) -> Result<Statement, SupportError> {
        let amount = order.money(payment.amount).to_string();
        let method = customer.payment_method(&payment.payment_method_id);
        let kind = method.map_or("gone", |method| method.kind.as_str());
        let other = kind.replace('_', " ");
        let last4 = method.and_then(|method| method.last4.clone());
        let template = match payment.kind {
            PaymentKind::Payment => Template::Paid,
            PaymentKind::Refund => Template::Refunded,
        };
        let named = match kind {
            "credit_card" => "credit card",
            "gift_card" => "gift card",
            "paypal" => "PayPal",
            _ => "",
        };
        let must = [amount.clone()].into_iter().chain((!named.is_empty()).then(|| named.to_owned()));
        self.requiring(template, &context! { id => order.id.to_string(), amount, kind, other, last4 }, must)
    }
}

/// Prices in the store's currency.
pub(in crate::support) fn price(amount: tier0_store::Amount, currency: &Currency) -> String {
    amount.in_currency(currency).to_string()
}

/// A name for the items, short enough to tell orders apart: `Water Bottle and 2 more`.
pub(in crate::support) fn item_summary(order: &Order) -> String {
    match order.items.as_slice() {
        [] => "no items".to_owned(),
        [one] => one.name.clone(),
        [first, second] => format!("{} + {}", first.name, second.name),
        [first, rest @ ..] => format!("{} + {}", first.name, rest.len()),
    }
}

/// Names of what a shipment holds.
fn contents(order: &Order, shipment: &Shipment) -> String {
    let inside = order.items.iter().filter(|item| shipment.item_ids.contains(&item.item_id));
    inside.map(|item| item.name.as_str()).collect::<Vec<_>>().join(" + ")
}

impl Aspects {
    const ALL: Self =
        Self { items: true, total: true, payment: true, address: true, status: true, tracking: false };

    /// What the words of a question ask for; everything where they ask for nothing in particular.
    fn of(question: &str) -> Self {
        let said = words(question);
        let asks = |phrases: &[&str]| mentions(&said, phrases);
        let found = Self {
            items: asks(&[
                "what was in",
                "what is in",
                "whats in",
                "what exactly",
                "which items",
                "what items",
                "contents",
                "contain",
                "list everything",
                "everything in",
                "everything thats in",
                "what did i order",
                "what i ordered",
                "what did i buy",
                "which products",
                "what he ordered",
                "list of items",
            ]),
            total: asks(&[
                "total",
                "how much",
                "cost",
                "price",
                "what did i pay",
                "what i paid",
                "amount",
                "did i spend",
            ]),
            payment: asks(&[
                "payment method",
                "paid with",
                "pay with",
                "method of payment",
                "which card",
                "what card",
                "how did i pay",
                "how was it paid",
                "payment",
                "charged to",
                "which account",
            ]),
            address: asks(&[
                "address",
                "delivered to",
                "shipped to",
                "going to",
                "where is it going",
                "sent to",
            ]),
            status: asks(&["status", "shipped yet", "where is it"]),
            tracking: asks(&["tracking", "track", "carrier", "parcel number"]),
        };
        let none = Self {
            items: false,
            total: false,
            payment: false,
            address: false,
            status: false,
            tracking: false,
        };
        if found == none { Self::ALL } else { found }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn named(question: &str) -> Vec<&'static str> {
        let Aspects { items, total, payment, address, status, tracking } = Aspects::of(question);
        let all = [
            (items, "items"),
            (total, "total"),
            (payment, "payment"),
            (address, "address"),
            (status, "status"),
            (tracking, "tracking"),
        ];
        all.into_iter().filter_map(|(asked, name)| asked.then_some(name)).collect()
    }

    #[rstest]
    #[case("Which payment method did I use?", &["payment"])]
    #[case("What's in my parcel, and what was the total?", &["items", "total"])]
    #[case("Which address is it going to?", &["address"])]
    #[case("What is the tracking number?", &["tracking"])]
    #[case("Tell me about my order", &["items", "total", "payment", "address", "status"])]
    fn a_question_asks_for_its_aspects(#[case] question: &str, #[case] expected: &[&str]) {
        assert_eq!(named(question), expected);
    }
}
