//! Products with dense weights, bf16 or f16: what a model keeps that is not quantised.
//!
//! [`DenseWeight`] holds a matrix, sixteen rows interleaved; [`DenseRows`] the activations, laid out in
//! tiles; [`DenseProduct`] multiplies them. bf16 weights meet activations rounded to bf16, f16 weights
//! activations in f32; sums are f32 in both. `path` says which instructions this machine has for that,
//! `lanes` what each of them does with two inputs of a few weight rows, `kernel` loops over it, and
//! `scalar` is the oracle of all.
//!
//! A sum of bf16 products has one order: pair by pair of inputs, in a pair the second first, each
//! multiplication and addition rounded once. That is what `vdpbf16ps` does, so the other paths do it
//! too and give the same bits. The instruction also takes subnormal numbers as zero: weights and
//! activations have none therefore. Only where a sum itself falls below 2⁻¹²⁶ the paths may differ, by
//! less than that. A sum of f16 products goes input by input.

mod element;
mod finish;
mod kernel;
mod lanes;
mod path;
mod product;
mod rows;
mod scalar;
mod weight;

pub use element::DenseType;
pub use product::{DenseProduct, linear_dense};
pub use rows::DenseRows;
pub use weight::{DenseSizeError, DenseWeight};

/// Inputs that lie together: a cache line of bf16 activations. Rows are filled up to whole chunks with
/// zeros, which add nothing to a sum.
const CHUNK: usize = 32;
/// Bytes of two inputs of sixteen weight rows.
const PAIR_BYTES: usize = 64;

#[cfg(test)]
mod tests;
