//! Chooses the next token from a row of logits.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Sampling;
use crate::model::TokenId;

/// One sequence's sampler: its settings and its own random numbers, so that what it draws depends
/// on its seed and its logits alone.
#[derive(Debug, Clone)]
pub struct Sampler {
    settings: Sampling,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the start of its random numbers.
    pub fn new(settings: Sampling) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(settings.seed);
        Self { settings, rng }
    }

    /// The next token for `logits [n_vocab]`. Ties go to the lower id.
    pub fn sample(&mut self, logits: &[f32]) -> TokenId {
        if self.settings.temperature <= 0.0 {
            return TokenId(argmax(logits) as u32);
        }
        let candidates = self.candidates(logits);
        let total: f32 = candidates.iter().map(|c| c.weight).sum();
        let mut left = self.rng.random::<f32>() * total;
        let chosen = candidates.iter().find(|candidate| {
            left -= candidate.weight;
            left < 0.0
        });
        // Rounding can leave a crumb behind the last candidate.
        chosen.or(candidates.last()).map_or(TokenId(0), |c| TokenId(c.id))
    }

    /// What may be drawn: temperature first, then top-k, then top-p (the order of `transformers`).
    fn candidates(&self, logits: &[f32]) -> Vec<Candidate> {
        let max = logits[argmax(logits)];
        let weight = |logit: f32| ((logit - max) / self.settings.temperature).exp();
        let mut candidates: Vec<Candidate> = logits
            .iter()
            .enumerate()
            .map(|(id, logit)| Candidate { id: id as u32, weight: weight(*logit) })
            .collect();
        let by_weight = |a: &Candidate, b: &Candidate| b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id));
        let top_k = self.settings.top_k;
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k - 1, by_weight);
            candidates.truncate(top_k);
        }
        if self.settings.top_p < 1.0 {
            candidates.sort_unstable_by(by_weight);
            let total: f32 = candidates.iter().map(|c| c.weight).sum();
            let mut reached = 0.0;
            let enough = candidates.iter().position(|c| {
                reached += c.weight;
                reached >= self.settings.top_p * total
            });
            candidates.truncate(enough.map_or(candidates.len(), |last| last + 1));
        }
        candidates
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    weight: f32,
}

/// Index of the largest value, the first of equals; 0 for an empty row. NaN is never the largest.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] || values[best].is_nan() {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sampling(temperature: f32, top_p: f32, top_k: usize, seed: u64) -> Sampling {
        Sampling { temperature, top_p, top_k, seed, ..Sampling::default() }
    }

    fn draws(settings: &Sampling, logits: &[f32], n: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(settings.clone());
        (0..n).map(|_| sampler.sample(logits).0).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(draws(&sampling(0.0, 1.0, 0, 7), &[1.0, 3.0, 3.0, -1.0], 3), [1, 1, 1]);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0, 1.0, 2.0];
        let drawn = draws(&sampling(0.5, 1.0, 0, 1), &logits, 20_000);
        let weights: Vec<f64> = logits.iter().map(|l| (f64::from(*l) / 0.5).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (id, weight) in weights.iter().enumerate() {
            let share = drawn.iter().filter(|d| **d as usize == id).count() as f64 / drawn.len() as f64;
            assert!((share - weight / total).abs() < 0.01, "token {id}: {share} is not {}", weight / total);
        }
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() {
        // Probabilities 0.5, 0.25, 0.125, 0.125.
        let logits = [8f32, 4.0, 2.0, 2.0].map(f32::ln);
        let mut seen = draws(&sampling(1.0, 0.7, 0, 3), &logits, 500);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [0, 1]);
    }

    proptest! {
        #[test]
        fn only_the_top_k_are_drawn(
            logits in proptest::collection::vec(-5f32..5.0, 2..40), k in 1usize..10, seed: u64, top_p in 0.1f32..1.0,
        ) {
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
            let allowed = &order[..k.min(order.len())];
            for id in draws(&sampling(1.5, top_p, k, seed), &logits, 30) {
                prop_assert!(allowed.contains(&(id as usize)));
            }
        }

        #[test]
        fn the_same_seed_draws_the_same(logits in proptest::collection::vec(-5f32..5.0, 2..40), seed: u64) {
            let settings = sampling(0.8, 0.9, 5, seed);
            prop_assert_eq!(draws(&settings, &logits, 20), draws(&settings, &logits, 20));
        }
    }
}
