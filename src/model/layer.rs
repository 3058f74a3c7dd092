//! One layer: attention and feed-forward, each behind a norm and added to the residual stream.

use candle_core::{Device, Tensor};

use super::{AttentionWindow, Batch, Gguf, ModelConfig, ModelError};
use crate::ops::{AttentionSpec, Input, Linear, PagedKv, RmsNorm, RopeRows, Weight};

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

#[derive(Debug)]
struct Attention {
    norm: RmsNorm,
    /// The projections to queries, keys and values, side by side.
    qkv: Linear,
    query_norm: Option<RmsNorm>,
    key_norm: Option<RmsNorm>,
    output: Linear,
    post_norm: Option<RmsNorm>,
    spec: AttentionSpec,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
}

#[derive(Debug)]
struct FeedForward {
    norm: RmsNorm,
    /// The gate and up projections, gated.
    gate_up: Linear,
    down: Linear,
    post_norm: Option<RmsNorm>,
}

/// Reads a layer's tensors by their GGUF names.
struct Loader<'a> {
    gguf: &'a Gguf,
    config: &'a ModelConfig,
    layer: usize,
    device: &'a Device,
}

impl Loader<'_> {
    fn name(&self, tensor: &str) -> String {
        format!("blk.{}.{tensor}", self.layer)
    }

    fn weight(&self, tensor: &str, n_out: usize, n_in: usize) -> Result<Weight, ModelError> {
        self.gguf.weight(&self.name(&format!("{tensor}.weight")), [n_out, n_in], self.device)
    }

    fn bias(&self, tensor: &str, n_out: usize) -> Result<Tensor, ModelError> {
        self.gguf.plain(&self.name(&format!("{tensor}.bias")), &[n_out], self.device)
    }

    /// One linear layer of several tensors, side by side; `n_outs` gives their names and output sizes.
    fn linear(&self, n_outs: &[(&str, usize)], n_in: usize, biased: bool) -> Result<Linear, ModelError> {
        let mut parts = Vec::new();
        for (tensor, n_out) in n_outs {
            let weight = self.weight(tensor, *n_out, n_in)?;
            parts.push((weight, biased.then(|| self.bias(tensor, *n_out)).transpose()?));
        }
        Ok(Linear::side_by_side(parts)?)
    }

    fn norm(&self, tensor: &str, dim: usize) -> Result<RmsNorm, ModelError> {
        let weight = self.gguf.plain(&self.name(&format!("{tensor}.weight")), &[dim], self.device)?;
        Ok(RmsNorm::new(weight, self.config.norm_epsilon))
    }

    fn norm_if(&self, wanted: bool, tensor: &str, dim: usize) -> Result<Option<RmsNorm>, ModelError> {
        wanted.then(|| self.norm(tensor, dim)).transpose()
    }
}

impl Layer {
    pub(super) fn load(
        gguf: &Gguf,
        config: &ModelConfig,
        layer: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let loader = Loader { gguf, config, layer, device };
        Ok(Self { attention: Attention::load(&loader)?, feed_forward: FeedForward::load(&loader)? })
    }

    /// Adds attention to `x [n_tokens, hidden]`; writes the batch's keys and values to `cache`.
    pub(super) fn attend(
        &self,
        x: &Tensor,
        batch: &Batch,
        rope: &RopeRows,
        cache: &mut PagedKv,
    ) -> candle_core::Result<Tensor> {
        self.attention.forward(x, batch, rope, cache)
    }

    /// Adds the feed-forward to `x [n_rows, hidden]`, each row by itself.
    pub(super) fn feed_forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.feed_forward.forward(x)
    }
}

