//! From the file as it is written to a playbook that can be asked.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Part, Place, PlaybookError};
use super::example::Example;
use super::expression::Expression;
use super::language::Language;
use super::playbook::Playbook;
use super::rule::{Action, Rule};
use super::ruling::Outcome;
use super::schema::{Field, Schema};
use super::source::{ActionSource, FactSource, FactTable, RuleSource, SlotSource, Source};
use super::spec::{Choice, IntentSpec, SlotKind, SlotSpec};
use super::texts::{Phrases, Text, Texts};

impl Playbook {
    /// Reads a playbook and compiles everything in it.
    ///
    /// # Errors
    /// When the text has not the form of a playbook, or a rule in it cannot be compiled. The error
    /// names the rule and the field. What is valid but of no use, [`check`](Self::check) finds.
    pub fn parse(text: &str) -> Result<Self, PlaybookError> {
        let source: Source = toml::from_str(text)?;
        let mut schema = Schema::default();
        for (path, fact) in source.facts {
            schema.declare(&path, field(&path, fact)?);
        }
        for (name, slot) in &source.slots {
            declare_choice(&mut schema, name, slot)?;
        }
        let intents: BTreeMap<_, _> = source
            .intents
            .into_iter()
            .map(|(label, intent)| (label, IntentSpec { about: intent.about, slots: intent.slots }))
            .collect();
        let (compiled, phrases) = compile_phrases(source.phrases)?;
        let mut texts = Texts::new(compiled);
        let mut names = BTreeSet::new();
        let mut rules = Vec::with_capacity(source.rules.len());
        for rule in source.rules {
            if !names.insert(rule.name.clone()) {
                return Err(invalid(
                    &rule.name,
                    "name",
                    "another rule has this name already; choose another",
                ));
            }
            rules.push(compile_rule(rule, &intents, &mut texts)?);
        }
        let examples =
            source.examples.into_iter().map(|example| Example::compile(example, &schema, &intents, &names));
        Ok(Self {
            examples: examples.collect::<Result<_, _>>()?,
            slots: source.slots.into_iter().map(|(name, slot)| (name, slot_spec(slot))).collect(),
            schema,
            intents,
            phrases,
            rules,
            texts,
        })
    }
}

fn field(path: &str, fact: FactSource) -> Result<Field, PlaybookError> {
    let FactTable { values, optional } = match fact {
        FactSource::Values(values) => FactTable { values, optional: false },
        FactSource::Table(table) => table,
    };
    let problem = if values.is_empty() {
        "there is no sample value; give at least one"
    } else if path.split('.').any(str::is_empty) {
        "a fact's name is words joined by dots, such as \"order.status\""
    } else {
        return Ok(Field { samples: values, optional });
    };
    Err(PlaybookError::Invalid { place: Place::new(Part::Fact, path, "values"), problem: problem.to_owned() })
}

/// A choice declares its fact by itself: its samples are its words, and it may be left unsaid.
fn declare_choice(schema: &mut Schema, name: &str, slot: &SlotSource) -> Result<(), PlaybookError> {
    let path = format!("slots.{name}");
    let problem = match (slot.kind, slot.values.is_empty()) {
        (SlotKind::Choice, true) => "a choice needs words to choose from",
        (SlotKind::Choice, false) if schema.get(&path).is_some() => {
            "a choice declares its fact itself; leave it out of [facts]"
        }
        (SlotKind::Choice, false) => {
            let samples = slot.values.keys().map(|word| word.as_str().into()).collect();
            schema.declare(&path, Field { samples, optional: true });
            return Ok(());
        }
        (_, true) => return Ok(()),
        (_, false) => "only a choice has words to choose from",
    };
    Err(PlaybookError::Invalid { place: Place::new(Part::Slot, name, "values"), problem: problem.to_owned() })
}

fn slot_spec(slot: SlotSource) -> SlotSpec {
    let values = slot.values.into_iter();
    let values = values.map(|(name, choice)| Choice { name, means: choice.means, examples: choice.examples });
    SlotSpec { kind: slot.kind, values: values.collect(), not_said: slot.not_said }
}

type PhraseSources = BTreeMap<String, BTreeMap<Language, String>>;

fn compile_phrases(sources: PhraseSources) -> Result<(Phrases, BTreeMap<String, Vec<Text>>), PlaybookError> {
    let mut phrases = Phrases::new();
    let mut texts: BTreeMap<String, Vec<Text>> = BTreeMap::new();
    for (name, languages) in sources {
        for (language, source) in languages {
            let place = Place::new(Part::Phrase, &name, language.code());
            let text = phrases.add(&name, &source, language, place)?;
            texts.entry(name.clone()).or_default().push(text);
        }
    }
    Ok((phrases, texts))
}

