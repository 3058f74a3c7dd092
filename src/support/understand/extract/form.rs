//! The form that the model fills in: one JSON object whose answers are taken from the store and the
//! playbook.

use minijinja::context;
use serde_json::{Map, Value, json};
use tier0_playbook::{SlotKind, SlotSpec};
use tier0_text::words;

use super::{SlotContext, items, payment};
use crate::support::{
    SupportError,
    llm::{Completion, LanguageModel, excerpt},
    payment_method::method_name,
    prompts::Prompt,
};
use crate::{
    engine::{Grammar, Request, Usage},
    model::chat::{Message, Role},
};

/// What stands for an answer that the message does not give.
pub(super) const NOT_SAID: &str = "not said";
/// Longest answer of one line, and of the whole form.
const MAX_LINE_CHARS: usize = 60;
const MAX_TOKENS: usize = 200;

/// Questions to the model about one message.
#[derive(Debug, Default)]
pub(super) struct Form {
    questions: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    name: String,
    /// What to put there, in words.
    ask: String,
    schema: Value,
}

/// What the model put into the form.
#[derive(Debug, Default)]
pub(super) struct Answers(Map<String, Value>);

impl Form {
    /// Asks for those of the slots that the words alone do not settle.
    pub(super) fn new(specs: &[(&str, &SlotSpec)], context: SlotContext<'_>) -> Self {
        let questions = specs.iter().filter_map(|(name, spec)| {
            let (ask, schema) = match spec.kind {
                SlotKind::Choice => choice(spec),
                SlotKind::Address => address(),
                SlotKind::Payment if payment::is_mentioned(&words(context.message.as_str())) => {
                    payment_method(context)
                }
                SlotKind::Items => items_of_order(context)?,
                SlotKind::Payment | SlotKind::Wanted => return None,
            };
            Some(Question { name: (*name).to_owned(), ask, schema })
        });
        Self { questions: questions.collect() }
    }

    /// Has the model fill the form in.
    pub(super) async fn fill_in(
        &self,
        model: &LanguageModel,
        context: SlotContext<'_>,
    ) -> Result<(Answers, Usage), SupportError> {
        if self.questions.is_empty() {
            return Ok((Answers::default(), Usage::default()));
        }
        let message = excerpt(context.message.as_str());
        let questions: Vec<_> =
            self.questions.iter().map(|q| context! { name => &q.name, ask => &q.ask }).collect();
        let items = context.order.map(items::labels).unwrap_or_default();
        let messages = messages(model, context! { message, questions, items })?;
        let grammar = Some(Grammar::JsonSchema(self.schema()));
        let request = Request { grammar, ..model.request(&messages, MAX_TOKENS)? };
        let Completion { text, usage } = model.complete(request).await?;
        // A form that ran into its limit is as good as empty: the rules will ask.
        Ok((Answers(serde_json::from_str(&text).unwrap_or_default()), usage))
    }

    fn schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.questions.iter().map(|q| (q.name.clone(), q.schema.clone())).collect();
        let required: Vec<&str> = self.questions.iter().map(|q| q.name.as_str()).collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

impl Answers {
    /// A one-word answer; `None` where the message gives none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| *text != NOT_SAID && !text.is_empty())
    }

    /// An answer with several lines.
    pub(super) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }

    /// An answer that is a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let listed = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        listed.filter_map(Value::as_str).filter(|entry| *entry != NOT_SAID).collect()
    }

    /// All answers as they were given.
    pub(super) fn as_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// The messages that ask for a form to be filled in.
///
/// # Errors
/// When a template cannot be rendered.
pub(super) fn messages(
    model: &LanguageModel,
    fields: minijinja::Value,
) -> Result<[Message; 2], SupportError> {
    let system = model.prompts.render(Prompt::ExtractSystem, context! {})?;
    let user = model.prompts.render(Prompt::ExtractUser, fields)?;
    Ok([Message::new(Role::System, system), Message::new(Role::User, user)])
}

fn choice(spec: &SlotSpec) -> (String, Value) {
    let mut names: Vec<&str> = spec.values.iter().map(|value| value.name.as_str()).collect();
    let meanings = spec.values.iter().map(|value| {
        let examples: Vec<String> = value.examples.iter().map(|e| format!("\"{e}\"")).collect();
        format!("\"{}\": {} (such as {})", value.name, value.means, examples.join(", "))
    });
    let meanings: Vec<String> =
        meanings.chain([format!("\"{NOT_SAID}\": the message does not say")]).collect();
    names.push(NOT_SAID);
    (format!("what the message says: {}", meanings.join("; ")), json!({ "enum": names }))
}

fn address() -> (String, Value) {
    let line = json!({"type": "string", "maxLength": MAX_LINE_CHARS});
    let fields = ["line1", "line2", "city", "region", "postal_code", "country"];
    let properties: Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), line.clone())).collect();
    let ask = "the new address, copied from the message: line1 is street and number, line2 is flat or suite, \
               region is the state; \"\" for what the message does not say";
    let schema = json!({
        "type": "object", "properties": properties, "required": fields, "additionalProperties": false,
    });
    (ask.to_owned(), schema)
}

fn payment_method(context: SlotContext<'_>) -> (String, Value) {
    let own = context.customer.payment_methods.iter().map(method_name);
    let names: Vec<String> = [payment::ORIGINAL.to_owned()]
        .into_iter()
        .chain(own)
        .chain([payment::FOREIGN.to_owned(), NOT_SAID.to_owned()])
        .collect();
    let ask = format!(
        "where the customer wants the money to go or to come from: \"{}\" is the way the order was paid, \"{}\" is \
         any method that is not listed or not the customer's own",
        payment::ORIGINAL,
        payment::FOREIGN
    );
    (ask, json!({ "enum": names }))
}

/// `None` where there is nothing to choose from.
fn items_of_order(context: SlotContext<'_>) -> Option<(String, Value)> {
    let mut labels = items::labels(context.order?);
    let n_items = Some(labels.len()).filter(|n| *n > 1)?;
    labels.push(NOT_SAID.to_owned());
    // A list that may be empty is left empty by small models.
    let schema = json!({"type": "array", "items": {"enum": labels}, "minItems": 1, "maxItems": n_items});
    Some(("items that the customer wants to return, exchange or change".to_owned(), schema))
}
