//! What choosing a token takes: passes over a row of logits, as long as the vocabulary.
//!
//! They run on one thread: a row is a few ten microseconds' work.

use crate::{cpu::vectorised, vector::exp};

/// Values that are looked through at once.
const CHUNK: usize = 1024;
/// Independent maxima or sums: enough to fill the widest vector registers several times.
const LANES: usize = 64;

/// Where the largest value stands, the first of equals. NaN is never the largest; `None` where there
/// is nothing else.
pub fn argmax(values: &[f32]) -> Option<usize> {
    let mut largest = f32::NEG_INFINITY;
    largest_of(values, &mut largest);
    let chunk = values.chunks(CHUNK).position(|chunk| {
        // Without an early exit, so that it vectorises.
        chunk.iter().fold(false, |found, value| found | (*value == largest))
    })?;
    let within = values[chunk * CHUNK..].iter().position(|value| *value == largest)?;
    Some(chunk * CHUNK + within)
}

/// Where the `k` largest values stand, the largest first, of equals the first. Fewer where fewer are
/// above −∞; NaN is never among them.
pub fn top_k(values: &[f32], k: usize) -> Vec<u32> {
    let k = k.min(values.len());
    if k == 0 {
        return Vec::new();
    }
    let mut found: Vec<u32> = Vec::with_capacity(2 * k + CHUNK);
    // What comes later must be larger, as of equals the first counts.
    let mut least = f32::NEG_INFINITY;
    for (chunk, first) in values.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
        let mut any = false;
        any_above(chunk, least, &mut any);
        if !any {
            continue;
        }
        found.extend(chunk.iter().zip(first..).filter(|(value, _)| **value > least).map(|(_, at)| at));
        if found.len() >= 2 * k {
            keep_largest(values, k, &mut found);
            least = found.last().map_or(least, |at| values[*at as usize]);
        }
    }
    keep_largest(values, k, &mut found);
    found
}

/// Keeps the `k` of `found` that have the largest values, sorted.
fn keep_largest(values: &[f32], k: usize, found: &mut Vec<u32>) {
    // Zero is added so that the two zeros are equal, as they are to `>`.
    let value = |at: u32| values[at as usize] + 0.0;
    let by_value = |a: &u32, b: &u32| value(*b).total_cmp(&value(*a)).then(a.cmp(b));
    if (1..found.len()).contains(&k) {
        found.select_nth_unstable_by(k - 1, by_value);
    }
    found.truncate(k);
    found.sort_unstable_by(by_value);
}

vectorised! {
    fn any_above(values: &[f32], least: f32, any: &mut bool) = any_above_plain;
}

#[inline(always)]
fn any_above_plain(values: &[f32], least: f32, any: &mut bool) {
    // Without an early exit, so that it vectorises.
    *any = values.iter().fold(false, |any, value| any | (*value > least));
}

/// `ln Σ e^value`, shifted by the largest so that nothing overflows; −∞ for no values.
pub fn log_sum_exp(values: &[f32]) -> f64 {
    let Some(largest) = argmax(values).map(|at| values[at]) else { return f64::NEG_INFINITY };
    let mut sum = 0f64;
    sum_of_exp(values, largest, &mut sum);
    f64::from(largest) + sum.ln()
}

vectorised! {
    /// `out = e^((value − shift)·factor)` for each value; results below 10⁻³⁷ come out as that.
    pub fn exp_scaled(values: &[f32], shift: f32, factor: f32, out: &mut [f32]) = exp_scaled_plain;
}

#[inline(always)]
fn exp_scaled_plain(values: &[f32], shift: f32, factor: f32, out: &mut [f32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = exp((value - shift) * factor);
    }
}

vectorised! {
    fn largest_of(values: &[f32], largest: &mut f32) = largest_of_plain;
}

#[inline(always)]
fn largest_of_plain(values: &[f32], largest: &mut f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    // `max` prefers what is not NaN.
    *largest = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
}

vectorised! {
    fn sum_of_exp(values: &[f32], shift: f32, sum: &mut f64) = sum_of_exp_plain;
}

#[inline(always)]
fn sum_of_exp_plain(values: &[f32], shift: f32, sum: &mut f64) {
    *sum = 0.0;
    // Chunk by chunk in double precision: a lane alone would lose the small ones.
    for chunk in values.chunks(CHUNK) {
        let mut lanes = [0f32; LANES];
        let (whole, rest) = chunk.as_chunks::<LANES>();
        for values in whole {
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane += exp(value - shift);
            }
        }
        let rest: f32 = rest.iter().map(|value| exp(value - shift)).sum();
        *sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn argmax_is_the_first_of_the_largest(
            values in proptest::collection::vec(
                prop_oneof![20 => (-9i8..9).prop_map(f32::from), 1 => Just(f32::NAN), 1 => Just(f32::NEG_INFINITY)],
                0..3000,
            ),
        ) {
            let mut want: Option<usize> = None;
            for (i, value) in values.iter().enumerate() {
                if !value.is_nan() && want.is_none_or(|best| *value > values[best]) {
                    want = Some(i);
                }
            }
            prop_assert_eq!(argmax(&values), want);
        }

        #[test]
        fn top_k_are_the_first_of_a_sorted_list(
            values in proptest::collection::vec(
                prop_oneof![
                    20 => (-900i16..9).prop_map(f32::from),
                    1 => Just(f32::NAN),
                    1 => Just(f32::NEG_INFINITY),
                    1 => Just(-0.0),
                ],
                0..5000,
            ),
            k in prop_oneof![0usize..5, 0usize..3000],
        ) {
            let mut want: Vec<u32> = (0..values.len() as u32).collect();
            want.retain(|at| values[*at as usize] > f32::NEG_INFINITY);
            let order = |a: &u32, b: &u32| values[*b as usize].partial_cmp(&values[*a as usize]);
            want.sort_by(|a, b| order(a, b).unwrap_or(std::cmp::Ordering::Equal));
            want.truncate(k);
            prop_assert_eq!(top_k(&values, k), want);
        }

        #[test]
        fn log_sum_exp_agrees_with_the_definition(values in proptest::collection::vec(-30f32..30.0, 1..5000)) {
            let exact = values.iter().map(|value| f64::from(*value).exp()).sum::<f64>().ln();
            prop_assert!((log_sum_exp(&values) - exact).abs() <= 1e-6 * (1.0 + exact.abs()));
        }

        #[test]
        fn exp_scaled_agrees_with_the_definition(values in proptest::collection::vec(-30f32..0.0, 0..300), factor in 0.1f32..2.0) {
            let mut out = vec![f32::NAN; values.len()];
            exp_scaled(&values, 0.5, factor, &mut out);
            for (value, out) in values.iter().zip(out) {
                let exact = ((f64::from(*value) - 0.5) * f64::from(factor)).exp();
                prop_assert!((f64::from(out) - exact).abs() <= 1e-5 * exact);
            }
        }
    }

    #[test]
    fn what_has_no_probability_adds_none() {
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY, 3.0, f32::NEG_INFINITY]), 3.0);
        assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
        assert_eq!(argmax(&[f32::NAN]), None);
    }
}
