//! One word out of the playbook's, such as the reason of a cancellation.
//!
//! Small models guess at reasons; the examples that a playbook gives of each tell them apart better.
//! So a head is fitted to the examples when the pipeline starts, and reads the message part by part.
//! The model is asked only where the head is unsure, and believed only where the head does not
//! object.

use std::{collections::BTreeMap, sync::Arc};

use tier0_playbook::{MIN_CHOICE_EXAMPLES, Playbook, SlotKind, SlotSpec};

use crate::support::SupportError;
use crate::{
    embed::Embed,
    intent::{Classified, Classifier, Evaluation, Example, TrainOptions, parts, train},
};

/// The label of messages that say none of the words. No word of a playbook can be empty.
const NOT_SAID: &str = "";
/// Probability from which a part of a message says a word; that from which it contradicts another.
const SAYS: f32 = 0.6;
const CONTRADICTS: f32 = 0.4;
/// Probability below which no word is said at all, and that which a word needs when the model reads
/// it in the message.
const SILENT: f32 = 0.15;
const BEARS_OUT: f32 = 0.15;

/// What reads the choices of a playbook.
#[derive(Clone, Default)]
pub struct ChoiceClassifiers {
    readers: BTreeMap<String, Reader>,
}

#[derive(Clone)]
struct Reader {
    classifier: Classifier,
    cross_validation: Evaluation,
}

/// What a message says of a choice.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ChoiceReading {
    /// This word.
    Said(String),
    /// None of the words.
    Silent,
    /// Perhaps one of these words.
    Unsure(Vec<String>),
}

impl ChoiceClassifiers {
    /// Fits a head to each choice of a playbook. One with too few examples is left out: it is always
    /// null, and the rules ask. Computes for about a second.
    ///
    /// # Errors
    /// When the embedding model or the arithmetic fails.
    pub fn learn(playbook: &Playbook, embed: &Arc<dyn Embed>) -> Result<Self, SupportError> {
        let mut readers = BTreeMap::new();
        for (name, slot) in playbook.slots() {
            match examples(slot) {
                Some(examples) => {
                    readers.insert(name.to_owned(), Reader::learn(&examples, embed)?);
                }
                None if slot.kind == SlotKind::Choice => {
                    tracing::warn!(slot = name, "too few examples in the playbook: the slot stays empty");
                }
                None => {}
            }
        }
        Ok(Self { readers })
    }

    /// How well each choice is read, in cross-validation over its examples.
    pub fn evaluations(&self) -> impl Iterator<Item = (&str, &Evaluation)> {
        self.readers.iter().map(|(name, reader)| (name.as_str(), &reader.cross_validation))
    }

    /// What a message says of a choice.
    ///
    /// # Errors
    /// When the embedding model fails.
    pub(super) fn guess(&self, name: &str, message: &str) -> Result<ChoiceReading, SupportError> {
        let Some(reader) = self.readers.get(name) else { return Ok(ChoiceReading::Silent) };
        let parts = parts(message);
        let texts: Vec<&str> = parts.iter().map(String::as_str).chain([message]).collect();
        let classified = reader.classifier.classify(&texts).map_err(|error| failed(&error))?;
        Ok(ChoiceReading::from_parts(&classified))
    }
}

impl Reader {
    fn learn(examples: &[Example], embed: &Arc<dyn Embed>) -> Result<Self, SupportError> {
        let options = TrainOptions { n_folds: MIN_CHOICE_EXAMPLES, ..TrainOptions::default() };
        let trained = train(embed.as_ref(), examples, &options).map_err(|error| failed(&error))?;
        let classifier = Classifier::new(Arc::clone(embed), trained.head).map_err(|error| failed(&error))?;
        Ok(Self { classifier, cross_validation: trained.cross_validation })
    }
}

impl ChoiceReading {
    /// Reads the parts of a message together: each word is said as clearly as by the part that says it
    /// most clearly, and nothing is said where two parts say different words.
    fn from_parts(parts: &[Classified]) -> Self {
        let mut words: BTreeMap<&str, f32> = BTreeMap::new();
        for score in parts.iter().flat_map(|part| &part.scores).filter(|score| score.label != NOT_SAID) {
            let best = words.entry(&score.label).or_insert(0.0);
            *best = best.max(score.confidence);
        }
        let mut ranked: Vec<(&str, f32)> = words.into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let at = |rank: usize| ranked.get(rank).map_or(0.0, |(_, confidence)| *confidence);
        if at(0) >= SAYS && at(1) < CONTRADICTS {
            return Self::Said(ranked[0].0.to_owned());
        }
        if at(0) < SILENT {
            return Self::Silent;
        }
        let possible = ranked.iter().filter(|(_, confidence)| *confidence >= BEARS_OUT);
        Self::Unsure(possible.map(|(word, _)| (*word).to_owned()).collect())
    }

