//! Runs the examples of a playbook.

use super::example::Example;
use super::playbook::Playbook;

/// How an example came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleResult {
    /// The example's name.
    pub name: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What came out otherwise than expected; empty when all is well.
    pub problems: Vec<String>,
}

impl Playbook {
    /// Runs the examples.
    #[must_use]
    pub fn test(&self) -> Vec<ExampleResult> {
        self.examples.iter().map(|example| run(example, self)).collect()
    }
}

fn run(example: &Example, playbook: &Playbook) -> ExampleResult {
    let (rule, problems) = match playbook.rule(&example.intent, &example.facts) {
        Ok(ruling) => (ruling.rule.clone(), example.compare(&ruling)),
        Err(error) => (None, vec![error.to_string()]),
    };
    ExampleResult { name: example.name.clone(), rule, problems }
}
