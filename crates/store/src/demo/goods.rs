//! What the demo shop sells.

use super::DemoError;
use super::catalog::{Catalog, CatalogProduct};
use super::dice::Dice;
use crate::{ItemId, Product, ProductId, Variant};

/// In stock, of 100 variants.
const PERCENT_AVAILABLE: u32 = 88;

/// A product and how it travels.
pub(super) struct Goods {
    pub(super) product: Product,
    /// Too large for a parcel.
    pub(super) freight: bool,
}

pub(super) fn stock(catalog: &Catalog, dice: &mut Dice) -> Result<Vec<Goods>, DemoError> {
    (101..)
        .zip(&catalog.products)
        .map(|(number, product)| {
            Ok(Goods {
                product: Product {
                    id: ProductId::new(format!("P{number}"))?,
                    name: product.name.clone(),
                    description: Some(product.description.clone()),
                    variants: variants(product, number, dice)?,
                },
                freight: product.freight,
            })
        })
        .collect()
}

fn variants(product: &CatalogProduct, number: u32, dice: &mut Dice) -> Result<Vec<Variant>, DemoError> {
    (1..)
        .zip(product.combinations())
        .map(|(position, chosen)| {
            Ok(Variant {
                item_id: ItemId::new(format!("{number}{position:02}"))?,
                price: product.price_with(&chosen),
                options: chosen.into_iter().collect(),
                // Of every product, something can be ordered.
                available: position == 1 || dice.chance(PERCENT_AVAILABLE),
            })
        })
        .collect()
}
