//! What the stages know of a ticket, and how long each stage took.

use std::{collections::BTreeMap, time::Instant};

use tier0_store::Customer;

use super::{
    Ticket, Trace,
    texts::{AsWritten, English, OwnWords},
    understand::{
        language::DetectedLanguage,
        lookup::{Lookup, Orders},
        triage::Triage,
    },
};
use crate::engine::Usage;

/// What the stages know of a ticket so far.
pub(super) struct Case<'a> {
    pub(super) ticket: &'a Ticket,
    /// The words that are answered.
    pub(super) own_words: OwnWords,
    /// Whether the customer only agrees to what they were told.
    pub(super) agrees: bool,
    /// Everything that the customer wrote: an earlier message may name the order.
    pub(super) written: AsWritten,
    pub(super) language: DetectedLanguage,
    /// The own words in English, where they are in another language.
    pub(super) translation: Option<English>,
    pub(super) triage: Triage,
    pub(super) customer: Option<Customer>,
    /// Orders that were found: number and status.
    pub(super) orders: Vec<(String, String)>,
    pub(super) trace: Trace,
    pub(super) usage: Usage,
    pub(super) clock: Clock,
}

/// Times the stages.
#[derive(Debug, Default)]
pub(super) struct Clock {
    pub(super) timings_ms: BTreeMap<String, u64>,
}

impl Clock {
    /// Awaits `work` and adds its time to `stage`.
    pub(super) async fn time<T>(&mut self, stage: &str, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let result = work.await;
        let spent = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.timings_ms.entry(stage.to_owned()).or_default() += spent;
        result
    }
}

impl Case<'_> {
    /// The own words in English.
    pub(super) fn english(&self) -> English {
        self.translation.clone().unwrap_or_else(|| self.own_words.as_english())
    }

    /// Keeps the sender and the orders that a lookup found.
    pub(super) fn remember(&mut self, lookup: &Lookup) {
        self.customer.clone_from(&lookup.customer);
        if let Orders::Found(orders) = &lookup.orders {
            for order in orders {
                let known = (order.id.to_string(), order.status.to_string());
                if !self.orders.contains(&known) {
                    self.orders.push(known);
                }
            }
        }
    }

    /// The case in one line, for the person who takes over.
    pub(super) fn summary(&self) -> String {
        let who = match &self.customer {
            Some(customer) => format!("{} ({})", customer.full_name(), customer.email),
            None => "An unverified sender".to_owned(),
        };
        let what =
            self.triage.intents.first().map_or("something unclear", |i| i.label.as_str()).replace('_', " ");
        let orders: Vec<String> = self.orders.iter().map(|(id, status)| format!("{id} ({status})")).collect();
        let about = if orders.is_empty() { String::new() } else { format!(", about {}", orders.join(", ")) };
        format!("{who} writes about: {what}{about}.")
    }
}
