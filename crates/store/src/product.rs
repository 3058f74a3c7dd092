//! Products and their variants, in the form of the native import. Fields that the format does not
//! know are ignored; a field that is missing or of the wrong type is an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Amount, ItemId, ProductId};

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
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_and_compared_by_name() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = Options::from_iter([pair("size", "M"), pair("color", "blue")]);
        assert_eq!(options.to_string(), "color: blue, size: M");
        assert_eq!(options.get("size"), Some("M"));
        let reordered = Options::from_iter([pair("color", "blue"), pair("size", "M")]);
        assert_eq!(options, reordered);
    }
}
