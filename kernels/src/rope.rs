//! Rotary position embedding (Su et al. 2021, "RoFormer").

use crate::{cpu::vectorised, pool};

/// Values that a task takes at least: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 16 << 10;

/// Which two components of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Neighbours: `(0, 1), (2, 3), …`
    Interleaved,
    /// Halves of what is rotated: `(0, d/2), (1, d/2 + 1), …`
    Neox,
}

/// The rotation of each token, shared by all its heads.
#[derive(Debug, Clone, Copy)]
pub struct RopeTable<'a> {
    /// Which components belong together.
    pub pairing: Pairing,
    /// Cosines, `[n_tokens, n_pairs]`.
    pub cos: &'a [f32],
    /// Sines, `[n_tokens, n_pairs]`.
    pub sin: &'a [f32],
    /// Pairs that are rotated; a head may be longer.
    pub n_pairs: usize,
}

/// Rotates the heads of `x` into `out`, `[n_tokens, n_heads, head_dim]`. The tokens of `x` lie `stride`
/// apart, those of `out` one behind the other.
///
/// # Panics
/// When a slice's length does not fit, or a head is shorter than what is rotated.
pub fn rope(
    x: &[f32],
    stride: usize,
    table: &RopeTable<'_>,
    [n_heads, head_dim]: [usize; 2],
    out: &mut [f32],
) {
    let row = n_heads * head_dim;
    assert!(row > 0 && out.len().is_multiple_of(row), "out must be whole tokens of {row}");
    let n_tokens = out.len() / row;
    assert!(n_tokens == 0 || x.len() >= (n_tokens - 1) * stride + row, "x is too short");
    assert!(2 * table.n_pairs <= head_dim, "heads of {head_dim} have no {} pairs", table.n_pairs);
    assert_eq!(table.cos.len(), n_tokens * table.n_pairs, "a cosine for each token and pair");
    assert_eq!(table.sin.len(), table.cos.len(), "a sine for each cosine");
    let tokens = (VALUES_PER_TASK / row).max(1);
    pool::global().run_chunks(out, tokens * row, &|i, out| {
        for (t, out) in out.chunks_exact_mut(row).enumerate() {
            let token = i * tokens + t;
            let angles = token * table.n_pairs..(token + 1) * table.n_pairs;
            let x = &x[token * stride..][..row];
            rotate(table.pairing, x, &table.cos[angles.clone()], &table.sin[angles], head_dim, out);
        }
    });
}

vectorised! {
    /// Rotates the heads of one token.
    fn rotate(pairing: Pairing, x: &[f32], cos: &[f32], sin: &[f32], head_dim: usize, out: &mut [f32]) = rotate_plain;
}

#[inline(always)]
fn rotate_plain(pairing: Pairing, x: &[f32], cos: &[f32], sin: &[f32], head_dim: usize, out: &mut [f32]) {
    let n = cos.len();
    for (x, out) in x.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim)) {
        match pairing {
            Pairing::Interleaved => {
                let pairs = x.chunks_exact(2).zip(out.chunks_exact_mut(2)).zip(cos.iter().zip(sin));
                for ((x, out), (cos, sin)) in pairs {
                    out[0] = x[0] * cos - x[1] * sin;
                    out[1] = x[0] * sin + x[1] * cos;
                }
            }
            Pairing::Neox => {
                let (out_a, out_b) = out[..2 * n].split_at_mut(n);
                let (a, b) = x[..2 * n].split_at(n);
                for i in 0..n {
                    out_a[i] = a[i] * cos[i] - b[i] * sin[i];
                    out_b[i] = a[i] * sin[i] + b[i] * cos[i];
                }
            }
        }
        out[2 * n..].copy_from_slice(&x[2 * n..]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step).sin()).collect()
    }

    proptest! {
        #[test]
        fn pairs_turn_by_their_angle_and_the_rest_stays(
            n_tokens in 0usize..5, n_heads in 1usize..4, n_pairs in 0usize..20, rest in 0usize..5, gap in 0usize..9, neox: bool,
        ) {
            let head_dim = 2 * n_pairs + rest;
            prop_assume!(head_dim > 0);
            let (row, stride) = (n_heads * head_dim, n_heads * head_dim + gap);
            let x = wave(n_tokens * stride, 0.37);
            let angles = wave(n_tokens * n_pairs, 1.3);
            let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
            let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
            let pairing = if neox { Pairing::Neox } else { Pairing::Interleaved };
            let table = RopeTable { pairing, cos: &cos, sin: &sin, n_pairs };
            let mut out = vec![f32::NAN; n_tokens * row];
            rope(&x, stride, &table, [n_heads, head_dim], &mut out);
            for (token, out) in out.chunks_exact(row).enumerate() {
                for (h, out) in out.chunks_exact(head_dim).enumerate() {
                    let x = &x[token * stride + h * head_dim..][..head_dim];
                    for pair in 0..n_pairs {
                        let (a, b) = if neox { (pair, pair + n_pairs) } else { (2 * pair, 2 * pair + 1) };
                        let angle = f64::from(angles[token * n_pairs + pair]);
                        let (xa, xb) = (f64::from(x[a]), f64::from(x[b]));
                        prop_assert!((f64::from(out[a]) - (xa * angle.cos() - xb * angle.sin())).abs() < 1e-5);
                        prop_assert!((f64::from(out[b]) - (xa * angle.sin() + xb * angle.cos())).abs() < 1e-5);
                    }
                    prop_assert_eq!(&out[2 * n_pairs..], &x[2 * n_pairs..]);
                }
            }
        }
    }

    #[test]
    fn many_tokens_are_cut_into_tasks_without_gaps() {
        let (n_tokens, head_dim) = (700, 64);
        let x = wave(n_tokens * head_dim, 0.1);
        let (cos, sin) = (vec![0.0; n_tokens * 32], vec![1.0; n_tokens * 32]);
        let table = RopeTable { pairing: Pairing::Neox, cos: &cos, sin: &sin, n_pairs: 32 };
        let mut out = vec![f32::NAN; x.len()];
        rope(&x, head_dim, &table, [1, head_dim], &mut out);
        for (x, out) in x.chunks_exact(head_dim).zip(out.chunks_exact(head_dim)) {
            let turned: Vec<f32> = x[32..].iter().map(|x| -x).chain(x[..32].iter().copied()).collect();
            assert!(out.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}
