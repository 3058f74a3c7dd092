//! One word out of the playbook's, such as the reason of a cancellation.

use serde_json::Value;

use super::{
    super::{SupportError, verify::sentences},
    SlotReader,
};
use crate::{embed::EmbedError, playbook::SlotSpec};

/// The model's word, if the examples of the playbook that are nearest to the message speak for the
/// same one; else null.
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
    let nearest = tokio::task::spawn_blocking(move || nearest(embed.as_ref(), &spec, &message));
    let failed = |reason: String| SupportError::Stage { stage: "extract", reason };
    let nearest = nearest.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))?;
    Ok(if nearest.as_deref() == Some(&answer) { Value::from(answer) } else { Value::Null })
}

/// The value whose examples are nearest to a sentence of the message.
fn nearest(
    embed: &dyn crate::embed::Embed,
    spec: &SlotSpec,
    message: &str,
) -> Result<Option<String>, EmbedError> {
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
    let similarity = |example: &Vec<f32>| {
        let nearness = said.iter().map(|s| s.iter().zip(example).map(|(a, b)| a * b).sum::<f32>());
        nearness.fold(f32::MIN, f32::max)
    };
    let best = known.iter().map(similarity).zip(&examples).max_by(|a, b| a.0.total_cmp(&b.0));
    Ok(best.map(|(_, (name, _))| (*name).to_owned()))
}
