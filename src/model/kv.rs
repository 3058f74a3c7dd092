//! The paged key-value cache: one pool of blocks for each layer.

use candle_core::{DType, Device, Result};

use super::{BlockId, ModelConfig, ModelError};
use crate::ops::{PagedKv, PagedKvShape};

/// The size of a KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvCacheSpec {
    /// Blocks in the pool.
    pub n_blocks: usize,
    /// Tokens in a block.
    pub block_size: usize,
}

impl KvCacheSpec {
    /// The largest pool for a model in `memory_bytes`, in blocks of `block_size`.
    ///
    /// # Errors
    /// When not a single block fits.
    pub fn for_memory(
        config: &ModelConfig,
        memory_bytes: usize,
        dtype: DType,
        block_size: usize,
    ) -> std::result::Result<Self, ModelError> {
        let per_layer = 2 * config.n_kv_heads * config.head_dim * dtype.size_in_bytes();
        let block_bytes = per_layer * config.layers.len() * block_size;
        match memory_bytes / block_bytes {
            0 => Err(ModelError::Cache(format!(
                "{memory_bytes} bytes do not hold one block of {block_bytes} bytes; give it more with --kv-memory"
            ))),
            n_blocks => Ok(Self { n_blocks, block_size }),
        }
    }

    /// Number of tokens that the pool holds.
    pub fn n_tokens(self) -> usize {
        self.n_blocks * self.block_size
    }
}

/// A copy of the first slots of a block to another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCopy {
    /// The block to read.
    pub from: BlockId,
    /// The block to write.
    pub to: BlockId,
    /// Number of slots to copy, from the first on.
    pub n_tokens: usize,
}

/// Keys and values of every layer.
#[derive(Debug)]
pub struct KvCache {
    spec: KvCacheSpec,
    layers: Vec<PagedKv>,
}

impl KvCache {
    /// An empty cache for a model.
    ///
    /// # Errors
    /// When the device has no room for it.
    pub fn new(config: &ModelConfig, spec: KvCacheSpec, dtype: DType, device: &Device) -> Result<Self> {
        let shape = PagedKvShape {
            n_blocks: spec.n_blocks,
            block_size: spec.block_size,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
        };
        let layers = config.layers.iter().map(|_| PagedKv::new(shape, dtype, device));
        Ok(Self { spec, layers: layers.collect::<Result<_>>()? })
    }

    /// Number and size of the blocks.
    pub fn spec(&self) -> KvCacheSpec {
        self.spec
    }

    /// Copies slots between blocks, in every layer.
    ///
    /// # Errors
    /// When a block or a slot does not exist.
    pub fn copy(&mut self, copy: BlockCopy) -> Result<()> {
        let BlockCopy { from, to, n_tokens } = copy;
        self.layers
            .iter_mut()
            .try_for_each(|layer| layer.copy_block(from.0 as usize, to.0 as usize, n_tokens))
    }

    pub(super) fn layer(&mut self, index: usize) -> &mut PagedKv {
        &mut self.layers[index]
    }
}
