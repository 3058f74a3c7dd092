//! Orders, in the form of the native import. Fields that the format does not know are ignored; a
//! field that is missing or of the wrong type is an error.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Address, Amount, Currency, CustomerId, InvalidText, ItemId, Money, Options, OrderId, PaymentMethodId,
    ProductId, timestamp,
};

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The number that the customer knows.
    pub id: OrderId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// How far it has come.
    pub status: OrderStatus,
    /// The currency of all its amounts.
    pub currency: Currency,
    /// Where it goes.
    pub shipping_address: Address,
    /// What was ordered. The same item can stand on two lines.
    pub items: Vec<OrderItem>,
    /// Parcels, once there are any.
    pub shipments: Vec<Shipment>,
    /// Money in and back out, in the order it moved.
    pub payments: Vec<Payment>,
    /// When it was placed.
    #[serde(default, with = "timestamp", skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<DateTime<Utc>>,
    /// When the last parcel arrived.
    #[serde(default, with = "timestamp", skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    #[serde(default, with = "timestamp", skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<DateTime<Utc>>,
}

impl Order {
    /// An amount of this order with its currency.
    #[must_use]
    pub fn money(&self, amount: Amount) -> Money {
        amount.in_currency(&self.currency)
    }

    /// What the items cost together.
    #[must_use]
    pub fn items_total(&self) -> Money {
        self.money(self.items.iter().map(OrderItem::total).sum())
    }

    /// What the customer has paid, refunds not taken off.
    #[must_use]
    pub fn paid(&self) -> Money {
        self.moved(PaymentKind::Payment)
    }

    /// What the customer has got back.
    #[must_use]
    pub fn refunded(&self) -> Money {
        self.moved(PaymentKind::Refund)
    }

    fn moved(&self, kind: PaymentKind) -> Money {
        let amounts = self.payments.iter().filter(|payment| payment.kind == kind);
        self.money(amounts.map(|payment| payment.amount).sum())
    }
}

/// How far an order has come, in the shop's own words and in lower case: `pending`, `delivered`,
/// `return requested`. The playbook gives the words their meaning; confirmed actions write the ones
/// that have a constructor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(try_from = "String")]
#[sqlx(transparent)]
pub struct OrderStatus(String);

impl OrderStatus {
    /// Reads a status in either case.
    ///
    /// # Errors
    /// [`InvalidText::Empty`] when nothing but white space is in it.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let status = text.trim().to_lowercase();
        if status.is_empty() {
            return Err(InvalidText::Empty { kind: "the order status" });
        }
        Ok(Self(status))
    }

    /// `cancelled`: it will not be delivered.
    #[must_use]
    pub fn cancelled() -> Self {
        Self("cancelled".to_owned())
    }

    /// `pending (items modified)`: not sent yet, and its items have been changed once.
    #[must_use]
    pub fn items_modified() -> Self {
        Self("pending (items modified)".to_owned())
    }

    /// `return requested`: the customer will send items back.
    #[must_use]
    pub fn return_requested() -> Self {
        Self("return requested".to_owned())
    }

    /// `exchange requested`: the customer will send items back for others.
    #[must_use]
    pub fn exchange_requested() -> Self {
        Self("exchange requested".to_owned())
    }

    /// The words, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for OrderStatus {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderItem {
    /// The variant that was ordered.
    pub item_id: ItemId,
    /// The product that it is a variant of.
    pub product_id: ProductId,
    /// The product's name when it was ordered.
    pub name: String,
    /// What sets the variant apart.
    pub options: Options,
    /// Price of one.
    pub unit_price: Amount,
    /// How many.
    pub quantity: u32,
}

impl OrderItem {
    /// Price of all of them.
    #[must_use]
    pub fn total(&self) -> Amount {
        self.unit_price * self.quantity
    }
}

/// A parcel, or several that travel together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// The carrier's numbers.
    pub tracking_numbers: Vec<String>,
    /// What is inside.
    pub item_ids: Vec<ItemId>,
    /// Who carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// How far it has come, in the shop's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Money in or back out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// In or out.
    pub kind: PaymentKind,
    /// How much, never negative.
    pub amount: Amount,
    /// From or to where. The customer may have removed the method since.
    pub payment_method_id: PaymentMethodId,
}

/// Which way money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum PaymentKind {
    /// From the customer to the shop.
    Payment,
    /// From the shop to the customer.
    Refund,
}