impl Attention {
    fn load(loader: &Loader<'_>) -> Result<Self, ModelError> {
        let config = loader.config;
        let ModelConfig { hidden, n_heads, n_kv_heads, head_dim, qkv_bias, qk_norm, .. } = *config;
        let (n_query, n_kv) = (n_heads * head_dim, n_kv_heads * head_dim);
        let window = match config.layers[loader.layer] {
            AttentionWindow::Full => None,
            AttentionWindow::Sliding(window) => Some(window),
        };
        Ok(Self {
            norm: loader.norm("attn_norm", hidden)?,
            qkv: loader.linear(
                &[("attn_q", n_query), ("attn_k", n_kv), ("attn_v", n_kv)],
                hidden,
                qkv_bias,
            )?,
            query_norm: loader.norm_if(qk_norm, "attn_q_norm", head_dim)?,
            key_norm: loader.norm_if(qk_norm, "attn_k_norm", head_dim)?,
            output: loader.linear(&[("attn_output", hidden)], n_query, false)?,
            post_norm: loader.norm_if(config.post_norms, "post_attention_norm", hidden)?,
            spec: AttentionSpec { scale: config.attention_scale, window },
            n_heads,
            n_kv_heads,
            head_dim,
        })
    }

    /// `x [n_tokens, hidden]` with the attention output added.
    fn forward(
        &self,
        x: &Tensor,
        batch: &Batch,
        rope: &RopeRows,
        cache: &mut PagedKv,
    ) -> candle_core::Result<Tensor> {
        let (n_query, n_kv) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let qkv = self.qkv.forward(Input::Normed(&self.norm, x), None)?;
        let query = self.normed_heads(self.query_norm.as_ref(), qkv.narrow(1, 0, n_query)?)?;
        let key = self.normed_heads(self.key_norm.as_ref(), qkv.narrow(1, n_query, n_kv)?)?;
        let value = qkv.narrow(1, n_query + n_kv, n_kv)?;
        let query = rope.rotate(&query, self.n_heads)?;
        let key = rope.rotate(&key, self.n_kv_heads)?;
        cache.write(&key.flatten_from(1)?, &value, batch.slots())?;
        let mixed = cache.attend(&query, batch.spans(), self.spec)?.flatten_from(1)?;
        add_residual(x, &self.output, Input::Plain(&mixed), self.post_norm.as_ref())
    }

    /// Normalises every head of `x [n_tokens, n_heads · head_dim]`, if there is a norm.
    fn normed_heads(&self, norm: Option<&RmsNorm>, x: Tensor) -> candle_core::Result<Tensor> {
        let Some(norm) = norm else { return Ok(x) };
        let (n_tokens, width) = x.dims2()?;
        let heads = x.reshape((n_tokens, width / self.head_dim, self.head_dim))?;
        norm.forward(&heads)?.reshape((n_tokens, width))
    }
}

impl FeedForward {
    fn load(loader: &Loader<'_>) -> Result<Self, ModelError> {
        let ModelConfig { hidden, ffn_hidden, post_norms, gate, .. } = *loader.config;
        Ok(Self {
            norm: loader.norm("ffn_norm", hidden)?,
            gate_up: Linear::gated(
                gate,
                [
                    loader.weight("ffn_gate", ffn_hidden, hidden)?,
                    loader.weight("ffn_up", ffn_hidden, hidden)?,
                ],
            ),
            down: loader.linear(&[("ffn_down", hidden)], ffn_hidden, false)?,
            post_norm: loader.norm_if(post_norms, "post_ffw_norm", hidden)?,
        })
    }

    /// `x [n_tokens, hidden]` with the feed-forward output added.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let inner = self.gate_up.forward(Input::Normed(&self.norm, x), None)?;
        add_residual(x, &self.down, Input::Plain(&inner), self.post_norm.as_ref())
    }
}

/// The residual stream `x` plus the output of `linear`, which is normalised first if there is a norm.
fn add_residual(
    x: &Tensor,
    linear: &Linear,
    input: Input<'_>,
    norm: Option<&RmsNorm>,
) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&linear.forward(input, None)?)? + x,
        None => linear.forward(input, Some(x)),
    }
}
