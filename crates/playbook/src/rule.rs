//! One compiled rule.

use std::collections::BTreeMap;

use super::error::PlaybookError;
use super::expression::{Bound, Expression};
use super::facts::Facts;
use super::language::Language;
use super::ruling::{Missed, Outcome, ProposedAction, Ruling};
use super::texts::{Filling, Text, Texts};

/// A rule, ready to be applied.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) intents: Vec<String>,
    /// None: always.
    pub(super) when: Option<Expression>,
    pub(super) outcome: Outcome,
    pub(super) cite: Vec<String>,
    pub(super) say: BTreeMap<Language, Vec<Text>>,
    pub(super) must: Vec<Vec<Text>>,
    /// Only with [`Outcome::Action`].
    pub(super) action: Option<Action>,
    /// Only with [`Outcome::Escalate`].
    pub(super) reason: Option<Text>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) arguments: BTreeMap<String, Expression>,
    /// Where it is false, a person decides.
    pub(super) limit: Option<Expression>,
}

impl Rule {
    /// Whether the rule decides the case.
    ///
    /// # Errors
    /// When its condition cannot be evaluated.
    pub(super) fn fits(&self, bound: &Bound) -> Result<bool, PlaybookError> {
        self.when.as_ref().map_or(Ok(true), |when| when.is_true(bound))
    }

    /// The condition as it is written.
    pub(super) fn condition(&self) -> &str {
        self.when.as_ref().map_or("true", Expression::source)
    }

    /// What the rule decides for facts that it fits.
    ///
    /// # Errors
    /// When its action or its sentences cannot be made from these facts.
    pub(super) fn apply(&self, facts: &Facts, bound: &Bound, texts: &Texts) -> Result<Ruling, PlaybookError> {
        if let Some(limit) = self.exceeded_limit(bound)? {
            let reason = format!("above the limit of the rule {:?}: `{limit}` is false", self.name);
            return Ok(Ruling::escalation(Some(&self.name), reason, Vec::new()));
        }
        let filling = Filling::new(facts);
        let fill = |text: &Text| texts.fill(text, &filling);
        let say = self.say.iter().map(|(language, sentences)| Ok((*language, filled(sentences, fill)?)));
        let must = self.must.iter().map(|group| filled(group, fill));
        Ok(Ruling {
            rule: Some(self.name.clone()),
            outcome: self.outcome,
            say: say.collect::<Result<_, PlaybookError>>()?,
            must: must.filter(|group| !group.as_ref().is_ok_and(Vec::is_empty)).collect::<Result<_, _>>()?,
            cite: self.cite.clone(),
            action: self.action.as_ref().map(|action| action.propose(bound)).transpose()?,
            reason: self.reason.as_ref().map(fill).transpose()?,
            missed: Vec::new(),
        })
    }

    fn exceeded_limit(&self, bound: &Bound) -> Result<Option<&str>, PlaybookError> {
        let Some(limit) = self.action.as_ref().and_then(|action| action.limit.as_ref()) else {
            return Ok(None);
        };
        Ok((!limit.is_true(bound)?).then_some(limit.source()))
    }

    /// Expressions that decide: the condition and the limit.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Expression> {
        self.when.iter().chain(self.action.iter().filter_map(|action| action.limit.as_ref()))
    }

    /// All expressions.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.when.iter().chain(self.action.iter().flat_map(Action::expressions))
    }

    /// All texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Text> {
        self.say.values().chain(&self.must).flatten().chain(&self.reason)
    }

    /// For the report of a rule that did not fit.
    pub(super) fn missed(&self) -> Missed {
        Missed { rule: self.name.clone(), condition: self.condition().to_owned() }
    }
}

impl Action {
    /// The arguments and the limit.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.arguments.values().chain(&self.limit)
    }

    fn propose(&self, bound: &Bound) -> Result<ProposedAction, PlaybookError> {
        let arguments =
            self.arguments.iter().map(|(name, expression)| Ok((name.clone(), expression.value(bound)?)));
        Ok(ProposedAction {
            name: self.name.clone(),
            arguments: arguments.collect::<Result<_, PlaybookError>>()?,
        })
    }
}

/// The texts filled in, without those that come out empty: a sentence may be for some cases only.
fn filled(
    texts: &[Text],
    fill: impl Fn(&Text) -> Result<String, PlaybookError>,
) -> Result<Vec<String>, PlaybookError> {
    let filled = texts.iter().map(fill).collect::<Result<Vec<_>, _>>()?;
    Ok(filled.into_iter().filter(|text| !text.is_empty()).collect())
}
