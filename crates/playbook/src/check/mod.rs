//! Looks a playbook over: what is misspelt or unused (`declarations`), and which cases go wrong
//! (`cases`), tried on a grid of the declared sample values.

mod cases;
mod declarations;
mod finding;
mod grid;

pub use finding::{Finding, Severity};

use super::playbook::Playbook;

impl Playbook {
    /// Everything that is valid but cannot be meant: gaps, dead rules, misspelt facts, sentences
    /// that fail. A playbook without findings decides every combination of its sample values.
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = declarations::check(self);
        for label in self.intents.keys() {
            findings.extend(cases::check(self, label));
        }
        findings
    }

    /// Citations of sections that are not among `known`, which holds `article#section` ids.
    #[must_use]
    pub fn check_citations<S: AsRef<str>>(&self, known: &[S]) -> Vec<Finding> {
        let cited = self.rules.iter().flat_map(|rule| rule.cite.iter().map(move |id| (rule, id)));
        cited
            .filter(|(_, id)| !known.iter().any(|known| known.as_ref() == id.as_str()))
            .map(|(rule, id)| Finding::UnknownSection { rule: rule.name.clone(), id: id.clone() })
            .collect()
    }
}
