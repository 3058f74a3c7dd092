//! Chooses the next token from a row of logits.

use std::collections::HashMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use tier0_kernels::{argmax, exp_scaled, log_sum_exp, top_k};

use super::request::Sampling;
use crate::model::TokenId;

/// Number of candidates that top-p sorts first; few texts need more.
const FIRST_CANDIDATES: usize = 64;

/// Smallest weight of a candidate, where the likeliest token has 1. Even a whole vocabulary of smaller
/// ones would practically never be drawn.
const LEAST_WEIGHT: f32 = 1e-20;

/// One sequence's sampler: its settings, the tokens seen, and its own random numbers, so that the next
/// token depends on these and its logits alone.
#[derive(Debug, Clone)]
pub struct Sampler {
    settings: Sampling,
    rng: ChaCha8Rng,
    seen: HashMap<TokenId, Seen>,
    adjusted: Vec<f32>,
    weights: Vec<f32>,
}

/// Sets the logits of forbidden tokens to −∞.
pub type Mask<'a> = dyn Fn(&mut [f32]) + 'a;

/// Occurrences of a token that is in the prompt or in the text.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    n_in_text: u32,
}

/// A token's log-probability, and the likeliest tokens in its place with theirs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TokenLikelihood {
    pub(super) logprob: f32,
    pub(super) top: Vec<(TokenId, f32)>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    weight: f32,
}

