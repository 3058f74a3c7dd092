//! The paged key-value cache: one pool of blocks a layer.

use candle_core::{DType, Device, Result, Tensor};

use super::{Batch, ModelConfig};
use crate::ops;

/// How large a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvCacheSpec {
    /// Blocks in the pool.
    pub n_blocks: usize,
    /// Tokens in a block.
    pub block_size: usize,
}

impl KvCacheSpec {
    /// A pool that holds `n_tokens`, in blocks of `block_size`.
    pub fn for_tokens(n_tokens: usize, block_size: usize) -> Self {
        Self { n_blocks: n_tokens.div_ceil(block_size), block_size }
    }
}

/// Keys and values of every layer: `[n_blocks, block_size, n_kv_heads, head_dim]` each.
#[derive(Debug)]
pub struct KvCache {
    spec: KvCacheSpec,
    layers: Vec<LayerCache>,
}

/// One layer's part of the cache.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

impl KvCache {
    /// An empty cache for a model.
    ///
    /// # Errors
    /// When the device has no room for it.
    pub fn new(config: &ModelConfig, spec: KvCacheSpec, dtype: DType, device: &Device) -> Result<Self> {
        let shape = (spec.n_blocks, spec.block_size, config.n_kv_heads, config.head_dim);
        let pool = || Tensor::zeros(shape, dtype, device);
        let layer = || Ok(LayerCache { keys: pool()?, values: pool()? });
        Ok(Self { spec, layers: config.layers.iter().map(|_| layer()).collect::<Result<_>>()? })
    }

    /// Its size.
    pub fn spec(&self) -> KvCacheSpec {
        self.spec
    }

    pub(super) fn layer(&mut self, index: usize) -> &mut LayerCache {
        &mut self.layers[index]
    }
}

impl LayerCache {
    /// Stores a batch's keys and values, `[n_tokens, n_kv_heads, head_dim]`, in their slots.
    pub(super) fn write(&mut self, batch: &Batch, keys: &Tensor, values: &Tensor) -> Result<()> {
        ops::write_slots(&self.keys, keys, batch.slots())?;
        ops::write_slots(&self.values, values, batch.slots())
    }
}
