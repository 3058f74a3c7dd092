//! What a layer does between its products, on one row.

use crate::vector::{dot, exp};

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

/// `out = act(gate)·up`, element by element.
#[inline(always)]
pub(crate) fn gate_row(activation: Gate, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let rows = out.iter_mut().zip(gate).zip(up);
    match activation {
        Gate::Silu => rows.for_each(|((out, x), up)| *out = x / (1.0 + exp(-x)) * up),
        Gate::GeluTanh => rows.for_each(|((out, x), up)| {
            let twice = GELU_SLOPE * (x * x * x).mul_add(GELU_CUBIC, *x);
            *out = x / (1.0 + exp(-twice)) * up;
        }),
    }
}
