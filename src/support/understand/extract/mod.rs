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
mod replacement;

use std::{collections::BTreeMap, sync::Arc};

use minijinja::context;
use serde_json::{Map, Value};
use tier0_playbook::{Playbook, SlotKind, SlotSpec};
use tier0_store::{Customer, Order, OrderStore};
use tier0_text::words;

use crate::{
    engine::Usage,
    model::chat::Message,
    support::{SupportError, llm::LanguageModel, run_blocking, texts::English},
};
pub use choice::ChoiceClassifiers;
use choice::ChoiceReading;
use form::{Answers, Form};

/// Reads slots out of messages.
#[derive(Clone)]
pub(in crate::support) struct SlotReader {
    pub(in crate::support) model: LanguageModel,
    pub(in crate::support) choices: Arc<ChoiceClassifiers>,
    pub(in crate::support) store: Arc<dyn OrderStore>,
}

/// What the slots are read from.
#[derive(Clone, Copy)]
pub(in crate::support) struct SlotContext<'a> {
    /// The customer's words, in English.
    pub(in crate::support) message: &'a English,
    pub(in crate::support) order: Option<&'a Order>,
    pub(in crate::support) customer: &'a Customer,
}

/// The slots of a request, by name, in the form that the playbook's rules see.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::support) struct Slots {
    pub(in crate::support) values: Map<String, Value>,
    /// What the model put into the form, as JSON.
    pub(in crate::support) form: String,
    pub(in crate::support) usage: Usage,
}

impl SlotReader {
    /// Messages that every form begins with, for the prefix cache.
    ///
    /// # Errors
    /// When a template cannot be rendered.
    pub(in crate::support) fn warm_up_messages(&self) -> Result<[Message; 2], SupportError> {
        form::messages(&self.model, context! { message => "", questions => [(); 0], items => [(); 0] })
    }

    /// Fills the slots that an intent needs.
    ///
    /// # Errors
    /// When the model, the store or the embedding fails.
    pub(in crate::support) async fn read(
        &self,
        playbook: &Playbook,
        names: &[String],
        context: SlotContext<'_>,
    ) -> Result<Slots, SupportError> {
        let specs: Vec<(&str, &SlotSpec)> =
            names.iter().filter_map(|name| Some((name.as_str(), playbook.slot(name)?))).collect();
        let guesses = self.guesses(&specs, context.message).await?;
        let is_open =
            |name: &str| guesses.get(name).is_none_or(|guess| matches!(guess, ChoiceReading::Unsure(_)));
        let open: Vec<_> = specs.iter().filter(|(name, _)| is_open(name)).copied().collect();
        let form = Form::new(&open, context);
        let (answers, usage) = form.fill_in(&self.model, context).await?;
        let mut slots = Slots { usage, form: answers.as_json(), ..Slots::default() };
        for (name, spec) in &specs {
            let value = match guesses.get(*name) {
                Some(guess) => guess.clone().settled(answers.text(name)).map_or(Value::Null, Value::from),
                None => self.value(name, spec, context, &answers, &slots).await?,
            };
            slots.values.insert((*name).to_owned(), value);
        }
        Ok(slots)
    }

    /// What the words themselves say of the choices.
    async fn guesses(
        &self,
        specs: &[(&str, &SlotSpec)],
        message: &English,
    ) -> Result<BTreeMap<String, ChoiceReading>, SupportError> {
        let choices = specs.iter().filter(|(_, spec)| spec.kind == SlotKind::Choice);
        let names: Vec<String> = choices.map(|(name, _)| (*name).to_owned()).collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (choices, message) = (Arc::clone(&self.choices), message.clone());
        run_blocking("extract", move || {
            let guess = |name: String| choices.guess(&name, message.as_str()).map(|guess| (name, guess));
            names.into_iter().map(guess).collect::<Result<_, _>>()
        })
        .await
    }

    async fn value(
        &self,
        name: &str,
        spec: &SlotSpec,
        context: SlotContext<'_>,
        answers: &Answers,
        so_far: &Slots,
    ) -> Result<Value, SupportError> {
        let said = words(context.message.as_str());
        Ok(match (spec.kind, context.order) {
            (SlotKind::Address, _) => address::read(answers.object(name), &said),
            (SlotKind::Payment, order) => payment::read(answers.text(name), &said, context.customer, order),
            (SlotKind::Items, Some(order)) => {
                items::read(&answers.list(name), context.message.as_str(), order)
            }
            (SlotKind::Wanted, Some(order)) => {
                let chosen = items::chosen(&so_far.values, order);
                replacement::read(self.store.as_ref(), order, &chosen, &said).await?
            }
            (SlotKind::Choice, _) | (SlotKind::Items | SlotKind::Wanted, None) => Value::Null,
        })
    }
}
