//! Decides what becomes of one request: the playbook rules, the store's data states, its articles
//! answer, or a person takes over.

mod facts;

use std::sync::Arc;

use chrono::Utc;
use minijinja::context;
use tier0_playbook::{About, Playbook, Ruling};
use tier0_store::{Customer, Order, OrderStore, StoreError};
use tier0_text::words;

use super::{
    Citation, Outcome, RuleTaken, SupportError,
    respond::{
        brief::{Brief, Statement},
        statements::{StatementWriter, item_summary},
        templates::{Template, Templates},
    },
    texts::English,
    understand::{
        account_query::AccountQuery,
        extract::{SlotContext, SlotReader, Slots},
        lookup::{Lookup, Orders},
        product_match::products_named_in,
        triage::{IntentRequest, RequestKind},
    },
};
use crate::engine::Usage;

/// Products that one reply may describe; more than that is a question for the shop's search.
const MAX_PRODUCTS: usize = 2;

/// Decides requests.
#[derive(Clone)]
pub(in crate::support) struct Resolver {
    pub(in crate::support) store: Arc<dyn OrderStore>,
    pub(in crate::support) playbook: Option<Arc<Playbook>>,
    pub(in crate::support) templates: Arc<Templates>,
    pub(in crate::support) slots: SlotReader,
}

/// A decided request, and what the decision took.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::support) struct Resolved {
    pub(in crate::support) resolution: Resolution,
    pub(in crate::support) rule: Option<RuleTaken>,
    pub(in crate::support) usage: Usage,
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::support) enum Resolution {
    /// A reply says this.
    Reply(Brief),
    /// The store's articles have to answer.
    Quote,
    /// A person takes over, for this reason.
    HandOff(String),
}

/// The orders of a request, or what has to be asked first.
enum OrdersInQuestion<'a> {
    Found(&'a [Order], &'a Customer),
    Ask(Brief),
}

impl From<Resolution> for Resolved {
    fn from(resolution: Resolution) -> Self {
        Self { resolution, rule: None, usage: Usage::default() }
    }
}

impl Resolver {
    /// Decides `request`, given what was looked up for it.
    ///
    /// # Errors
    /// When a stage fails; what no rule covers is a hand-off, not an error.
    pub(in crate::support) async fn resolve(
        &self,
        request: &IntentRequest,
        lookup: &Lookup,
    ) -> Result<Resolved, SupportError> {
        match &request.kind {
            RequestKind::Person => {
                Ok(Resolution::HandOff("this kind of request needs a person".to_owned()).into())
            }
            RequestKind::Policy => match AccountQuery::read(&request.text) {
                Some(query) => self.about_customer(query, request, lookup).await.map(Resolved::from),
                None => Ok(Resolution::Quote.into()),
            },
            RequestKind::Product => {
                self.about_products(&request.text, request.confidence).await.map(Resolved::from)
            }
            RequestKind::OrderStatus | RequestKind::OrderDetails | RequestKind::Refund => {
                self.about_orders(request, lookup).map(Resolved::from)
            }
            RequestKind::Ruled(intent) => self.ruled(intent, request, lookup).await,
        }
    }