impl Sampler {
    /// A sampler for a sequence with this prompt.
    pub fn new(settings: Sampling, prompt: &[TokenId]) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let prompt = if settings.repetition_penalty == 1.0 { &[] } else { prompt };
        let seen = prompt.iter().map(|token| (*token, Seen::default())).collect();
        Self { settings, rng, seen, adjusted: Vec::new(), weights: Vec::new() }
    }

    /// Samples the next token from `logits [n_vocab]` and counts it as part of the text. Ties go to the
    /// lower id.
    pub fn sample(&mut self, logits: &[f32], mask: Option<&Mask<'_>>) -> TokenId {
        let token = if self.adjusts() || mask.is_some() {
            let mut adjusted = std::mem::take(&mut self.adjusted);
            adjusted.clear();
            adjusted.extend_from_slice(logits);
            self.adjust(&mut adjusted);
            if let Some(mask) = mask {
                mask(&mut adjusted);
            }
            let token = self.draw(&adjusted);
            self.adjusted = adjusted;
            token
        } else {
            self.draw(logits)
        };
        self.note(token);
        token
    }

    /// Counts a token as part of the text.
    pub fn note(&mut self, token: TokenId) {
        self.seen.entry(token).or_default().n_in_text += 1;
    }

    fn adjusts(&self) -> bool {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, logit_bias, .. } =
            &self.settings;
        *repetition_penalty != 1.0
            || *presence_penalty != 0.0
            || *frequency_penalty != 0.0
            || !logit_bias.is_empty()
    }

    fn adjust(&self, logits: &mut [f32]) {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, logit_bias, .. } =
            &self.settings;
        for (token, seen) in &self.seen {
            let Some(logit) = logits.get_mut(token.0 as usize) else { continue };
            *logit = if *logit > 0.0 { *logit / repetition_penalty } else { *logit * repetition_penalty };
            if seen.n_in_text > 0 {
                *logit -= presence_penalty + frequency_penalty * seen.n_in_text as f32;
            }
        }
        for (token, bias) in logit_bias {
            if let Some(logit) = logits.get_mut(token.0 as usize) {
                *logit += bias;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> TokenId {
        let best = argmax(logits).unwrap_or(0);
        if self.settings.temperature <= 0.0 {
            return TokenId(best as u32);
        }
        let candidates = self.candidates(logits, logits[best]);
        let total: f32 = candidates.iter().map(|c| c.weight).sum();
        let mut left = self.rng.random::<f32>() * total;
        let chosen = candidates.iter().find(|candidate| {
            left -= candidate.weight;
            left < 0.0
        });
        // Rounding can leave a remainder behind the last candidate.
        chosen.or(candidates.last()).map_or(TokenId(best as u32), |c| TokenId(c.id))
    }

    /// The candidates to draw from: temperature, then top-k, min-p and top-p.
    fn candidates(&mut self, logits: &[f32], max: f32) -> Vec<Candidate> {
        let Sampling { top_k: k, top_p, .. } = self.settings;
        let mut candidates = if (1..logits.len()).contains(&k) {
            let ids = top_k(logits, k);
            let logits: Vec<f32> = ids.iter().map(|id| logits[*id as usize]).collect();
            self.weigh(&logits, ids, max)
        } else {
            self.weigh(logits, 0.., max)
        };
        if top_p < 1.0 {
            keep_top_p(&mut candidates, top_p);
        }
        candidates
    }

    /// The tokens `ids` with the weights of their logits under the temperature, without those that min-p
    /// removes.
    fn weigh(&mut self, logits: &[f32], ids: impl IntoIterator<Item = u32>, max: f32) -> Vec<Candidate> {
        self.weights.resize(logits.len(), 0.0);
        exp_scaled(logits, max, 1.0 / self.settings.temperature, &mut self.weights);
        // The likeliest has weight 1, so that min-p compares directly.
        let least = self.settings.min_p.max(LEAST_WEIGHT);
        let weighed = self.weights.iter().zip(ids).map(|(weight, id)| Candidate { id, weight: *weight });
        weighed.filter(|candidate| candidate.weight >= least).collect()
    }
}

fn by_weight(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// Keeps the smallest set of candidates whose weight reaches the share `top_p` of all.
fn keep_top_p(candidates: &mut Vec<Candidate>, top_p: f32) {
    let wanted = top_p * candidates.iter().map(|c| c.weight).sum::<f32>();
    // Sorting a whole vocabulary takes milliseconds; nearly always its head is enough.
    let mut n_sorted = FIRST_CANDIDATES;
    loop {
        let n = n_sorted.min(candidates.len());
        if n < candidates.len() {
            candidates.select_nth_unstable_by(n, by_weight);
        }
        candidates[..n].sort_unstable_by(by_weight);
        let mut reached = 0.0;
        let last = candidates[..n].iter().position(|c| {
            reached += c.weight;
            reached >= wanted
        });
        match last {
            Some(last) => return candidates.truncate(last + 1),
            None if n == candidates.len() => return,
            None => n_sorted *= 4,
        }
    }
}

/// How likely `token` was under `logits`, and the `n_top` likeliest tokens in its place.
pub(super) fn likelihood(logits: &[f32], token: TokenId, n_top: usize) -> TokenLikelihood {
    let sum = log_sum_exp(logits);
    let logprob = |id: u32| (f64::from(logits[id as usize]) - sum) as f32;
    TokenLikelihood {
        logprob: logprob(token.0),
        top: top_k(logits, n_top).into_iter().map(|id| (TokenId(id), logprob(id))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn warm(temperature: f32, seed: u64) -> Sampling {
        Sampling { temperature, seed, ..Sampling::default() }
    }

    fn draws(settings: &Sampling, logits: &[f32], n: usize) -> Vec<u32> {
        // Each from the start of the text: what was drawn must not count.
        let mut sampler = Sampler::new(settings.clone(), &[]);
        (0..n)
            .map(|_| {
                sampler.seen.clear();
                sampler.sample(logits, None).0
            })
            .collect()
    }

    fn kinds(mut drawn: Vec<u32>) -> Vec<u32> {
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(draws(&warm(0.0, 7), &[1.0, 3.0, 3.0, -1.0], 3), [1, 1, 1]);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0, 1.0, 2.0];
        let drawn = draws(&warm(0.5, 1), &logits, 20_000);
        let weights: Vec<f64> = logits.iter().map(|l| (f64::from(*l) / 0.5).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (id, weight) in weights.iter().enumerate() {
            let share = drawn.iter().filter(|d| **d as usize == id).count() as f64 / drawn.len() as f64;
            assert!((share - weight / total).abs() < 0.01, "token {id}: {share} is not {}", weight / total);
        }
    }

    #[rstest]
    #[case(Sampling { top_p: 0.7, ..warm(1.0, 3) }, &[0, 1])]
    #[case(Sampling { min_p: 0.4, ..warm(1.0, 3) }, &[0, 1])]
    #[case(Sampling { min_p: 0.6, ..warm(1.0, 3) }, &[0])]
    #[case(Sampling { top_k: 1, ..warm(1.0, 3) }, &[0])]
    #[case(warm(1.0, 3), &[0, 1, 2, 3])]
    fn filters_keep_what_they_should(#[case] settings: Sampling, #[case] kept: &[u32]) {
        // Probabilities 0.5, 0.25, 0.125, 0.125.
        let logits = [8f32, 4.0, 2.0, 2.0].map(f32::ln);
        assert_eq!(kinds(draws(&settings, &logits, 500)), kept);
    }

    #[test]
    fn penalties_and_biases_move_the_choice() {
        let logits = [2.0, 1.9, -1.0];
        let next = |settings: Sampling, prompt: &[u32], text: &[u32]| {
            let prompt: Vec<TokenId> = prompt.iter().map(|id| TokenId(*id)).collect();
            let mut sampler = Sampler::new(settings, &prompt);
            text.iter().for_each(|id| sampler.note(TokenId(*id)));
            sampler.sample(&logits, None).0
        };
        let plain = Sampling::default;
        assert_eq!(next(plain(), &[0], &[0]), 0);
        assert_eq!(next(Sampling { repetition_penalty: 1.5, ..plain() }, &[0], &[]), 1);
        assert_eq!(
            next(Sampling { presence_penalty: 0.5, ..plain() }, &[0], &[]),
            0,
            "the prompt does not count"
        );
        assert_eq!(next(Sampling { presence_penalty: 0.5, ..plain() }, &[], &[0]), 1);
        assert_eq!(next(Sampling { frequency_penalty: 0.06, ..plain() }, &[], &[0]), 0);
        assert_eq!(next(Sampling { frequency_penalty: 0.06, ..plain() }, &[], &[0, 0]), 1);
        let biased = Sampling { logit_bias: [(TokenId(2), 50.0), (TokenId(99), 1.0)].into(), ..plain() };
        assert_eq!(next(biased, &[], &[]), 2);
    }

    #[test]
    fn a_masked_token_never_comes() {
        let mut sampler = Sampler::new(warm(5.0, 1), &[]);
        let mask = |logits: &mut [f32]| logits[0] = f32::NEG_INFINITY;
        assert!((0..200).all(|_| sampler.sample(&[9.0, 1.0, 1.0], Some(&mask)).0 != 0));
    }

    #[test]
    fn likelihoods_are_those_of_the_softmax() {
        let logits = [8f32, 4.0, 2.0, 2.0].map(f32::ln);
        let found = likelihood(&logits, TokenId(2), 2);
        assert!((found.logprob - 0.125f32.ln()).abs() < 1e-6);
        let top: Vec<u32> = found.top.iter().map(|(id, _)| id.0).collect();
        assert_eq!(top, [0, 1]);
        assert!((found.top[1].1 - 0.25f32.ln()).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn only_the_top_k_are_drawn(
            logits in proptest::collection::vec(-5f32..5.0, 2..40), k in 1usize..10, seed: u64, top_p in 0.1f32..1.0,
        ) {
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
            let allowed = &order[..k.min(order.len())];
            let settings = Sampling { top_k: k, top_p, ..warm(1.5, seed) };
            for id in draws(&settings, &logits, 30) {
                prop_assert!(allowed.contains(&(id as usize)));
            }
        }

        #[test]
        fn top_p_of_a_large_vocabulary_is_the_shortest_head(
            logits in proptest::collection::vec(-3f32..3.0, 1..1000), top_p in 0.05f32..0.999,
        ) {
            let mut sampler = Sampler::new(Sampling { top_p, ..warm(1.0, 0) }, &[]);
            let max = logits[argmax(&logits).unwrap()];
            let kept = sampler.candidates(&logits, max);
            let weight = |id: usize| f64::from((logits[id] - max).exp());
            let total: f64 = (0..logits.len()).map(weight).sum();
            let held: f64 = kept.iter().map(|c| weight(c.id as usize)).sum();
            let least = kept.iter().map(|c| weight(c.id as usize)).fold(f64::INFINITY, f64::min);
            prop_assert!(held / total > f64::from(top_p) - 1e-4);
            prop_assert!((held - least) / total < f64::from(top_p) + 1e-4);
        }

        #[test]
        fn the_same_seed_draws_the_same(logits in proptest::collection::vec(-5f32..5.0, 2..40), seed: u64) {
            let settings = Sampling { top_p: 0.9, top_k: 5, ..warm(0.8, seed) };
            prop_assert_eq!(draws(&settings, &logits, 20), draws(&settings, &logits, 20));
        }
    }
}