    /// The word, given what the model reads in the message.
    pub(super) fn settled(self, answer: Option<&str>) -> Option<String> {
        match self {
            Self::Said(word) => Some(word),
            Self::Silent => None,
            Self::Unsure(possible) => possible.into_iter().find(|word| Some(word.as_str()) == answer),
        }
    }
}

/// The examples of a choice under their words; `None` unless there are enough of each.
fn examples(slot: &SlotSpec) -> Option<Vec<Example>> {
    let words = slot.values.iter().map(|value| (value.name.as_str(), &value.examples));
    let words: Vec<_> = words.chain([(NOT_SAID, &slot.not_said)]).collect();
    let enough = words.iter().all(|(_, examples)| examples.len() >= MIN_CHOICE_EXAMPLES);
    let example = |(word, text): (&str, &String)| Example { text: text.clone(), label: word.to_owned() };
    let all = words.into_iter().flat_map(|(word, texts)| texts.iter().map(move |text| (word, text)));
    (slot.kind == SlotKind::Choice && enough).then(|| all.map(example).collect())
}

fn failed(error: &crate::intent::IntentError) -> SupportError {
    SupportError::Stage { stage: "extract", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::intent::Score;

    fn part(scores: &[(&str, f32)]) -> Classified {
        let score =
            |(label, confidence): &(&str, f32)| Score { label: (*label).to_owned(), confidence: *confidence };
        Classified { scores: scores.iter().map(score).collect(), oos: 0.0 }
    }

    #[rstest]
    #[case::one_part_says_it(&[&[("a", 0.9), ("", 0.1)][..], &[("", 0.9), ("a", 0.1)]], ChoiceReading::Said("a".to_owned()))]
    #[case::two_parts_differ(&[&[("a", 0.9), ("b", 0.1)][..], &[("b", 0.8), ("a", 0.2)]], ChoiceReading::Unsure(vec!["a".to_owned(), "b".to_owned()]))]
    #[case::nothing(&[&[("", 0.9), ("a", 0.1)][..]], ChoiceReading::Silent)]
    #[case::nearly(&[&[("a", 0.5), ("", 0.4), ("b", 0.1)][..]], ChoiceReading::Unsure(vec!["a".to_owned()]))]
    #[case::no_parts(&[], ChoiceReading::Silent)]
    fn the_parts_are_read_together(#[case] parts: &[&[(&str, f32)]], #[case] expected: ChoiceReading) {
        let parts: Vec<Classified> = parts.iter().map(|scores| part(scores)).collect();
        assert_eq!(ChoiceReading::from_parts(&parts), expected);
    }

    #[test]
    fn the_model_decides_only_between_what_is_possible() {
        let unsure = ChoiceReading::Unsure(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(unsure.clone().settled(Some("b")), Some("b".to_owned()));
        assert_eq!(unsure.clone().settled(Some("c")), None);
        assert_eq!(unsure.settled(None), None);
        assert_eq!(ChoiceReading::Silent.settled(Some("a")), None);
        assert_eq!(ChoiceReading::Said("a".to_owned()).settled(Some("b")), Some("a".to_owned()));
    }

    /// Messages that no example was taken from.
    #[test]
    fn reasons_are_read_right_or_not_at_all() {
        let Some(embed) = crate::embed::testing::real_model() else { return };
        let embed: Arc<dyn Embed> = embed;
        let playbook = Playbook::parse(tier0_store::demo::PLAYBOOK).unwrap();
        let choices = ChoiceClassifiers::learn(&playbook, &embed).unwrap();
        let mut messages =
            csv::Reader::from_reader(include_str!("../../../../tests/choices/reasons.csv").as_bytes());
        let (mut n_messages, mut n_right, mut wrong) = (0, 0, Vec::new());
        for record in messages.records() {
            let record = record.unwrap();
            let (message, reason) = (&record[0], &record[1]);
            n_messages += 1;
            match choices.guess("reason", message).unwrap() {
                ChoiceReading::Said(word) if word != reason => wrong.push(format!("{word:?} in {message:?}")),
                // The model, or the customer, is asked again.
                ChoiceReading::Silent if !reason.is_empty() => {}
                ChoiceReading::Unsure(_) => {}
                ChoiceReading::Said(_) | ChoiceReading::Silent => n_right += 1,
            }
        }
        println!("{n_right} of {n_messages} messages are read right");
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(n_right * 100 >= n_messages * 75, "{n_right} of {n_messages}");
    }
}
