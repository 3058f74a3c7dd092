//! What a layer does between its products, row by row.

use crate::{
    cpu::vectorised,
    pool,
    vector::{dot, exp},
};

/// Values that a task takes: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 16 << 10;

/// `out = x / √(mean(x²) + epsilon) · weight` for each row (Zhang and Sennrich 2019, "Root Mean Square
/// Layer Normalization"). `x` and `out` are `[n_rows, n]`, `weight` is `[n]`.
///
/// # Panics
/// When a slice's length does not fit.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let n = weight.len();
    assert!(n > 0 && x.len().is_multiple_of(n), "x must be whole rows of {n}, not {} values", x.len());
    assert_eq!(x.len(), out.len(), "out must have the shape of x");
    let chunk = (VALUES_PER_TASK / n).max(1) * n;
    pool::global().run_chunks(out, chunk, &|i, out| {
        norm_rows(&x[i * chunk..][..out.len()], weight, epsilon, out);
    });
}

/// `out = silu(gate)·up`, with `silu(x) = x / (1 + e⁻ˣ)`, element by element (Shazeer 2020, "GLU
/// Variants Improve Transformer").
///
/// # Panics
/// When the slices differ in length.
pub fn silu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up differ in length");
    assert_eq!(gate.len(), out.len(), "out must be as long as gate");
    pool::global().run_chunks(out, VALUES_PER_TASK, &|i, out| {
        let start = i * VALUES_PER_TASK;
        gate_values(&gate[start..][..out.len()], &up[start..][..out.len()], out);
    });
}

vectorised! {
    fn norm_rows(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = norm_rows_plain;
}

#[inline(always)]
fn norm_rows_plain(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let n = weight.len();
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let scale = 1.0 / (dot(x, x) / n as f32 + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

vectorised! {
    fn gate_values(gate: &[f32], up: &[f32], out: &mut [f32]) = gate_values_plain;
}

#[inline(always)]
fn gate_values_plain(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn rms_norm_agrees_with_the_definition_and_with_itself_row_by_row(
            (x, weight) in (1usize..200, 0usize..6).prop_flat_map(|(n, rows)| (
                proptest::collection::vec(-3f32..3.0, n * rows),
                proptest::collection::vec(-2f32..2.0, n),
            )),
        ) {
            let n = weight.len();
            let mut out = vec![f32::NAN; x.len()];
            rms_norm(&x, &weight, 1e-5, &mut out);
            for (x, out) in x.chunks_exact(n).zip(out.chunks_exact(n)) {
                let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n as f64;
                for ((x, weight), out) in x.iter().zip(&weight).zip(out) {
                    let want = f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*weight);
                    prop_assert!((f64::from(*out) - want).abs() <= 1e-5 * (1.0 + want.abs()));
                }
                let mut alone = vec![f32::NAN; n];
                rms_norm(x, &weight, 1e-5, &mut alone);
                prop_assert_eq!(bits(&alone), bits(out));
            }
        }

        #[test]
        fn silu_gate_agrees_with_the_definition(pairs in proptest::collection::vec((-100f32..100.0, -3f32..3.0), 0..300)) {
            let (gate, up): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let mut out = vec![f32::NAN; gate.len()];
            silu_gate(&gate, &up, &mut out);
            for ((gate, up), out) in gate.iter().zip(&up).zip(&out) {
                let exact = f64::from(*gate);
                let want = exact / (1.0 + (-exact).exp()) * f64::from(*up);
                prop_assert!((f64::from(*out) - want).abs() <= 1e-6 * want.abs() + 1e-30);
                let mut alone = [f32::NAN];
                silu_gate(&[*gate], &[*up], &mut alone);
                prop_assert_eq!(alone[0].to_bits(), out.to_bits());
            }
        }
    }

    #[test]
    fn many_rows_are_cut_into_tasks_without_gaps() {
        let n = 576;
        let x: Vec<f32> = (0..100 * n).map(|i| (i * 7919 % 1001) as f32 / 500.0 - 1.0).collect();
        let (mut out, mut gated) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
        rms_norm(&x, &vec![1.0; n], 0.0, &mut out);
        for row in out.chunks_exact(n) {
            let mean = row.iter().map(|x| x * x).sum::<f32>() / n as f32;
            assert!((mean - 1.0).abs() < 1e-4);
        }
        silu_gate(&x, &x, &mut gated);
        assert!(gated.iter().all(|y| (0.0..1.0).contains(y)));
    }
}
