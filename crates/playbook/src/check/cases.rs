//! Tries the cases of an intent: which rule decides, and whether it can say what it has to.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::error::PlaybookError;
use crate::expression::Bound;
use crate::facts::Facts;
use crate::language::Language;
use crate::playbook::Playbook;
use crate::rule::Rule;
use crate::ruling::Ruling;
use crate::schema::Schema;

use super::declarations::{mentioned_in_reply, mentions_only_known};
use super::finding::Finding;
use super::grid::{Grid, MAX_CASES};

/// Findings about the cases of an intent. Where a rule mentions what is not declared, there are
/// none: that has been found already, and every case would fail of it.
pub(super) fn check(playbook: &Playbook, label: &str) -> Vec<Finding> {
    let rules: Vec<&Rule> = playbook.rules_of(label).collect();
    if !rules.iter().all(|rule| mentions_only_known(playbook, rule)) {
        return Vec::new();
    }
    let paths = rules.iter().flat_map(|rule| rule.conditions()).flat_map(|when| &when.references().fields);
    let grid = Grid::over(&playbook.schema, fields(&playbook.schema, paths.map(String::as_str)));
    let mut survey = Survey::new(playbook, label, rules, &grid);
    grid.cases().for_each(|case| survey.try_case(&case));
    survey.findings()
}

/// The declared fields in which paths lie.
fn fields<'a>(schema: &Schema, paths: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    paths.into_iter().filter_map(|path| schema.field_of(path)).map(|(field, ..)| field).collect()
}

/// What the cases tried so far have shown.
struct Survey<'a> {
    playbook: &'a Playbook,
    label: &'a str,
    grid: &'a Grid,
    rules: Vec<Inspected<'a>>,
    /// The first case that no rule fits, and how many there are.
    missing: Option<Facts>,
    n_missing: usize,
    /// The first failure of each rule, by name.
    failures: BTreeMap<&'a str, Finding>,
}

/// A rule with what has been seen of it.
struct Inspected<'a> {
    rule: &'a Rule,
    /// Fields that its reply depends on.
    reply_fields: BTreeSet<&'a str>,
    is_reached: bool,
    /// Combinations of the reply's fields for which the reply has been made.
    made: HashSet<Vec<usize>>,
}

impl<'a> Survey<'a> {
    fn new(playbook: &'a Playbook, label: &'a str, rules: Vec<&'a Rule>, grid: &'a Grid) -> Self {
        let inspected = |rule| {
            let reply_fields = fields(&playbook.schema, mentioned_in_reply(playbook, rule));
            Inspected { rule, reply_fields, is_reached: false, made: HashSet::new() }
        };
        let rules = rules.into_iter().map(inspected).collect();
        Self { playbook, label, grid, rules, missing: None, n_missing: 0, failures: BTreeMap::new() }
    }

    fn try_case(&mut self, case: &[usize]) {
        let mut facts = Facts::default();
        self.grid.put(case, &mut facts);
        let bound = Bound::new(&facts);
        for i in 0..self.rules.len() {
            match self.rules[i].rule.fits(&bound) {
                Ok(false) => {}
                Ok(true) => return self.decided(i, case),
                Err(error) => return self.failed(self.rules[i].rule, &error, &facts),
            }
        }
        self.n_missing += 1;
        self.missing.get_or_insert(facts);
    }

    /// Makes the reply of a rule, once for each combination of the facts that it depends on.
    fn decided(&mut self, i: usize, case: &[usize]) {
        let inspected = &mut self.rules[i];
        inspected.is_reached = true;
        let concerned = self.grid.project(case, |path| inspected.reply_fields.contains(path));
        if !inspected.made.insert(concerned) {
            return;
        }
        let rule = inspected.rule;
        for facts in self.variants(i, case) {
            match rule.apply(&facts, &Bound::new(&facts), &self.playbook.texts) {
                Err(error) => self.failed(rule, &error, &facts),
                Ok(ruling) => self.failures_of_must(rule, &ruling),
            }
        }
    }

    /// The whole facts of a case, and the same with each value of a field that only the reply
    /// mentions.
    fn variants(&self, i: usize, case: &[usize]) -> Vec<Facts> {
        let schema = &self.playbook.schema;
        let mut whole = Facts::default();
        schema.iter().for_each(|(path, field)| whole.set(path, field.first()));
        self.grid.put(case, &mut whole);
        let mut variants = vec![whole.clone()];
        for path in self.rules[i].reply_fields.iter().filter(|path| !self.grid.has(path)) {
            for value in schema.get(path).into_iter().flat_map(|field| field.values()) {
                let mut variant = whole.clone();
                variant.set(path, value);
                variants.push(variant);
            }
        }
        variants
    }

    fn failed(&mut self, rule: &'a Rule, error: &PlaybookError, facts: &Facts) {
        let finding = Finding::Failure {
            rule: rule.name.clone(),
            problem: error.to_string(),
            facts: facts.as_json().clone(),
        };
        self.failures.entry(&rule.name).or_insert(finding);
    }

    fn failures_of_must(&mut self, rule: &'a Rule, ruling: &Ruling) {
        let reply = ruling.say.get(&Language::En).map_or_else(String::new, |sentences| sentences.join(" "));
        let heard = reply.to_lowercase();
        let is_said = |group: &Vec<String>| group.iter().any(|text| heard.contains(&text.to_lowercase()));
        if let Some(group) = ruling.must.iter().find(|group| !is_said(group)) {
            let finding = Finding::MustNotSaid { rule: rule.name.clone(), group: group.clone(), reply };
            self.failures.entry(&rule.name).or_insert(finding);
        }
    }

    fn findings(self) -> Vec<Finding> {
        let intent = || self.label.to_owned();
        let mut findings = Vec::new();
        let n_cases = self.grid.n_cases();
        if n_cases > MAX_CASES as u128 {
            findings.push(Finding::Sampled { intent: intent(), n_tried: MAX_CASES, n_cases });
        }
        let unreached = self.rules.iter().filter(|inspected| !inspected.is_reached);
        findings.extend(
            unreached.map(|i| Finding::UnreachableRule { rule: i.rule.name.clone(), intent: intent() }),
        );
        findings.extend(self.missing.map(|facts| Finding::MissingCase {
            intent: self.label.to_owned(),
            facts: facts.as_json().clone(),
            n_cases: self.n_missing,
        }));
        findings.extend(self.failures.into_values());
        findings
    }
}
