//! Customers, orders, products and articles, in the form of the native import. Fields that the
//! format does not know are ignored; a field that is missing or of the wrong type is an error.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Amount, ArticleId, Currency, CustomerId, EmailAddress, InvalidText, ItemId, Money, OrderId,
    PaymentMethodId, ProductId, timestamp,
};

/// A customer of the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The shop's own id.
    pub id: CustomerId,
    /// The address that identifies the customer.
    pub email: EmailAddress,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Where the customer lives; orders carry their own.
    pub address: Address,
    /// Ways to pay, in the shop's order.
    pub payment_methods: Vec<PaymentMethod>,
    /// Telephone number, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Standing in the loyalty programme, for members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loyalty: Option<Loyalty>,
    /// The shop's own marks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Customer {
    /// Given name and family name.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }

    /// The customer's way to pay of this id.
    #[must_use]
    pub fn payment_method(&self, id: &PaymentMethodId) -> Option<&PaymentMethod> {
        self.payment_methods.iter().find(|method| method.id == *id)
    }
}

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub line1: String,
    /// Flat, floor, suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<String>,
    /// Town.
    pub city: String,
    /// State or province, where the country has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: String,
    /// Country, as the shop writes it.
    pub country: String,
}

/// On one line, such as `12 Mill Lane, Apt 3, Alder Falls, CO 80401, USA`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.line1)?;
        if let Some(line2) = self.line2.as_deref().filter(|line| !line.is_empty()) {
            write!(f, "{line2}, ")?;
        }
        write!(f, "{}, ", self.city)?;
        if let Some(region) = self.region.as_deref().filter(|region| !region.is_empty()) {
            write!(f, "{region} ")?;
        }
        write!(f, "{}, {}", self.postal_code, self.country)
    }
}

/// A customer's way to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// The shop's own id.
    pub id: PaymentMethodId,
    /// Card, gift card, PayPal or something else.
    #[serde(rename = "type")]
    pub kind: PaymentMethodKind,
    /// Such as `visa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// The last four digits of a card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    /// What is left on a gift card, in the store's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
}

/// What kind of thing pays.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum PaymentMethodKind {
    /// A credit or debit card.
    CreditCard,
    /// A gift card with a balance.
    GiftCard,
    /// A PayPal account.
    Paypal,
    /// What else the shop takes, by its own word.
    Other(String),
}

impl PaymentMethodKind {
    /// The word in the import format, such as `credit_card`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::CreditCard => "credit_card",
            Self::GiftCard => "gift_card",
            Self::Paypal => "paypal",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for PaymentMethodKind {
    fn from(word: String) -> Self {
        match word.as_str() {
            "credit_card" => Self::CreditCard,
            "gift_card" => Self::GiftCard,
            "paypal" => Self::Paypal,
            _ => Self::Other(word),
        }
    }
}

impl From<PaymentMethodKind> for String {
    fn from(kind: PaymentMethodKind) -> Self {
        kind.as_str().to_owned()
    }
}

/// A member's standing in the loyalty programme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loyalty {
    /// Such as `gold`.
    pub tier: String,
    /// Points to spend.
    pub points: i64,
}

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
/// `return requested`. The playbook gives the words their meaning.
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
            return Err(InvalidText::Empty {
                kind: "the order status",
            });
        }
        Ok(Self(status))
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

/// What sets a variant apart, such as `color: blue, size: M`, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// The value of an option.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Options {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Such as `color: blue, size: M`.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name}: {value}")?;
        }
        Ok(())
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

/// A product with everything it can be had in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The shop's own id.
    pub id: ProductId,
    /// What customers call it.
    pub name: String,
    /// A few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it can be had in.
    pub variants: Vec<Variant>,
}

/// One size, colour and so on of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// What is ordered.
    pub item_id: ItemId,
    /// What sets it apart.
    pub options: Options,
    /// Price of one, in the store's currency.
    pub price: Amount,
    /// Whether it can be ordered now.
    pub available: bool,
}

/// A knowledge article: what the shop tells its customers about one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Its file's name, such as `returns`.
    pub id: ArticleId,
    /// Its first `#` heading.
    pub title: String,
    /// The whole article in Markdown, heading included.
    pub text: String,
}

impl Article {
    /// Reads an article of this id. Without a `#` heading, the id serves as the title.
    #[must_use]
    pub fn from_markdown(id: ArticleId, text: String) -> Self {
        let heading = text
            .lines()
            .find_map(|line| line.strip_prefix("# "))
            .map(str::trim)
            .filter(|title| !title.is_empty());
        let title = heading.unwrap_or(id.as_str()).to_owned();
        Self { id, title, text }
    }
}
