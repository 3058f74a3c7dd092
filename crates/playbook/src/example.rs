//! An example of a playbook: a case with what has to come out.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};

use super::error::{Part, Place, PlaybookError};
use super::facts::Facts;
use super::language::Language;
use super::ruling::{Outcome, Ruling};
use super::schema::Schema;
use super::source::{ExampleSource, ExpectedAction};
use super::spec::IntentSpec;

/// A case with what it has to come to.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) name: String,
    pub(super) intent: String,
    pub(super) facts: Facts,
    rule: Option<String>,
    outcome: Option<Outcome>,
    says: Vec<Regex>,
    never_says: Vec<Regex>,
    action: Option<ExpectedAction>,
}

impl Example {
    /// # Errors
    /// When the example names an intent, a rule or a fact that there is not, or a pattern is none.
    pub(super) fn compile(
        source: ExampleSource,
        schema: &Schema,
        intents: &BTreeMap<String, IntentSpec>,
        rules: &BTreeSet<String>,
    ) -> Result<Self, PlaybookError> {
        let place = |field: &str| Place::new(Part::Example, &source.name, field);
        let invalid =
            |field: &str, problem: String| Err(PlaybookError::Invalid { place: place(field), problem });
        if !intents.contains_key(&source.intent) {
            return invalid("intent", format!("the intent {:?} is not declared", source.intent));
        }
        if let Some(unknown) = source.expect.rule.as_ref().filter(|rule| !rules.contains(*rule)) {
            return invalid("expect.rule", format!("there is no rule {unknown:?}"));
        }
        let given = Facts::from(source.facts.clone());
        let unknown = schema.undeclared(&given);
        if !unknown.is_empty() {
            return invalid("facts", format!("not declared in [facts]: {}", unknown.join(", ")));
        }
        let patterns = |field: &str, sources: &[String]| -> Result<Vec<Regex>, PlaybookError> {
            let compile = |source: &String| RegexBuilder::new(source).case_insensitive(true).build();
            let compiled = sources.iter().map(compile).collect::<Result<_, _>>();
            compiled.map_err(|source| PlaybookError::Pattern { place: place(field), source })
        };
        Ok(Self {
            says: patterns("expect.says", &source.expect.says)?,
            never_says: patterns("expect.never_says", &source.expect.never_says)?,
            facts: schema.lay_over_defaults(&given),
            rule: source.expect.rule,
            outcome: source.expect.outcome,
            action: source.expect.action,
            name: source.name,
            intent: source.intent,
        })
    }

    /// What came out otherwise than expected.
    pub(super) fn compare(&self, ruling: &Ruling) -> Vec<String> {
        let mut problems = Vec::new();
        if self.rule.is_some() && self.rule != ruling.rule {
            problems.push(format!("the rule was {}, not {}", or_none(&ruling.rule), or_none(&self.rule)));
        }
        if let Some(expected) = self.outcome.filter(|expected| *expected != ruling.outcome) {
            problems.push(format!("the outcome was {:?}, not {expected:?}", ruling.outcome));
        }
        let reply = ruling.say.get(&Language::En).map_or_else(String::new, |sentences| sentences.join(" "));
        let lacking = self.says.iter().filter(|pattern| !pattern.is_match(&reply));
        problems.extend(lacking.map(|pattern| format!("`{pattern}` is not in the reply: {reply}")));
        let said = self.never_says.iter().filter(|pattern| pattern.is_match(&reply));
        problems.extend(said.map(|pattern| format!("`{pattern}` must not be in the reply: {reply}")));
        problems.extend(self.action.as_ref().and_then(|expected| action_problem(expected, ruling)));
        problems
    }
}

fn action_problem(expected: &ExpectedAction, ruling: &Ruling) -> Option<String> {
    let Some(action) = &ruling.action else {
        return Some(format!("no action was proposed, expected was {}", expected.name));
    };
    if action.name != expected.name {
        return Some(format!("the action was {}, not {}", action.name, expected.name));
    }
    let wanted = expected.arguments.as_ref().filter(|wanted| **wanted != action.arguments)?;
    let [got, wanted] = [&action.arguments, wanted].map(|a| serde_json::Value::Object(a.clone()));
    Some(format!("the action's arguments were {got}, not {wanted}"))
}

fn or_none(name: &Option<String>) -> String {
    name.as_ref().map_or_else(|| "none".to_owned(), |name| format!("{name:?}"))
}
