//! Decides what a reply says: from the topic and the store's data, before the model writes.

use minijinja::context;

use crate::store::{Currency, Product};

use super::{
    Outcome, facts,
    lookup::{Lookup, Orders},
    prompts::Prompt,
    triage::Topic,
};

/// Products that one reply may describe; more than that is a question for the shop's search.
const MAX_PRODUCTS: usize = 2;

/// One thing that the reply has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    /// A whole sentence; it may stand in the reply as it is.
    pub(super) text: String,
    /// Words of it that the reply must contain unchanged.
    pub(super) must: Vec<String>,
}

impl Point {
    /// A point whose wording is free.
    pub(super) fn plain(text: String) -> Self {
        Self { text, must: Vec::new() }
    }

    /// A point with words that must not be lost.
    pub(super) fn stating(text: String, must: impl IntoIterator<Item = String>) -> Self {
        Self { text, must: must.into_iter().collect() }
    }
}

/// What the reply will be.
#[derive(Debug, Clone)]
pub(super) enum Ruling {
    /// The store's data says it; an article may be added.
    State { points: Vec<Point>, order_ids: Vec<String> },
    /// The store's articles have to say it.
    Quote,
    /// A fixed reply says it.
    Fixed { outcome: Outcome, prompt: Prompt, values: minijinja::Value },
    /// A person has to.
    HandOff { reason: String },
}

/// Products that a message names, and the currency of their prices.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) products: Vec<Product>,
    pub(super) currency: Currency,
}

/// Applies the rules.
pub(super) fn rule(topic: Topic, lookup: &Lookup, offer: Option<&Offer>) -> Ruling {
    match topic {
        Topic::Person => Ruling::HandOff { reason: "this kind of request needs a person".to_owned() },
        Topic::Policy => Ruling::Quote,
        Topic::Product => offer.map_or(Ruling::Quote, about_products),
        Topic::OrderStatus | Topic::OrderDetails | Topic::Refund => about_orders(topic, lookup),
    }
}

fn about_products(offer: &Offer) -> Ruling {
    let Offer { products, currency } = offer;
    if products.is_empty() || products.len() > MAX_PRODUCTS {
        return Ruling::Quote;
    }
    let points = products.iter().flat_map(|p| facts::product(p, currency)).collect();
    Ruling::State { points, order_ids: Vec::new() }
}

fn about_orders(topic: Topic, lookup: &Lookup) -> Ruling {
    let clarify = |prompt, values| Ruling::Fixed { outcome: Outcome::Clarify, prompt, values };
    let (orders, customer) = match (&lookup.orders, &lookup.customer) {
        (Orders::Found(orders), Some(customer)) => (orders, customer),
        (Orders::NotFound(ids), _) => return clarify(Prompt::OrderNotFound, context! { ids }),
        (Orders::None, _) => return clarify(Prompt::NoOrders, context! {}),
        (Orders::Unclear(orders), _) => {
            let orders: Vec<_> = orders
                .iter()
                .map(|o| context! { id => o.id.to_string(), items => facts::item_summary(o) })
                .collect();
            return clarify(Prompt::WhichOrder, context! { orders });
        }
        (Orders::Unverified, _) | (Orders::Found(_), None) => {
            return clarify(Prompt::VerifyIdentity, context! {});
        }
    };
    let points = orders.iter().flat_map(|order| match topic {
        Topic::OrderDetails => facts::details(order, customer),
        Topic::Refund => facts::refunds(order, customer),
        _ => facts::status(order),
    });
    Ruling::State { points: points.collect(), order_ids: orders.iter().map(|o| o.id.to_string()).collect() }
}
