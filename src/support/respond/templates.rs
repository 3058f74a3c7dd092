//! The sentences in `prompts/say/`: what the store's data says, in every language of the replies.

use std::collections::BTreeMap;

use minijinja::{Environment, UndefinedBehavior, Value};
use tier0_playbook::Language;

use crate::support::SupportError;

/// One sentence in every language.
pub(in crate::support) type Localized = BTreeMap<Language, String>;

const FILES: [(Language, &str); 4] = [
    (Language::En, include_str!("../../../prompts/say/en.toml")),
    (Language::Es, include_str!("../../../prompts/say/es.toml")),
    (Language::De, include_str!("../../../prompts/say/de.toml")),
    (Language::Fr, include_str!("../../../prompts/say/fr.toml")),
];

macro_rules! templates {
    ($($(#[$doc:meta])* $variant:ident = $key:literal,)*) => {
        /// A sentence of the files, by its key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::support) enum Template {
            $($(#[$doc])* $variant,)*
        }

        impl Template {
            const ALL: &[Self] = &[$(Self::$variant),*];

            fn key(self) -> &'static str {
                match self {
                    $(Self::$variant => $key,)*
                }
            }
        }
    };
}

templates! {
    /// An order's status: `id`, `status`.
    OrderStatus = "order_status",
    /// When it was delivered: `date`, `day`.
    DeliveredOn = "delivered_on",
    /// When it was cancelled: `date`, `day`.
    CancelledOn = "cancelled_on",
    /// That it has not left yet: no values.
    NotShipped = "not_shipped",
    /// How to follow a parcel: `contents` (or none), `numbers`, `carrier` (or none).
    Tracking = "tracking",
    /// What is in an order: `id`, `items`.
    Contents = "contents",
    /// What an order cost: `id`, `total`.
    Total = "total",
    /// Where an order goes: `id`, `address`.
    ShipsTo = "ships_to",
    /// What was paid: `id`, `amount`, `kind`, `last4`, `other`.
    Paid = "paid",
    /// What was refunded: the same.
    Refunded = "refunded",
    /// That nothing was: `id`.
    NoRefund = "no_refund",
    /// A product's price: `name`, `low`, `high` (or none).
    ProductPrice = "product_price",
    /// One variant: `name`, `options`, `price`, `available`.
    Variant = "variant",
    /// How many variants: `name`, `n_available`, `n_variants`.
    VariantCount = "variant_count",
    /// Which variants: `options`.
    VariantList = "variant_list",
    /// That none can be had: `name`.
    SoldOut = "sold_out",
    /// That no variant is like this: `name`.
    NoSuchVariant = "no_such_variant",
    /// The whole reply where a person takes over.
    Escalate = "escalate",
    /// Asks an unverified sender to prove who they are.
    VerifyIdentity = "verify_identity",
    /// That no such order is in the account: `ids`.
    OrderNotFound = "order_not_found",
    /// What to do about it.
    CheckTheNumber = "check_the_number",
    /// That there is no order at all.
    NoOrders = "no_orders",
    /// A member's standing: `points`, `tier`.
    Loyalty = "loyalty",
    /// That the customer is no member.
    NoLoyalty = "no_loyalty",
    /// What is left on gift cards: `balances`.
    GiftCards = "gift_cards",
    /// That there is no gift card in the account.
    NoGiftCard = "no_gift_card",
    /// Asks which order: `orders`, each with `id` and `items`.
    WhichOrder = "which_order",
}

/// All sentences, compiled.
#[derive(Debug)]
pub(in crate::support) struct Templates(Environment<'static>);

impl Templates {
    /// Compiles every sentence of every language.
    ///
    /// # Errors
    /// When a file is broken, or lacks a sentence.
    pub(in crate::support) fn compile() -> Result<Self, SupportError> {
        let mut environment = Environment::new();
        // A misspelt variable is an error, not an empty space in a customer's reply.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (language, file) in FILES {
            let mut sentences: BTreeMap<String, String> = toml::from_str(file).map_err(|e| failed(&e))?;
            for template in Template::ALL {
                let name = name(*template, language);
                let source =
                    sentences.remove(template.key()).ok_or_else(|| failed(&format!("{name} is missing")))?;
                environment.add_template_owned(name, source).map_err(|e| failed(&e))?;
            }
            if let Some(key) = sentences.keys().next() {
                return Err(failed(&format!("nothing says {language}/{key}")));
            }
        }
        Ok(Self(environment))
    }

    /// A sentence in every language.
    ///
    /// # Errors
    /// When the sentence names something that `values` lacks.
    pub(in crate::support) fn render(
        &self,
        template: Template,
        values: &Value,
    ) -> Result<Localized, SupportError> {
        let said = FILES.iter().map(|(language, _)| {
            let source = self.0.get_template(&name(template, *language))?;
            Ok((*language, source.render(values)?.trim().to_owned()))
        });
        said.collect::<Result<_, minijinja::Error>>().map_err(|e| failed(&e))
    }
}

fn name(template: Template, language: Language) -> String {
    format!("{language}/{}", template.key())
}

fn failed(error: &dyn std::fmt::Display) -> SupportError {
    SupportError::Stage { stage: "state", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn every_sentence_is_there_in_every_language() {
        let said = Templates::compile()
            .unwrap()
            .render(Template::OrderStatus, &context! { id => "#A1", status => "pending" })
            .unwrap();
        assert_eq!(said.len(), FILES.len());
        for sentence in said.values() {
            assert!(sentence.contains("#A1") && sentence.contains("pending"), "{sentence}");
        }
    }

    #[test]
    fn a_value_that_is_not_given_is_an_error() {
        assert!(
            Templates::compile().unwrap().render(Template::OrderStatus, &context! { id => "#A1" }).is_err()
        );
    }
}
