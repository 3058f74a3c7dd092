//! Softmax and the index of the largest value.

/// The probabilities of `logits` divided by `temperature`; they sum to 1.
pub(super) fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut probabilities: Vec<f32> =
        logits.iter().map(|logit| ((logit - max) / temperature).exp()).collect();
    let sum: f32 = probabilities.iter().sum();
    for p in &mut probabilities {
        *p /= sum;
    }
    probabilities
}

/// The index of the largest of `values`, the first of equals; 0 for none.
pub(super) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}