fn compile_rule(
    source: RuleSource,
    intents: &BTreeMap<String, IntentSpec>,
    texts: &mut Texts,
) -> Result<Rule, PlaybookError> {
    let name = source.name.as_str();
    check_parts(&source)?;
    let mut say = BTreeMap::new();
    for (language, sentences) in &source.say {
        let add = |(i, sentence): (usize, &String)| {
            texts.add(sentence, *language, Place::in_rule(name, format!("say.{language}[{i}]")))
        };
        say.insert(*language, sentences.iter().enumerate().map(add).collect::<Result<Vec<_>, _>>()?);
    }
    let mut must = Vec::with_capacity(source.must.len());
    for (i, group) in source.must.iter().enumerate() {
        let add = |(j, text): (usize, &String)| {
            texts.add(text, Language::En, Place::in_rule(name, format!("must[{i}][{j}]")))
        };
        must.push(group.iter().enumerate().map(add).collect::<Result<Vec<_>, _>>()?);
    }
    let reason = source.reason.as_deref();
    let reason =
        reason.map(|text| texts.add(text, Language::En, Place::in_rule(name, "reason"))).transpose()?;
    let when = source.when.as_deref();
    let when = when.map(|when| Expression::compile(when, Place::in_rule(name, "when"))).transpose()?;
    let action = source.action.map(|action| compile_action(name, action)).transpose()?;
    let of = source.intent.into_vec();
    if let Some(unknown) = of.iter().find(|label| !intents.contains_key(*label)) {
        let problem = format!("the intent {unknown:?} is not declared; add [intents.{unknown}]");
        return Err(invalid(name, "intent", problem));
    }
    Ok(Rule {
        intents: of,
        when,
        outcome: source.outcome,
        cite: source.cite,
        say,
        must,
        action,
        reason,
        name: source.name,
    })
}

fn compile_action(rule: &str, source: ActionSource) -> Result<Action, PlaybookError> {
    let argument = |(name, expression): (String, String)| {
        let place = Place::in_rule(rule, format!("action.arguments.{name}"));
        Ok((name, Expression::compile(&expression, place)?))
    };
    let limit = source.limit.map(|limit| Expression::compile(&limit, Place::in_rule(rule, "action.limit")));
    Ok(Action {
        name: source.name,
        arguments: source.arguments.into_iter().map(argument).collect::<Result<_, PlaybookError>>()?,
        limit: limit.transpose()?,
    })
}

/// Whether a rule has what its outcome needs, and nothing that it cannot have.
fn check_parts(rule: &RuleSource) -> Result<(), PlaybookError> {
    let escalates = rule.outcome == Outcome::Escalate;
    let acts = rule.outcome == Outcome::Action;
    let says_english = rule.say.get(&Language::En).is_some_and(|sentences| !sentences.is_empty());
    let faults = [
        (rule.name.trim().is_empty(), "name", "a rule needs a name"),
        (acts && rule.action.is_none(), "action", "the outcome action needs an [rules.action]"),
        (!acts && rule.action.is_some(), "action", "only the outcome action can have an [rules.action]"),
        (
            escalates && rule.reason.is_none(),
            "reason",
            "the outcome escalate needs a reason for the person who takes over",
        ),
        (
            !escalates && rule.reason.is_some(),
            "reason",
            "only the outcome escalate has a reason; the reply is in say",
        ),
        (
            escalates && !rule.say.is_empty(),
            "say",
            "the outcome escalate says nothing to the customer; leave say out",
        ),
        (!escalates && !says_english, "say.en", "the outcome needs at least one English sentence"),
        (
            escalates && !rule.must.is_empty(),
            "must",
            "the outcome escalate says nothing, so nothing must be in it",
        ),
        (rule.must.iter().any(Vec::is_empty), "must", "an empty group can never be met; leave it out"),
    ];
    if let Some((_, field, problem)) = faults.into_iter().find(|(is_fault, ..)| *is_fault) {
        return Err(invalid(&rule.name, field, problem));
    }
    match rule.cite.iter().find(|id| !id.contains('#')) {
        Some(id) => {
            Err(invalid(&rule.name, "cite", format!("{id:?} is no section; write \"article#section\"")))
        }
        None => Ok(()),
    }
}

fn invalid(rule: &str, field: &str, problem: impl Into<String>) -> PlaybookError {
    PlaybookError::Invalid { place: Place::in_rule(rule, field), problem: problem.into() }
}
