//! What the generator draws from: `examples/demo-store/catalog.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DemoError;
use crate::{Amount, Currency};

const CATALOG: &str = include_str!("../../../../examples/demo-store/catalog.toml");

#[derive(Debug, Deserialize)]
pub(super) struct Catalog {
    pub(super) currency: Currency,
    pub(super) carriers: Carriers,
    pub(super) people: People,
    pub(super) products: Vec<CatalogProduct>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Carriers {
    pub(super) standard: Carrier,
    pub(super) express: Carrier,
    pub(super) freight: Carrier,
}

#[derive(Debug, Deserialize)]
pub(super) struct Carrier {
    pub(super) name: String,
    /// How its tracking numbers begin.
    pub(super) prefix: String,
    /// The fewest and the most days that a parcel travels.
    pub(super) days: [i64; 2],
}

#[derive(Debug, Deserialize)]
pub(super) struct People {
    pub(super) first_names: Vec<String>,
    pub(super) last_names: Vec<String>,
    pub(super) streets: Vec<String>,
    pub(super) units: Vec<String>,
    pub(super) places: Vec<Place>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) city: String,
    pub(super) region: String,
    /// The first three digits of its postal codes.
    pub(super) postal_prefix: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct CatalogProduct {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) price: Amount,
    /// The values of each option.
    pub(super) options: BTreeMap<String, Vec<String>>,
    /// What an option's value adds to the price.
    #[serde(default)]
    pub(super) extra: BTreeMap<String, Amount>,
    /// Too large for a parcel.
    #[serde(default)]
    pub(super) freight: bool,
}

impl CatalogProduct {
    /// All combinations of the options, the last option changing fastest.
    pub(super) fn combinations(&self) -> Vec<Vec<(String, String)>> {
        let mut combinations = vec![Vec::new()];
        for (name, values) in &self.options {
            combinations = combinations
                .iter()
                .flat_map(|chosen: &Vec<(String, String)>| {
                    values.iter().map(move |value| {
                        let mut chosen = chosen.clone();
                        chosen.push((name.clone(), value.clone()));
                        chosen
                    })
                })
                .collect();
        }
        combinations
    }

    /// The price of a variant with these values.
    pub(super) fn price_with(&self, chosen: &[(String, String)]) -> Amount {
        let extras = chosen.iter().filter_map(|(_, value)| self.extra.get(value));
        self.price + extras.copied().sum()
    }
}

impl Catalog {
    pub(super) fn embedded() -> Result<Self, DemoError> {
        Ok(toml::from_str(CATALOG)?)
    }
}
