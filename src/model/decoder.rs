//! The transformer: embedding, layers, final norm, output projection.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{
    AttentionWindow, Batch, BlockCopy, Forward, Gguf, KvCache, KvCacheSpec, Logits, ModelConfig, ModelError,
    layer::Layer,
};
use crate::ops::{Embedding, Input, Linear, RmsNorm, Rope};

/// The weights of a model, in its device's memory.
#[derive(Debug)]
pub struct Decoder {
    config: ModelConfig,
    device: Device,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    output: Linear,
    rope: Rope,
    sliding_rope: Option<Rope>,
}

impl Decoder {
    /// Loads a model for contexts of at most `context_length` tokens.
    ///
    /// # Errors
    /// When the architecture is not supported, or a tensor is missing, misshapen or unreadable.
    pub fn load(gguf: &Gguf, context_length: usize, device: &Device) -> Result<Self, ModelError> {
        let config = ModelConfig::read(gguf)?;
        let shape = [config.n_vocab, config.hidden];
        let table = gguf.weight("token_embd.weight", shape, device)?;
        // A file without an output projection ties it to the embeddings.
        let output = match gguf.has_tensor("output.weight") {
            true => gguf.weight("output.weight", shape, device)?,
            false => table.clone(),
        };
        let norm = gguf.plain("output_norm.weight", &[config.hidden], device)?;
        let layers = (0..config.layers.len()).map(|index| Layer::load(gguf, &config, index, device));
        let n_positions = context_length.min(config.context_length);
        let sliding = config.sliding_rope.as_ref();
        Ok(Self {
            embedding: Embedding::new(table, config.embedding_scale),
            layers: layers.collect::<Result<_, _>>()?,
            norm: RmsNorm::new(norm, config.norm_epsilon),
            output: Linear::new(output, None)?,
            rope: Rope::new(&config.rope, n_positions, device)?,
            sliding_rope: sliding.map(|spec| Rope::new(spec, n_positions, device)).transpose()?,
            device: device.clone(),
            config,
        })
    }

    /// The model's sizes and architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// An empty cache of this model's shape.
    ///
    /// # Errors
    /// When the device has no room for it.
    pub fn new_cache(&self, spec: KvCacheSpec, dtype: DType) -> Result<KvCache, ModelError> {
        Ok(KvCache::new(&self.config, spec, dtype, &self.device)?)
    }

    /// Runs a batch and writes the logits of the sampled rows to `logits`.
    ///
    /// # Errors
    /// When the device fails, or the batch names slots or positions that do not exist.
    pub fn forward(
        &self,
        batch: &Batch,
        cache: &mut KvCache,
        logits: &mut Logits,
    ) -> candle_core::Result<()> {
        let out = logits.renew(self.config.n_vocab);
        match self.hidden(batch, cache)? {
            Some(rows) => self.output.forward_into(Input::Normed(&self.norm, &rows), out),
            None => Ok(()),
        }
    }

    /// The residual stream of the sampled rows after the last layer, `[n_sampled, hidden]`; `None` if no row
    /// is sampled.
    fn hidden(&self, batch: &Batch, cache: &mut KvCache) -> candle_core::Result<Option<Tensor>> {
        let positions = Tensor::new(batch.positions(), &self.device)?;
        let rope = self.rope.at(&positions)?;
        let sliding_rope = self.sliding_rope.as_ref().map(|rope| rope.at(&positions)).transpose()?;
        let mut x = self.embedding.forward(&Tensor::new(batch.tokens(), &self.device)?)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let rope = match (self.config.layers[index], &sliding_rope) {
                (AttentionWindow::Sliding(_), Some(sliding)) => sliding,
                _ => &rope,
            };
            x = layer.attend(&x, batch, rope, cache.layer(index))?;
            if index + 1 == self.layers.len() {
                // After the last attention only the sampled rows are needed.
                if batch.sampled().is_empty() {
                    return Ok(None);
                }
                x = x.index_select(&Tensor::new(batch.sampled(), &self.device)?, 0)?;
            }
            x = layer.feed_forward(&x)?;
        }
        Ok(Some(x))
    }
}

/// A decoder with its own KV cache. Several can share the decoder's weights.
#[derive(Debug)]
pub struct CausalLm {
    decoder: Arc<Decoder>,
    cache: KvCache,
}

impl CausalLm {
    /// Joins a decoder and a cache made by [`Decoder::new_cache`].
    pub fn new(decoder: impl Into<Arc<Decoder>>, cache: KvCache) -> Self {
        Self { decoder: decoder.into(), cache }
    }
}

impl Forward for CausalLm {
    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), ModelError> {
        Ok(copies.iter().try_for_each(|copy| self.cache.copy(*copy))?)
    }

    fn forward(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), ModelError> {
        Ok(self.decoder.forward(batch, &mut self.cache, logits)?)
    }

    fn cache_spec(&self) -> KvCacheSpec {
        self.cache.spec()
    }
}
