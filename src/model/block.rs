//! One layer: attention and feed-forward, each behind a norm and added to the residual stream.

use candle_core::{Device, Tensor};

use super::{AttentionWindow, Batch, Gguf, ModelConfig, ModelError, kv::LayerCache};
use crate::ops::{self, Activation, AttentionSpec, Linear, RmsNorm, RopeRows};

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Block {
    attention: Attention,
    feed_forward: FeedForward,
}

#[derive(Debug)]
struct Attention {
    norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
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
    gate: Linear,
    up: Linear,
    down: Linear,
    post_norm: Option<RmsNorm>,
    activation: Activation,
}

/// Reads a layer's tensors by their GGUF names.
struct Loader<'a> {
    gguf: &'a mut Gguf,
    config: &'a ModelConfig,
    layer: usize,
    device: &'a Device,
}

impl Loader<'_> {
    fn name(&self, tensor: &str) -> String {
        format!("blk.{}.{tensor}", self.layer)
    }

    fn linear(&mut self, tensor: &str, n_out: usize, n_in: usize) -> Result<Linear, ModelError> {
        self.linear_with(tensor, n_out, n_in, false)
    }

    fn linear_with(
        &mut self,
        tensor: &str,
        n_out: usize,
        n_in: usize,
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let weight = self.gguf.weight(&self.name(&format!("{tensor}.weight")), [n_out, n_in], self.device)?;
        let bias = match bias {
            true => Some(self.gguf.plain(&self.name(&format!("{tensor}.bias")), &[n_out], self.device)?),
            false => None,
        };
        Ok(Linear::new(weight, bias))
    }

    fn norm(&mut self, tensor: &str, dim: usize) -> Result<RmsNorm, ModelError> {
        let weight = self.gguf.plain(&self.name(&format!("{tensor}.weight")), &[dim], self.device)?;
        Ok(RmsNorm::new(weight, self.config.norm_epsilon))
    }

    fn norm_if(&mut self, wanted: bool, tensor: &str, dim: usize) -> Result<Option<RmsNorm>, ModelError> {
        wanted.then(|| self.norm(tensor, dim)).transpose()
    }
}

impl Block {
    pub(super) fn load(
        gguf: &mut Gguf,
        config: &ModelConfig,
        layer: usize,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let mut loader = Loader { gguf, config, layer, device };
        Ok(Self { attention: Attention::load(&mut loader)?, feed_forward: FeedForward::load(&mut loader)? })
    }

    /// `x [n_tokens, hidden] → ` the same; writes the batch's keys and values to `cache`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        batch: &Batch,
        rope: &RopeRows,
        cache: &mut LayerCache,
    ) -> candle_core::Result<Tensor> {
        let x = (self.attention.forward(x, batch, rope, cache)? + x)?;
        self.feed_forward.forward(&x)? + x
    }
}

impl Attention {
    fn load(loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let config = loader.config;
        let ModelConfig { hidden, n_heads, n_kv_heads, head_dim, qkv_bias, qk_norm, .. } = *config;
        let (n_query, n_kv) = (n_heads * head_dim, n_kv_heads * head_dim);
        let window = match config.layers[loader.layer] {
            AttentionWindow::Full => None,
            AttentionWindow::Sliding(window) => Some(window),
        };
        Ok(Self {
            norm: loader.norm("attn_norm", hidden)?,
            query: loader.linear_with("attn_q", n_query, hidden, qkv_bias)?,
            key: loader.linear_with("attn_k", n_kv, hidden, qkv_bias)?,
            value: loader.linear_with("attn_v", n_kv, hidden, qkv_bias)?,
            query_norm: loader.norm_if(qk_norm, "attn_q_norm", head_dim)?,
            key_norm: loader.norm_if(qk_norm, "attn_k_norm", head_dim)?,
            output: loader.linear("attn_output", hidden, n_query)?,
            post_norm: loader.norm_if(config.post_norms, "post_attention_norm", hidden)?,
            spec: AttentionSpec { scale: config.attention_scale, window },
            n_heads,
            n_kv_heads,
            head_dim,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        batch: &Batch,
        rope: &RopeRows,
        cache: &mut LayerCache,
    ) -> candle_core::Result<Tensor> {
        let n_tokens = x.dim(0)?;
        let x = self.norm.forward(x)?;
        let heads = |linear: &Linear, n| linear.forward(&x)?.reshape((n_tokens, n, self.head_dim));
        let query = rope.rotate(&normed(self.query_norm.as_ref(), heads(&self.query, self.n_heads)?)?)?;
        let key = rope.rotate(&normed(self.key_norm.as_ref(), heads(&self.key, self.n_kv_heads)?)?)?;
        let value = heads(&self.value, self.n_kv_heads)?;
        cache.write(batch, &key, &value)?;
        let mixed = ops::paged_attention(&query, &cache.keys, &cache.values, batch.spans(), self.spec)?;
        let mixed = mixed.reshape((n_tokens, self.n_heads * self.head_dim))?;
        normed(self.post_norm.as_ref(), self.output.forward(&mixed)?)
    }
}

impl FeedForward {
    fn load(loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let ModelConfig { hidden, ffn_hidden, post_norms, activation, .. } = *loader.config;
        Ok(Self {
            norm: loader.norm("ffn_norm", hidden)?,
            gate: loader.linear("ffn_gate", ffn_hidden, hidden)?,
            up: loader.linear("ffn_up", ffn_hidden, hidden)?,
            down: loader.linear("ffn_down", hidden, ffn_hidden)?,
            post_norm: loader.norm_if(post_norms, "post_ffw_norm", hidden)?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.norm.forward(x)?;
        let inner = self.activation.gated(&self.gate.forward(&x)?, &self.up.forward(&x)?)?;
        normed(self.post_norm.as_ref(), self.down.forward(&inner)?)
    }
}

/// The norm's output where there is a norm, else `x` as it is.
fn normed(norm: Option<&RmsNorm>, x: Tensor) -> candle_core::Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}
