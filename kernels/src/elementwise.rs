//! What a layer does between its products.

use crate::{
    cpu::vectorised,
    pool,
    vector::{dot, exp},
};

/// The activation of a gated feed-forward layer (Shazeer 2020, "GLU Variants Improve Transformer").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `x·σ(x)`, with `σ(x) = 1 / (1 + e⁻ˣ)`.
    Silu,
    /// GELU in its tanh approximation (Hendrycks and Gimpel 2016):
    /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`, which is `x·σ` of twice what stands in the tanh.
    GeluTanh,
}

/// 2·√(2/π).
const GELU_SLOPE: f32 = 1.595_769;
/// The cubic term of the approximation.
const GELU_CUBIC: f32 = 0.044_715;

/// `out = x / √(mean(x²) + epsilon) · weight` (Zhang and Sennrich 2019, "Root Mean Square Layer
/// Normalization"). All are as long as `weight`.
#[inline(always)]
pub(crate) fn norm_row(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = 1.0 / (dot(x, x) / weight.len() as f32 + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// Values that a task of [`gate`] takes: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 16 << 10;

/// `gates = act(gates)·values`, element by element, on all threads.
///
/// # Panics
/// When the two differ in length.
pub fn gate(activation: Gate, gates: &mut [f32], values: &[f32]) {
    assert_eq!(gates.len(), values.len(), "a gate has as many values as what it gates");
    pool::global().run_chunks(gates, VALUES_PER_TASK, &|task, gates| {
        let first = task * VALUES_PER_TASK;
        gate_values(activation, gates, &values[first..first + gates.len()]);
    });
}

vectorised! {
    /// [`gate`] on this thread.
    pub(crate) fn gate_values(activation: Gate, gates: &mut [f32], values: &[f32]) = gate_plain;
}

#[inline(always)]
fn gate_plain(activation: Gate, gates: &mut [f32], values: &[f32]) {
    let pairs = gates.iter_mut().zip(values);
    match activation {
        Gate::Silu => pairs.for_each(|(x, value)| *x = *x / (1.0 + exp(-*x)) * value),
        Gate::GeluTanh => pairs.for_each(|(x, value)| {
            let twice = GELU_SLOPE * (*x * *x * *x).mul_add(GELU_CUBIC, *x);
            *x = *x / (1.0 + exp(-twice)) * value;
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn activated(activation: Gate, x: f64) -> f64 {
        match activation {
            Gate::Silu => x / (1.0 + (-x).exp()),
            Gate::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    proptest! {
        #[test]
        fn gates_agree_with_their_definitions_and_with_themselves_one_by_one(
            pairs in proptest::collection::vec((-60f32..60.0, -3f32..3.0), 0..300),
        ) {
            let (gates, values): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            for activation in [Gate::Silu, Gate::GeluTanh] {
                let mut out = gates.clone();
                gate(activation, &mut out, &values);
                for ((x, value), out) in gates.iter().zip(&values).zip(&out) {
                    let want = activated(activation, f64::from(*x)) * f64::from(*value);
                    prop_assert!((f64::from(*out) - want).abs() <= 2e-6 * want.abs() + 1e-6);
                    let mut alone = [*x];
                    gate(activation, &mut alone, &[*value]);
                    prop_assert_eq!(alone[0].to_bits(), out.to_bits());
                }
            }
        }
    }

    #[test]
    fn tasks_gate_their_own_values() {
        let values: Vec<f32> = (0..2 * VALUES_PER_TASK + 5).map(|i| (i % 97) as f32 - 48.0).collect();
        let mut want = values.clone();
        gate_values(Gate::Silu, &mut want, &values);
        let mut out = values.clone();
        gate(Gate::Silu, &mut out, &values);
        assert_eq!(out, want);
    }
}
