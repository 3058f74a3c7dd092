//! Jinja: the sentences of the rules and the phrases that they share.

use std::collections::BTreeSet;
use std::sync::Arc;

use minijinja::value::{Object, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::error::{Place, PlaybookError};
use super::facts::Facts;
use super::language::Language;

/// The name under which sentences reach the phrases: `{{ phrase.refund_time }}`.
const PHRASES: &str = "phrase";

/// One compiled text.
#[derive(Debug, Clone)]
pub(super) struct Text {
    place: Place,
    language: Language,
    /// Its name among the compiled texts.
    id: String,
    /// Paths of facts that it mentions itself.
    pub(super) fields: BTreeSet<String>,
    /// Phrases that it uses.
    pub(super) phrases: BTreeSet<String>,
}

impl Text {
    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// All texts of a playbook, compiled.
#[derive(Debug)]
pub(super) struct Texts {
    sentences: Environment<'static>,
    phrases: Arc<Environment<'static>>,
}

/// Facts made ready for any number of texts.
pub(super) struct Filling(Value);

impl Filling {
    pub(super) fn new(facts: &Facts) -> Self {
        Self(Value::from(Serde(facts.as_json())))
    }
}

impl Texts {
    /// The texts of a playbook whose phrases are these.
    pub(super) fn new(phrases: Phrases) -> Self {
        Self { sentences: environment(), phrases: Arc::new(phrases.0) }
    }

    /// Compiles a sentence.
    ///
    /// # Errors
    /// When it is not valid Jinja, or uses a phrase that there is not in its language.
    pub(super) fn add(
        &mut self,
        source: &str,
        language: Language,
        place: Place,
    ) -> Result<Text, PlaybookError> {
        let text = compile(&mut self.sentences, source, language, place)?;
        let missing =
            text.phrases.iter().find(|name| self.phrases.get_template(&phrase_id(language, name)).is_err());
        match missing {
            None => Ok(text),
            Some(name) => {
                let problem =
                    format!("there is no phrase {name:?} in the language {language}; add it to [phrases]");
                Err(PlaybookError::Invalid { place: text.place, problem })
            }
        }
    }

    /// Fills a text in; white space around it is dropped.
    ///
    /// # Errors
    /// When it names a fact that there is not, or prints one that is null.
    pub(super) fn fill(&self, text: &Text, filling: &Filling) -> Result<String, PlaybookError> {
        let phrases = FilledPhrases {
            phrases: self.phrases.clone(),
            language: text.language,
            facts: filling.0.clone(),
        };
        let values = minijinja::context! { phrase => Value::from_object(phrases), ..filling.0.clone() };
        let filled = self.sentences.get_template(&text.id).and_then(|template| template.render(values));
        let filled = filled.map_err(|source| PlaybookError::Filling { place: text.place.clone(), source })?;
        Ok(filled.trim().to_owned())
    }
}

/// The wordings that sentences share.
#[derive(Debug)]
pub(super) struct Phrases(Environment<'static>);

impl Phrases {
    pub(super) fn new() -> Self {
        Self(environment())
    }

    /// Compiles a phrase.
    ///
    /// # Errors
    /// When it is not valid Jinja or uses another phrase.
    pub(super) fn add(
        &mut self,
        name: &str,
        source: &str,
        language: Language,
        place: Place,
    ) -> Result<Text, PlaybookError> {
        let mut text = compile(&mut self.0, source, language, place)?;
        if !text.phrases.is_empty() {
            let problem = "a phrase cannot use other phrases; write it out".to_owned();
            return Err(PlaybookError::Invalid { place: text.place, problem });
        }
        text.id = phrase_id(language, name);
        let added = self.0.add_template_owned(text.id.clone(), source.to_owned());
        added.map_err(|source| PlaybookError::Text { place: text.place.clone(), source })?;
        Ok(text)
    }
}

fn phrase_id(language: Language, name: &str) -> String {
    format!("{language}/{name}")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // A misspelt fact is an error, not an empty space in a customer's reply.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(print);
    environment
}

/// Prints text and whole numbers. Anything else in a customer's reply is a slip: an absent fact
/// would read "none", and a bare amount lacks its currency.
fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::String => minijinja::escape_formatter(out, state, value),
        ValueKind::Number if value.is_integer() => minijinja::escape_formatter(out, state, value),
        ValueKind::None => {
            Err(Error::new(ErrorKind::InvalidOperation, "the fact is null, there is nothing to print"))
        }
        kind => {
            let problem = format!("a {kind} cannot be printed, only text and whole numbers can");
            Err(Error::new(ErrorKind::InvalidOperation, problem))
        }
    }
}

fn compile(
    environment: &mut Environment<'static>,
    source: &str,
    language: Language,
    place: Place,
) -> Result<Text, PlaybookError> {
    let id = place.to_string();
    let failed = |source| PlaybookError::Text { place: place.clone(), source };
    environment.add_template_owned(id.clone(), source.to_owned()).map_err(failed)?;
    let mentioned = environment.get_template(&id).map_err(failed)?.undeclared_variables(true);
    let (phrases, fields): (BTreeSet<_>, BTreeSet<_>) =
        mentioned.into_iter().partition(|path| path.split('.').next() == Some(PHRASES));
    let phrases =
        phrases.iter().map(|path| path.trim_start_matches(PHRASES).trim_start_matches('.').to_owned());
    Ok(Text { phrases: phrases.collect(), fields, place, language, id })
}

/// The phrases of one language, each filled in when a sentence comes to it: what a sentence does
/// not reach may lack its facts.
#[derive(Debug)]
struct FilledPhrases {
    phrases: Arc<Environment<'static>>,
    language: Language,
    facts: Value,
}

impl Object for FilledPhrases {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let template = self.phrases.get_template(&phrase_id(self.language, name.as_str()?)).ok()?;
        let filled = template.render(&self.facts);
        Some(filled.map_or_else(Value::from, |text| Value::from(text.trim())))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::error::Part;

    fn fill(source: &str) -> Result<String, PlaybookError> {
        let place = |name: &str| Place::new(Part::Phrase, name, "de");
        let mut phrases = Phrases::new();
        phrases.add("when", "{{ order.days }} Tage", Language::De, place("when"))?;
        phrases.add("owed", "{{ order.gone }}", Language::De, place("owed"))?;
        let mut texts = Texts::new(phrases);
        let text = texts.add(source, Language::De, Place::in_rule("r", "say.de[0]"))?;
        let order = json!({"id": "<#1>", "days": 5, "total": 12.5, "gone": null, "items": []});
        texts.fill(&text, &Filling::new(&Facts::from(json!({"order": order}))))
    }

    #[rstest]
    #[case(" Order {{ order.id }}. ", "Order <#1>.")]
    #[case("In {{ order.days }} Tagen.", "In 5 Tagen.")]
    #[case("In {{ phrase.when }}.", "In 5 Tage.")]
    #[case("{% if order.gone %}{{ phrase.owed }}{% endif %}", "")]
    #[case("{% if order.total > 10 %}viel{% endif %}", "viel")]
    fn texts_are_filled_in(#[case] source: &str, #[case] expected: &str) {
        assert_eq!(fill(source).unwrap(), expected);
    }

    #[rstest]
    #[case::misspelt("{{ order.idd }}", "undefined")]
    #[case::null("{{ order.gone }}", "nothing to print")]
    #[case::null_within_a_phrase("{{ phrase.owed }}", "nothing to print")]
    #[case::amount_without_currency("{{ order.total }}", "only text and whole numbers")]
    #[case::list("{{ order.items }}", "only text and whole numbers")]
    #[case::unclosed("{{ order.id ", "not a valid Jinja text")]
    #[case::unknown_phrase("{{ phrase.never }}", "no phrase \"never\" in the language de")]
    fn what_cannot_be_said_is_an_error_that_names_the_sentence(#[case] source: &str, #[case] why: &str) {
        let message = fill(source).unwrap_err().to_string();
        assert!(message.starts_with("rule \"r\", say.de[0]: ") && message.contains(why), "{message}");
    }

    #[test]
    fn phrases_do_not_nest() {
        let place = Place::new(Part::Phrase, "a", "en");
        let error = Phrases::new().add("a", "{{ phrase.b }}", Language::En, place).unwrap_err();
        assert!(error.to_string().contains("cannot use other phrases"), "{error}");
    }
}
