//! What is mentioned but not declared, and declared but not used.

use std::collections::BTreeSet;

use crate::language::Language;
use crate::playbook::Playbook;
use crate::rule::Rule;
use crate::ruling::Outcome;
use crate::spec::{IntentSpec, MIN_CHOICE_EXAMPLES, SlotKind, SlotSpec};
use crate::texts::Text;

use super::finding::Finding;

/// Findings that can be read off the playbook without trying cases.
pub(super) fn check(playbook: &Playbook) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in &playbook.rules {
        findings.extend(unknown_in_expressions(playbook, rule));
        findings.extend(rule.texts().flat_map(|text| unknown_in_text(playbook, text)));
    }
    findings.extend(playbook.phrases.values().flatten().flat_map(|text| unknown_in_text(playbook, text)));
    for (label, intent) in &playbook.intents {
        findings.extend(slots(playbook, label, intent));
    }
    findings.extend(playbook.slots().flat_map(|(name, slot)| too_few_examples(name, slot)));
    findings.extend(unused_phrases(playbook));
    findings.extend(missing_languages(playbook));
    findings
}

/// Whether everything that a rule mentions is declared; else its cases cannot be tried.
pub(super) fn mentions_only_known(playbook: &Playbook, rule: &Rule) -> bool {
    mentioned(playbook, rule).iter().all(|path| playbook.schema.knows(path))
}

/// Every path that a rule mentions, in its phrases too.
pub(super) fn mentioned<'a>(playbook: &'a Playbook, rule: &'a Rule) -> BTreeSet<&'a str> {
    let condition = rule.when.iter().flat_map(|when| &when.references().fields);
    condition.map(String::as_str).chain(mentioned_in_reply(playbook, rule)).collect()
}

/// Every path that a rule mentions in what it says and does, its limit included.
pub(super) fn mentioned_in_reply<'a>(playbook: &'a Playbook, rule: &'a Rule) -> BTreeSet<&'a str> {
    let action = rule.action.iter().flat_map(|action| action.expressions());
    let phrases = rule.texts().flat_map(|text| &text.phrases).filter_map(|name| playbook.phrases.get(name));
    let texts = rule.texts().chain(phrases.flatten()).flat_map(|text| &text.fields);
    action.flat_map(|expression| &expression.references().fields).chain(texts).map(String::as_str).collect()
}

fn unknown_in_expressions(playbook: &Playbook, rule: &Rule) -> Vec<Finding> {
    let mut findings = Vec::new();
    for expression in rule.expressions() {
        let (place, references) = (expression.place(), expression.references());
        let unknown = references.fields.iter().filter(|field| !playbook.schema.knows(field));
        findings.extend(
            unknown.map(|field| Finding::UnknownField { place: place.clone(), field: field.clone() }),
        );
        let odd = references.compared.iter().filter(|(field, value)| {
            playbook.schema.knows(field)
                && !playbook.schema.samples_at(field).any(|sample| sample == value.as_str())
        });
        findings.extend(odd.map(|(field, value)| Finding::UnknownValue {
            place: place.clone(),
            field: field.clone(),
            value: value.clone(),
        }));
    }
    findings
}

fn unknown_in_text<'a>(playbook: &'a Playbook, text: &'a Text) -> impl Iterator<Item = Finding> + 'a {
    let unknown = text.fields.iter().filter(|field| !playbook.schema.knows(field));
    unknown.map(|field| Finding::UnknownField { place: text.place().clone(), field: field.clone() })
}

fn too_few_examples(name: &str, slot: &SlotSpec) -> Vec<Finding> {
    if slot.kind != SlotKind::Choice {
        return Vec::new();
    }
    let words = slot.values.iter().map(|value| (value.name.as_str(), value.examples.len()));
    let words = words.chain([("not_said", slot.not_said.len())]);
    let few = words.filter(|(_, n_examples)| *n_examples < MIN_CHOICE_EXAMPLES);
    let found = |(word, n_examples): (&str, usize)| Finding::TooFewExamples {
        slot: name.to_owned(),
        word: word.to_owned(),
        n_examples,
    };
    few.map(found).collect()
}

fn slots(playbook: &Playbook, label: &str, intent: &IntentSpec) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut looked_at = BTreeSet::new();
    for rule in playbook.rules_of(label) {
        let of_rule: BTreeSet<&str> = mentioned(playbook, rule).into_iter().filter_map(slot_of).collect();
        let unlisted = of_rule.iter().filter(|slot| !intent.slots.iter().any(|listed| listed == *slot));
        findings.extend(unlisted.map(|slot| Finding::UnlistedSlot {
            intent: label.to_owned(),
            rule: rule.name.clone(),
            slot: (*slot).to_owned(),
        }));
        looked_at.extend(of_rule);
    }
    for slot in &intent.slots {
        let (intent, is_used) = (label.to_owned(), looked_at.contains(slot.as_str()));
        if !playbook.slots.contains_key(slot) {
            findings.push(Finding::UndeclaredSlot { intent, slot: slot.clone() });
        } else if !is_used {
            findings.push(Finding::UnusedSlot { intent, slot: slot.clone() });
        }
    }
    findings
}

/// `slots.items.text` is of the slot `items`.
fn slot_of(path: &str) -> Option<&str> {
    path.strip_prefix("slots.")?.split('.').next()
}

fn unused_phrases(playbook: &Playbook) -> impl Iterator<Item = Finding> {
    let used: BTreeSet<&str> = playbook
        .rules
        .iter()
        .flat_map(Rule::texts)
        .flat_map(|text| &text.phrases)
        .map(String::as_str)
        .collect();
    let unused = playbook.phrases.keys().filter(move |name| !used.contains(name.as_str()));
    unused.map(|phrase| Finding::UnusedPhrase { phrase: phrase.clone() })
}

fn missing_languages(playbook: &Playbook) -> Vec<Finding> {
    let spoken: BTreeSet<Language> =
        playbook.rules.iter().flat_map(|rule| rule.say.keys().copied()).collect();
    let speaking = playbook.rules.iter().filter(|rule| rule.outcome != Outcome::Escalate);
    let lacking = speaking.flat_map(|rule| {
        let lacks = move |language: &&Language| rule.say.get(language).is_none_or(Vec::is_empty);
        spoken
            .iter()
            .filter(lacks)
            .map(|language| Finding::MissingLanguage { rule: rule.name.clone(), language: *language })
    });
    lacking.collect()
}
