//! One layer of the encoder.

use tier0_kernels::{
    DenseProduct, DenseRows, DenseType, DenseWeight, LayerNorm, SelfAttention, layer_norm, self_attention,
};

use super::encoder::Buffers;

/// The element type of all matrices.
const WEIGHTS: DenseType = DenseType::Bf16;

/// `x·wᵀ + bias`.
pub(super) struct Linear {
    /// `[n_out, n_in]`.
    pub(super) weight: DenseWeight,
    /// `[n_out]`.
    pub(super) bias: Vec<f32>,
}

impl Linear {
    fn of<'a>(&'a self, x: &'a DenseRows) -> DenseProduct<'a> {
        DenseProduct { x, w: &self.weight, bias: Some(&self.bias) }
    }
}

/// A layer normalisation of `[n_tokens, hidden_size]`.
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) epsilon: f32,
}

impl Norm {
    pub(super) fn apply(&self, x: &mut [f32]) {
        layer_norm(x, &LayerNorm { weight: &self.weight, bias: &self.bias, epsilon: self.epsilon });
    }
}

/// Attention and a feed-forward network, each followed by a residual sum and a layer normalisation
/// (Devlin et al. 2018, "BERT").
pub(super) struct Layer {
    pub(super) n_heads: usize,
    /// Queries, keys and values, `[3 · hidden_size, hidden_size]`.
    pub(super) qkv: Linear,
    pub(super) attention_out: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) norm: Norm,
}

impl Layer {
    /// Runs the layer on `buffers.hidden`, `[n_tokens, hidden_size]`; `lengths` are the numbers of tokens of
    /// the sequences.
    pub(super) fn run(&self, lengths: &[usize], buffers: &mut Buffers) {
        let Buffers { hidden, qkv, context, rows, inner } = buffers;
        let size = self.qkv.weight.n_in();
        qkv.resize(3 * hidden.len(), 0.0);
        context.resize(hidden.len(), 0.0);

        rows.fill(hidden, size, WEIGHTS);
        self.qkv.of(rows).write(qkv);
        let head_dim = size / self.n_heads;
        self_attention(&SelfAttention { qkv, lengths, n_heads: self.n_heads, head_dim }, context);
        rows.fill(context, size, WEIGHTS);
        self.attention_out.of(rows).add_to(hidden);
        self.attention_norm.apply(hidden);

        rows.fill(hidden, size, WEIGHTS);
        self.up.of(rows).gelu_rows(inner, WEIGHTS);
        self.down.of(inner).add_to(hidden);
        self.norm.apply(hidden);
    }
}
