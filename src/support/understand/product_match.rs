//! Which products, and which of their variants, a text names.

use std::collections::BTreeSet;

use tier0_store::{Options, Product, Variant};
use tier0_text::{contains, position, words};

/// Negations: a word before a property that reverses it, as in "not waterproof".
const NEGATIONS: [&str; 4] = ["not", "non", "no", "without"];

/// What a text says about the options of a product: for each option that it speaks of, the values
/// that it names.
pub(in crate::support) fn named_options<'a>(
    variants: &'a [Variant],
    text: &[String],
) -> Vec<(&'a str, BTreeSet<&'a str>)> {
    let keys: BTreeSet<&str> = variants.iter().flat_map(|v| v.options.iter()).map(|(key, _)| key).collect();
    let named = keys.into_iter().map(|key| {
        let values: BTreeSet<&str> = variants.iter().filter_map(|v| v.options.get(key)).collect();
        (key, values_named(key, &values, text))
    });
    named.filter(|(_, values)| !values.is_empty()).collect()
}

fn values_named<'a>(key: &str, values: &BTreeSet<&'a str>, text: &[String]) -> BTreeSet<&'a str> {
    let named: BTreeSet<&str> = values.iter().copied().filter(|value| is_named(key, value, text)).collect();
    // "matte black" is not "black" as well.
    let part_of_another =
        |value: &str| named.iter().any(|other| *other != value && contains(&words(other), &words(value)));
    named.iter().copied().filter(|value| !part_of_another(value)).collect()
}

/// Whether a text names a value. Of a property that a variant has or has not, the text names the
/// property.
fn is_named(key: &str, value: &str, text: &[String]) -> bool {
    let Some(has) = (match value.to_lowercase().as_str() {
        "yes" | "true" => Some(true),
        "no" | "false" | "none" => Some(false),
        _ => None,
    }) else {
        return contains(text, &words(value));
    };
    position(text, &words(key)).is_some_and(|at| {
        let denied = at.checked_sub(1).is_some_and(|before| NEGATIONS.contains(&text[before].as_str()));
        denied != has
    })
}

/// Whether a variant has one of the named values of each option.
pub(in crate::support) fn fits(options: &Options, named: &[(&str, BTreeSet<&str>)]) -> bool {
    named.iter().all(|(key, values)| options.get(key).is_some_and(|value| values.contains(value)))
}

/// The products that a text names by their whole name, else by the word that says what it is.
pub(in crate::support) fn products_named_in<'a>(
    products: &'a [Product],
    text: &[String],
) -> Vec<&'a Product> {
    let whole: Vec<&Product> =
        products.iter().filter(|product| contains(text, &words(&product.name))).collect();
    if !whole.is_empty() {
        return whole;
    }
    let head = |product: &&Product| words(&product.name).last().is_some_and(|head| text.contains(head));
    products.iter().filter(head).collect()
}

/// What sets a variant apart, without the options' names where they need none.
pub(in crate::support) fn values(variant: &Variant) -> String {
    variant.options.to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn lantern() -> Product {
        let variant = |id: &str, color: &str, life: &str, proof: &str, available: bool| {
            json!({"item_id": id, "price": 20.5, "available": available,
                "options": {"color": color, "battery life": life, "waterproof": proof}})
        };
        serde_json::from_value(json!({
            "id": "7", "name": "Trail Lantern",
            "variants": [
                variant("1", "black", "6 hours", "yes", true),
                variant("2", "matte black", "6 hours", "yes", true),
                variant("3", "black", "4 hours", "no", false),
            ],
        }))
        .unwrap()
    }

    #[rstest]
    #[case("the black one with 6 hour battery, waterproof", &["1"])]
    #[case("in matte black", &["2"])]
    #[case("a black one that is not waterproof", &["3"])]
    #[case("a lantern", &["1", "2", "3"])]
    #[case("black with 4 hours, and waterproof", &[])]
    fn variants_are_found_by_what_is_said_of_them(#[case] text: &str, #[case] expected: &[&str]) {
        let product = lantern();
        let text = words(text);
        let named = named_options(&product.variants, &text);
        let found: Vec<String> = product
            .variants
            .iter()
            .filter(|v| fits(&v.options, &named))
            .map(|v| v.item_id.to_string())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_whole_name_goes_before_the_kind() {
        let other: Product =
            serde_json::from_value(json!({"id": "8", "name": "Camp Lantern", "variants": []})).unwrap();
        let products = [lantern(), other];
        let names = |text: &str| -> Vec<String> {
            products_named_in(&products, &words(text)).into_iter().map(|p| p.name.clone()).collect()
        };
        assert_eq!(names("your trail lanterns"), ["Trail Lantern"]);
        assert_eq!(names("a lantern"), ["Trail Lantern", "Camp Lantern"]);
        assert!(names("a stove").is_empty());
    }
}
