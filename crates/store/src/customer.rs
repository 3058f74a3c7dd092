//! Customers, in the form of the native import. Fields that the format does not know are ignored; a
//! field that is missing or of the wrong type is an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Amount, CustomerId, EmailAddress, PaymentMethodId};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address {
            line1: "12 Mill Lane".to_owned(),
            line2: None,
            city: "Alder Falls".to_owned(),
            region: None,
            postal_code: "80401".to_owned(),
            country: "USA".to_owned(),
        }
    }

    #[test]
    fn an_address_is_shown_on_one_line_without_gaps() {
        let short = address();
        assert_eq!(short.to_string(), "12 Mill Lane, Alder Falls, 80401, USA");
        let full = Address { line2: Some("Apt 3".to_owned()), region: Some("CO".to_owned()), ..address() };
        assert_eq!(full.to_string(), "12 Mill Lane, Apt 3, Alder Falls, CO 80401, USA");
    }

    #[test]
    fn a_way_to_pay_keeps_the_shops_word() {
        for word in ["credit_card", "gift_card", "paypal", "invoice"] {
            let kind = PaymentMethodKind::from(word.to_owned());
            assert_eq!(kind.as_str(), word);
        }
    }
}
