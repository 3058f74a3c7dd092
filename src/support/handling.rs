//! Settles one request of a message: by the playbook, from the store's data, from its articles, or
//! by leaving it to a person.

use std::sync::Arc;

use chrono::Utc;
use minijinja::context;
use tier0_playbook::{About, Playbook, Ruling};
use tier0_store::{Customer, Order, OrderStore, StoreError};

use super::{
    Citation, Outcome, RuleTaken, SupportError,
    brief::{Brief, Point},
    case_facts,
    lookup::{Lookup, Orders},
    phrases::{Phrase, Phrases},
    products::named_products,
    slots::{Reading, SlotReader},
    standing::Standing,
    statements::{Stater, item_summary},
    triage::{Asked, Topic},
    words::words,
};
use crate::engine::Usage;

/// Products that one reply may describe; more than that is a question for the shop's search.
const MAX_PRODUCTS: usize = 2;

/// Settles requests.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) store: Arc<dyn OrderStore>,
    pub(super) playbook: Option<Arc<Playbook>>,
    pub(super) phrases: Arc<Phrases>,
    pub(super) slots: SlotReader,
}

/// What became of a request, and what it took to find out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub(super) end: End,
    pub(super) rule: Option<RuleTaken>,
    pub(super) usage: Usage,
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// With a reply.
    Say(Brief),
    /// The store's articles have to say it.
    Quote,
    /// With a person.
    HandOff(String),
}

impl From<End> for Settled {
    fn from(end: End) -> Self {
        Self { end, rule: None, usage: Usage::default() }
    }
}

impl Handler {
    /// Settles `asked`, given what was looked up for it.
    ///
    /// # Errors
    /// When a stage fails; what no rule covers is a hand-off, not an error.
    pub(super) async fn settle(&self, asked: &Asked, lookup: &Lookup) -> Result<Settled, SupportError> {
        let confidence = asked.confidence;
        match &asked.topic {
            Topic::Person => Ok(End::HandOff("this kind of request needs a person".to_owned()).into()),
            Topic::Policy => match Standing::asked(&asked.text) {
                Some(standing) => self.about_customer(standing, asked, lookup).await.map(Settled::from),
                None => Ok(End::Quote.into()),
            },
            Topic::Product => self.about_products(&asked.text, confidence).await.map(Settled::from),
            Topic::OrderStatus | Topic::OrderDetails | Topic::Refund => {
                self.about_orders(asked, lookup).map(Settled::from)
            }
            Topic::Ruled(intent) => self.ruled(intent, asked, lookup).await,
        }
    }