    fn statements(&self) -> StatementWriter<'_> {
        StatementWriter { templates: &self.templates }
    }

    async fn about_customer(
        &self,
        query: AccountQuery,
        request: &IntentRequest,
        lookup: &Lookup,
    ) -> Result<Resolution, SupportError> {
        let Some(customer) = &lookup.customer else {
            let reason = "an unverified sender asks for their own points or balance";
            return Ok(Resolution::HandOff(reason.to_owned()));
        };
        let currency = self.store.currency().await.map_err(|e| SupportError::Store(e.to_string()))?;
        let statements = self.statements().account(query, customer, &currency)?;
        Ok(Resolution::Reply(Brief::new(Outcome::Answer, statements, request.confidence)))
    }

    async fn about_products(&self, message: &English, confidence: f32) -> Result<Resolution, SupportError> {
        let failed = |e: StoreError| SupportError::Store(e.to_string());
        let products = self.store.products().await.map_err(failed)?;
        let named = products_named_in(&products, &words(message.as_str()));
        if named.is_empty() || named.len() > MAX_PRODUCTS {
            return Ok(Resolution::Quote);
        }
        let currency = self.store.currency().await.map_err(failed)?;
        let mut statements = Vec::new();
        for product in named {
            statements.extend(self.statements().product(product, &currency, message)?);
        }
        Ok(Resolution::Reply(Brief::new(Outcome::Answer, statements, confidence)))
    }

    fn about_orders(&self, request: &IntentRequest, lookup: &Lookup) -> Result<Resolution, SupportError> {
        let (orders, customer) = match self.orders(lookup, request.confidence)? {
            OrdersInQuestion::Found(orders, customer) => (orders, customer),
            OrdersInQuestion::Ask(question) => return Ok(Resolution::Reply(question)),
        };
        let writer = self.statements();
        let mut statements = Vec::new();
        for order in orders {
            statements.extend(match request.kind {
                RequestKind::OrderDetails => writer.details(order, customer, &request.text)?,
                RequestKind::Refund => writer.refunds(order, customer)?,
                _ => writer.status(order)?,
            });
        }
        let ids = orders.iter().map(|order| order.id.to_string()).collect();
        Ok(Resolution::Reply(Brief::new(Outcome::Answer, statements, request.confidence).about(ids)))
    }

    fn orders<'a>(&self, lookup: &'a Lookup, confidence: f32) -> Result<OrdersInQuestion<'a>, SupportError> {
        let (template, values, must) = match (&lookup.orders, &lookup.customer) {
            (Orders::Found(orders), Some(customer)) => {
                return Ok(OrdersInQuestion::Found(orders, customer));
            }
            (Orders::NotFound(ids), _) => (
                Template::OrderNotFound,
                context! { ids },
                vec![vec!["could not find", "couldn't find", "not find", "unable to find"]],
            ),
            (Orders::None, _) => {
                (Template::NoOrders, context! {}, vec![vec!["no order"], vec!["e-mail", "email"]])
            }
            (Orders::Unclear(orders), _) => {
                let orders: Vec<_> = orders
                    .iter()
                    .map(|order| context! { id => order.id.to_string(), items => item_summary(order) })
                    .collect();
                (Template::WhichOrder, context! { orders }, vec![vec!["which"], vec!["order number"]])
            }
            (Orders::Unverified, _) | (Orders::Found(_), None) => {
                (Template::VerifyIdentity, context! {}, vec![vec!["e-mail", "email"], vec!["account"]])
            }
        };
        let text = self.templates.render(template, &values)?;
        let must = must.into_iter().map(|group| group.into_iter().map(str::to_owned).collect()).collect();
        let mut statements = vec![Statement { must, ..Statement::plain(text) }];
        if template == Template::OrderNotFound {
            statements.push(Statement::plain(self.templates.render(Template::CheckTheNumber, &context! {})?));
        }
        Ok(OrdersInQuestion::Ask(Brief::new(Outcome::Clarify, statements, confidence)))
    }

    /// The playbook's ruling on a request.
    async fn ruled(
        &self,
        intent: &str,
        request: &IntentRequest,
        lookup: &Lookup,
    ) -> Result<Resolved, SupportError> {
        let message = &request.text;
        let Some((playbook, spec)) =
            self.playbook.as_deref().and_then(|playbook| Some((playbook, playbook.intent(intent)?)))
        else {
            return Ok(Resolution::HandOff("this kind of request needs a person".to_owned()).into());
        };
        let order = match (spec.about, self.orders(lookup, request.confidence)?) {
            (About::Order, OrdersInQuestion::Found([order], _)) => Some(order),
            (About::Order, OrdersInQuestion::Found(..)) => {
                let reason = "the request is about several orders at once".to_owned();
                return Ok(Resolution::HandOff(reason).into());
            }
            // "Can orders be changed twice?" asks for the rule, not for a change.
            (About::Order, OrdersInQuestion::Ask(_)) if request.asks_in_general => {
                return Ok(Resolution::Quote.into());
            }
            (About::Order, OrdersInQuestion::Ask(question)) => return Ok(Resolution::Reply(question).into()),
            (About::Customer, OrdersInQuestion::Ask(question)) if lookup.customer.is_none() => {
                return Ok(Resolution::Reply(question).into());
            }
            (About::Customer | About::Nobody, _) => None,
        };
        let slots = match &lookup.customer {
            Some(customer) => {
                self.slots.read(playbook, &spec.slots, SlotContext { message, order, customer }).await?
            }
            None => Slots::default(),
        };
        let facts = facts::facts(order, lookup.customer.as_ref(), &slots.values, Utc::now());
        let text = serde_json::to_string(facts.as_json()).unwrap_or_default();
        let order_ids = order.iter().map(|order| order.id.to_string()).collect::<Vec<_>>();
        let (resolution, rule, missed) = match playbook.rule(intent, &facts) {
            Ok(ruling) => {
                let (rule, missed) = (ruling.rule.clone(), ruling.missed.clone());
                (resolution(ruling, order_ids, request.confidence), rule, missed)
            }
            Err(error) => {
                tracing::warn!(%error, intent, "the playbook cannot decide a case");
                (
                    Resolution::HandOff(format!("the playbook cannot decide this case: {error}")),
                    None,
                    Vec::new(),
                )
            }
        };
        let taken = RuleTaken { intent: intent.to_owned(), rule, missed, form: slots.form, facts: text };
        Ok(Resolved { resolution, rule: Some(taken), usage: slots.usage })
    }
}

/// The resolution that a ruling stands for.
fn resolution(ruling: Ruling, order_ids: Vec<String>, confidence: f32) -> Resolution {
    let Ruling { outcome, say, must, cite, action, reason, .. } = ruling;
    if outcome == Outcome::Escalate {
        return Resolution::HandOff(
            reason.unwrap_or_else(|| "the playbook leaves it to a person".to_owned()),
        );
    }
    let n_sentences = say.values().map(Vec::len).max().unwrap_or_default();
    let mut statements: Vec<Statement> = (0..n_sentences)
        .map(|at| {
            let text = say.iter().filter_map(|(language, all)| Some((*language, all.get(at)?.clone())));
            Statement::plain(text.collect())
        })
        .collect();
    if let Some(first) = statements.first_mut() {
        first.must = must;
    }
    let citation = |id: String| Citation { id, title: String::new(), quote: String::new() };
    let citations = cite.into_iter().map(citation).collect();
    Resolution::Reply(Brief {
        citations,
        action,
        ..Brief::new(outcome, statements, confidence).about(order_ids)
    })
}
