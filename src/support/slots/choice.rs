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

/// How much nearer to the message the examples of another word may be before they speak against the
/// model's.
const MARGIN: f32 = 0.1;

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
    let nearest = found.values().copied().fold(f32::MIN, f32::max);
    let is_near = found.get(&answer).is_some_and(|similarity| *similarity >= nearest - MARGIN);
    Ok(if is_near { Value::from(answer) } else { Value::Null })
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
