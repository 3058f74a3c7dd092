//! The memory of one run of the encoder.

use tier0_kernels::DenseActivations;

/// The activations between the layers; their memory is reused from batch to batch.
#[derive(Default)]
pub(super) struct Buffers {
    /// `[n_tokens, hidden_size]`.
    pub(super) hidden: Vec<f32>,
    /// `[n_tokens, 3, hidden_size]`.
    pub(super) qkv: Vec<f32>,
    /// The attention output, `[n_tokens, hidden_size]`.
    pub(super) context: Vec<f32>,
    /// `[n_tokens, hidden_size]`, laid out for a product.
    pub(super) rows: DenseActivations,
    /// `[n_tokens, intermediate_size]`, laid out for a product.
    pub(super) inner: DenseActivations,
}

impl Buffers {
    /// The mean of each sequence's tokens after [`Encoder::run`], `[size]`, the hidden size.
    pub(super) fn pooled<'a>(
        &'a self,
        sequences: &'a [Vec<u32>],
        size: usize,
    ) -> impl Iterator<Item = Vec<f32>> + 'a {
        let mut rest = self.hidden.as_slice();
        sequences.iter().map(move |ids| {
            let (tokens, after) = rest.split_at(ids.len() * size);
            rest = after;
            mean(tokens, size)
        })
    }
}
