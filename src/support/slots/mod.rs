//! What a request says of the things that the playbook's rules look at: which items, which reason,
//! which address.
//!
//! The model reads the message into a form whose answers are all taken from the store (an item that
//! is not in the order cannot come out), and a second reading of the words themselves has to agree;
//! what the words settle by themselves is not asked.
//! Where the two differ, the slot stays empty and the playbook's rules ask.

mod address;
mod choice;
mod form;
mod items;
mod payment;
mod wanted;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use tier0_playbook::{Playbook, SlotKind, SlotSpec};
use tier0_store::{Customer, Order, OrderStore};

use super::{SupportError, run_blocking, words::words, writer::Writer};
use crate::engine::Usage;
pub use choice::Choices;
use choice::Guess;
use form::{Answers, Form};

/// Reads slots out of messages.
#[derive(Clone)]
pub(super) struct SlotReader {
    pub(super) writer: Writer,
    pub(super) choices: Arc<Choices>,
    pub(super) store: Arc<dyn OrderStore>,
}

/// What the slots are read from.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The customer's words, in English.
    pub(super) message: &'a str,
    pub(super) order: Option<&'a Order>,
    pub(super) customer: &'a Customer,
}

/// The slots of a request, by name, in the form that the playbook's rules see.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Slots {
    pub(super) values: Map<String, Value>,
    /// What the model put into the form, as JSON.
    pub(super) form: String,
    pub(super) usage: Usage,
}

impl SlotReader {
    /// Fills the slots that an intent needs.
    ///
    /// # Errors
    /// When the model, the store or the embedding fails.
    pub(super) async fn read(
        &self,
        playbook: &Playbook,
        names: &[String],
        reading: Reading<'_>,
    ) -> Result<Slots, SupportError> {
        let specs: Vec<(&str, &SlotSpec)> =
            names.iter().filter_map(|name| Some((name.as_str(), playbook.slot(name)?))).collect();
        let guesses = self.guesses(&specs, reading.message).await?;
        let is_open = |name: &str| guesses.get(name).is_none_or(|guess| matches!(guess, Guess::Unsure(_)));
        let open: Vec<_> = specs.iter().filter(|(name, _)| is_open(name)).copied().collect();
        let form = Form::new(&open, reading);
        let (answers, usage) = form.fill_in(&self.writer, reading).await?;
        let mut slots = Slots { usage, form: answers.as_json(), ..Slots::default() };
        for (name, spec) in &specs {
            let value = match guesses.get(*name) {
                Some(guess) => guess.clone().settled(answers.text(name)).map_or(Value::Null, Value::from),
                None => self.value(name, spec, reading, &answers, &slots).await?,
            };
            slots.values.insert((*name).to_owned(), value);
        }
        Ok(slots)
    }

    /// What the words themselves say of the choices.
    async fn guesses(
        &self,
        specs: &[(&str, &SlotSpec)],
        message: &str,
    ) -> Result<BTreeMap<String, Guess>, SupportError> {
        let choices = specs.iter().filter(|(_, spec)| spec.kind == SlotKind::Choice);
        let names: Vec<String> = choices.map(|(name, _)| (*name).to_owned()).collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (choices, message) = (Arc::clone(&self.choices), message.to_owned());
        run_blocking("choices", move || {
            let guess = |name: String| choices.guess(&name, &message).map(|guess| (name, guess));
            names.into_iter().map(guess).collect::<Result<_, _>>()
        })
        .await
    }

    async fn value(
        &self,
        name: &str,
        spec: &SlotSpec,
        reading: Reading<'_>,
        answers: &Answers,
        so_far: &Slots,
    ) -> Result<Value, SupportError> {
        let said = words(reading.message);
        Ok(match (spec.kind, reading.order) {
            (SlotKind::Address, _) => address::read(answers.object(name), &said),
            (SlotKind::Payment, order) => payment::read(answers.text(name), &said, reading.customer, order),
            (SlotKind::Items, Some(order)) => items::read(&answers.list(name), reading.message, order),
            (SlotKind::Wanted, Some(order)) => {
                let chosen = items::chosen(&so_far.values, order);
                wanted::read(self.store.as_ref(), order, &chosen, &said).await?
            }
            (SlotKind::Choice, _) | (SlotKind::Items | SlotKind::Wanted, None) => Value::Null,
        })
    }
}
