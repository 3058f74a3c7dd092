//! Identifiers, one type each, so that an item's id cannot be taken for a product's.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is no identifier, e-mail address or currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but white space.
    #[error("{kind} is empty")]
    Empty {
        /// What it should have been.
        kind: &'static str,
    },
    /// Not of the form that is asked for.
    #[error("{text:?} is not {kind}")]
    Form {
        /// What it should have been.
        kind: &'static str,
        /// What it was.
        text: String,
    },
}

/// A non-empty text of its own type. Values read from the store were checked when they were
/// imported.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(try_from = "String")]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text as a value of this type.
            ///
            /// # Errors
            /// [`InvalidText::Empty`] when nothing but white space is in it.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
                let text = text.into();
                if text.trim().is_empty() {
                    return Err(InvalidText::Empty { kind: $kind });
                }
                Ok(Self(text))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }
    };
}

text_newtype!(
    /// A customer's id in the shop. Customers do not see it.
    CustomerId,
    "the customer id"
);
text_newtype!(
    /// A product: all sizes and colours of one thing.
    ProductId,
    "the product id"
);
text_newtype!(
    /// One variant of a product, which is what can be ordered.
    ItemId,
    "the item id"
);
text_newtype!(
    /// A customer's way to pay.
    PaymentMethodId,
    "the payment method id"
);
text_newtype!(
    /// A knowledge article, such as `returns`.
    ArticleId,
    "the article id"
);
text_newtype!(
    /// An action that a customer confirms, such as one cancellation. Never given twice.
    ActionId,
    "the action id"
);

impl ActionId {
    /// An id that nobody can guess and that is not given again.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }
}

impl ArticleId {
    /// The id of an article in a file of this stem: lower case, words joined by dashes.
    ///
    /// # Errors
    /// [`InvalidText::Empty`] when the stem has no letter or digit.
    pub fn from_stem(stem: &str) -> Result<Self, InvalidText> {
        let words: Vec<String> = stem
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        Self::new(words.join("-"))
    }
}

/// An order's number. `#W2611340`, `w2611340` and `# W2611340` are the same order: compared is the
/// number in upper case without `#`, shown is what was read.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct OrderId {
    canonical: String,
    display: String,
}

impl OrderId {
    /// Reads an order number in any spelling that customers use.
    ///
    /// # Errors
    /// [`InvalidText`] when no number is left without `#` and white space, or when white space
    /// stands inside it.
    pub fn parse(spelling: &str) -> Result<Self, InvalidText> {
        let display = spelling.trim();
        let number = display.trim_start_matches(|c: char| c == '#' || c.is_whitespace());
        if number.is_empty() {
            return Err(InvalidText::Empty { kind: "the order id" });
        }
        if number.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidText::Form { kind: "an order id", text: spelling.to_owned() });
        }
        Ok(Self { canonical: number.to_uppercase(), display: display.to_owned() })
    }

    /// What orders are compared and looked up by: upper case, no `#`.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// As it was read; for an order out of the store, as the customer sees it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.display
    }
}

impl PartialEq for OrderId {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for OrderId {}

impl Hash for OrderId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

impl Serialize for OrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.display)
    }
}

impl TryFrom<String> for OrderId {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

/// An e-mail address, kept as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(try_from = "String")]
#[sqlx(transparent)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Reads an address. Only its form is checked: something, one `@`, something, no white space.
    ///
    /// # Errors
    /// [`InvalidText::Form`] when it has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        let address = text.trim();
        let has_form = address
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if !has_form || address.contains(char::is_whitespace) {
            return Err(InvalidText::Form { kind: "an e-mail address", text: text.to_owned() });
        }
        Ok(Self(address.to_owned()))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What addresses are compared by: the whole address in lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("#W2611340")]
    #[case("W2611340")]
    #[case("w2611340 ")]
    #[case("# w2611340")]
    #[case("  ##W2611340\n")]
    fn spellings_of_an_order_number_are_one_order(#[case] spelling: &str) {
        let id = OrderId::parse(spelling).unwrap();
        assert_eq!(id.canonical(), "W2611340");
        assert_eq!(id, OrderId::parse("#W2611340").unwrap());
    }

    #[rstest]
    #[case("")]
    #[case(" # ")]
    #[case("#W26 11340")]
    fn what_is_no_order_number_is_refused(#[case] spelling: &str) {
        assert!(OrderId::parse(spelling).is_err());
    }

    #[test]
    fn an_order_number_is_shown_as_it_was_read() {
        assert_eq!(OrderId::parse(" #w2611340").unwrap().to_string(), "#w2611340");
    }

    #[rstest]
    #[case("Returns & refunds", "returns-refunds")]
    #[case("gift_cards", "gift-cards")]
    #[case("policy", "policy")]
    fn an_article_is_named_after_its_file(#[case] stem: &str, #[case] id: &str) {
        assert_eq!(ArticleId::from_stem(stem).unwrap().as_str(), id);
    }

    #[rstest]
    #[case("maya")]
    #[case("@example.com")]
    #[case("maya@")]
    #[case("a@b@c")]
    #[case("maya lind@example.com")]
    fn what_is_no_address_is_refused(#[case] text: &str) {
        assert!(EmailAddress::parse(text).is_err());
    }

    proptest! {
        #[test]
        fn reading_the_canonical_number_again_changes_nothing(spelling in "\\PC{0,20}") {
            if let Ok(id) = OrderId::parse(&spelling) {
                prop_assert_eq!(&OrderId::parse(id.as_str()).unwrap(), &id);
                prop_assert!(!id.canonical().starts_with('#'));
            }
        }
    }
}