    fn stater(&self) -> Stater<'_> {
        Stater { phrases: &self.phrases }
    }

    async fn about_customer(
        &self,
        standing: Standing,
        asked: &Asked,
        lookup: &Lookup,
    ) -> Result<End, SupportError> {
        let Some(customer) = &lookup.customer else {
            let reason = "an unverified sender asks for their own points or balance";
            return Ok(End::HandOff(reason.to_owned()));
        };
        let currency = self.store.currency().await.map_err(|e| SupportError::Store(e.to_string()))?;
        let points = standing.points(self.stater(), customer, &currency)?;
        Ok(End::Say(Brief::new(Outcome::Answer, points, asked.confidence)))
    }

    async fn about_products(&self, message: &str, confidence: f32) -> Result<End, SupportError> {
        let failed = |e: StoreError| SupportError::Store(e.to_string());
        let products = self.store.products().await.map_err(failed)?;
        let named = named_products(&products, &words(message));
        if named.is_empty() || named.len() > MAX_PRODUCTS {
            return Ok(End::Quote);
        }
        let currency = self.store.currency().await.map_err(failed)?;
        let mut points = Vec::new();
        for product in named {
            points.extend(self.stater().product(product, &currency, message)?);
        }
        Ok(End::Say(Brief::new(Outcome::Answer, points, confidence)))
    }

    fn about_orders(&self, asked: &Asked, lookup: &Lookup) -> Result<End, SupportError> {
        let (orders, customer) = match self.orders(lookup, asked.confidence)? {
            Ok(found) => found,
            Err(question) => return Ok(End::Say(question)),
        };
        let stater = self.stater();
        let mut points = Vec::new();
        for order in orders {
            points.extend(match asked.topic {
                Topic::OrderDetails => stater.details(order, customer, &asked.text)?,
                Topic::Refund => stater.refunds(order, customer)?,
                _ => stater.status(order)?,
            });
        }
        let ids = orders.iter().map(|order| order.id.to_string()).collect();
        Ok(End::Say(Brief::new(Outcome::Answer, points, asked.confidence).about(ids)))
    }

    /// The orders in question, or what has to be asked first.
    #[allow(clippy::type_complexity, reason = "the two outcomes of one question")]
    fn orders<'a>(
        &self,
        lookup: &'a Lookup,
        confidence: f32,
    ) -> Result<Result<(&'a [Order], &'a Customer), Brief>, SupportError> {
        let (phrase, values, must) = match (&lookup.orders, &lookup.customer) {
            (Orders::Found(orders), Some(customer)) => return Ok(Ok((orders, customer))),
            (Orders::NotFound(ids), _) => (
                Phrase::OrderNotFound,
                context! { ids },
                vec![vec!["could not find", "couldn't find", "not find", "unable to find"]],
            ),
            (Orders::None, _) => {
                (Phrase::NoOrders, context! {}, vec![vec!["no order"], vec!["e-mail", "email"]])
            }
            (Orders::Unclear(orders), _) => {
                let orders: Vec<_> = orders
                    .iter()
                    .map(|order| context! { id => order.id.to_string(), items => item_summary(order) })
                    .collect();
                (Phrase::WhichOrder, context! { orders }, vec![vec!["which"], vec!["order number"]])
            }
            (Orders::Unverified, _) | (Orders::Found(_), None) => {
                (Phrase::VerifyIdentity, context! {}, vec![vec!["e-mail", "email"], vec!["account"]])
            }
        };
        let said = self.phrases.say(phrase, &values)?;
        let must = must.into_iter().map(|group| group.into_iter().map(str::to_owned).collect()).collect();
        let mut points = vec![Point { must, ..Point::plain(said) }];
        if phrase == Phrase::OrderNotFound {
            points.push(Point::plain(self.phrases.say(Phrase::CheckTheNumber, &context! {})?));
        }
        Ok(Err(Brief::new(Outcome::Clarify, points, confidence)))
    }

    /// What the playbook makes of a request.
    async fn ruled(&self, intent: &str, asked: &Asked, lookup: &Lookup) -> Result<Settled, SupportError> {
        let message = asked.text.as_str();
        let Some((playbook, spec)) =
            self.playbook.as_deref().and_then(|playbook| Some((playbook, playbook.intent(intent)?)))
        else {
            return Ok(End::HandOff("this kind of request needs a person".to_owned()).into());
        };
        let order = match (spec.about, self.orders(lookup, asked.confidence)?) {
            (About::Order, Ok(([order], _))) => Some(order),
            (About::Order, Ok(_)) => {
                let reason = "the request is about several orders at once".to_owned();
                return Ok(End::HandOff(reason).into());
            }
            // "Can orders be changed twice?" asks for the rule, not for a change.
            (About::Order, Err(_)) if asked.asks_in_general => return Ok(End::Quote.into()),
            (About::Order, Err(question)) => return Ok(End::Say(question).into()),
            (About::Customer, Err(question)) if lookup.customer.is_none() => {
                return Ok(End::Say(question).into());
            }
            (About::Customer | About::Nobody, _) => None,
        };
        let slots = match &lookup.customer {
            Some(customer) => {
                self.slots.read(playbook, &spec.slots, Reading { message, order, customer }).await?
            }
            None => super::slots::Slots::default(),
        };
        let facts = case_facts::facts(order, lookup.customer.as_ref(), &slots.values, Utc::now());
        let text = serde_json::to_string(facts.as_json()).unwrap_or_default();
        let order_ids = order.iter().map(|order| order.id.to_string()).collect::<Vec<_>>();
        let (end, rule, missed) = match playbook.rule(intent, &facts) {
            Ok(ruling) => {
                let (rule, missed) = (ruling.rule.clone(), ruling.missed.clone());
                (ended(ruling, order_ids, asked.confidence), rule, missed)
            }
            Err(error) => {
                tracing::warn!(%error, intent, "the playbook cannot decide a case");
                (End::HandOff(format!("the playbook cannot decide this case: {error}")), None, Vec::new())
            }
        };
        let taken = RuleTaken { intent: intent.to_owned(), rule, missed, form: slots.form, facts: text };
        Ok(Settled { end, rule: Some(taken), usage: slots.usage })
    }
}

/// What a ruling makes the reply say.
fn ended(ruling: Ruling, order_ids: Vec<String>, confidence: f32) -> End {
    let Ruling { outcome, say, must, cite, action, reason, .. } = ruling;
    if outcome == Outcome::Escalate {
        return End::HandOff(reason.unwrap_or_else(|| "the playbook leaves it to a person".to_owned()));
    }
    let n_sentences = say.values().map(Vec::len).max().unwrap_or_default();
    let mut points: Vec<Point> = (0..n_sentences)
        .map(|at| {
            let said = say.iter().filter_map(|(language, all)| Some((*language, all.get(at)?.clone())));
            Point::plain(said.collect())
        })
        .collect();
    if let Some(first) = points.first_mut() {
        first.must = must;
    }
    let citation = |id: String| Citation { id, title: String::new(), quote: String::new() };
    let citations = cite.into_iter().map(citation).collect();
    End::Say(Brief { citations, action, ..Brief::new(outcome, points, confidence).about(order_ids) })
}
