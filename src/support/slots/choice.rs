//! One word out of the playbook's, such as the reason of a cancellation.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    super::{SupportError, verify::sentences},
    SlotReader,
};
use crate::{
    embed::{Embed, EmbedError},
    playbook::SlotSpec,
};

/// How much nearer to the message the examples of another word may be, where the answer's own stand
/// out from those of some other word by as much as this.
const MARGIN: f32 = 0.06;
const STANDS_OUT: f32 = 0.1;

/// The model's word, if the playbook's examples of it are about as near to the message as those of
/// any other; else null.
pub(super) async fn read(
    reader: &SlotReader,
    spec: &SlotSpec,
    message: &str,
    answer: Option<&str>,
) -> Result<Value, SupportError> {
    let Some(answer) = answer.filter(|answer| spec.values.iter().any(|value| value.name == *answer)) else {
        return Ok(Value::Null);
    };
    let embed = reader.embed.clone();
    let (spec, message, answer) = (spec.clone(), message.to_owned(), answer.to_owned());
    let work = tokio::task::spawn_blocking(move || similarities(embed.as_ref(), &spec, &message));
    let failed = |reason: String| SupportError::Stage { stage: "extract", reason };
    let found = work.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
    Ok(if bears_out(&found, &answer) { Value::from(answer) } else { Value::Null })
}

/// Whether the examples speak for the answer: it is the nearest, or next to it and no mere one of many
/// that are all as far.
fn bears_out(similarities: &BTreeMap<String, f32>, answer: &str) -> bool {
    let Some(own) = similarities.get(answer) else { return false };
    let nearest = similarities.values().copied().fold(f32::MIN, f32::max);
    let furthest = similarities.values().copied().fold(f32::MAX, f32::min);
    *own >= nearest || (*own >= nearest - MARGIN && *own >= furthest + STANDS_OUT)
}

/// How near the examples of each word come to a sentence of the message.
fn similarities(
    embed: &dyn Embed,
    spec: &SlotSpec,
    message: &str,
) -> Result<BTreeMap<String, f32>, EmbedError> {
    let sentences = sentences(message);
    let examples: Vec<(&str, &str)> = spec
        .values
        .iter()
        .flat_map(|value| {
            let texts = value.examples.iter().chain([&value.means]);
            texts.map(|text| (value.name.as_str(), text.as_str()))
        })
        .collect();
    let texts: Vec<&str> =
        sentences.iter().map(String::as_str).chain(examples.iter().map(|(_, text)| *text)).collect();
    let vectors = embed.embed(&texts)?;
    let (said, known) = vectors.split_at(sentences.len());
    let mut found = BTreeMap::new();
    for ((name, _), example) in examples.iter().zip(known) {
        let nearness = said.iter().map(|s| s.iter().zip(example).map(|(a, b)| a * b).sum::<f32>());
        let best = found.entry((*name).to_owned()).or_insert(f32::MIN);
        *best = nearness.fold(*best, f32::max);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nearest("a", [0.5, 0.2, 0.1], true)]
    #[case::nearly("b", [0.5, 0.45, 0.1], true)]
    #[case::behind("b", [0.5, 0.4, 0.1], false)]
    #[case::one_of_many("b", [0.42, 0.4, 0.32], false)]
    #[case::unknown("d", [0.5, 0.2, 0.1], false)]
    fn an_answer_is_the_nearest_or_stands_out(
        #[case] answer: &str,
        #[case] found: [f32; 3],
        #[case] expected: bool,
    ) {
        let similarities = ["a", "b", "c"].iter().map(|name| (*name).to_owned()).zip(found).collect();
        assert_eq!(bears_out(&similarities, answer), expected);
    }
}
