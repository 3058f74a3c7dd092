//! Attention over a paged cache: `tier0-kernels` and its cache layout on the CPU, candle on other devices.

mod candle_attention;
mod kernels;

use candle_core::{DType, Device, Result, Tensor};

/// The parameters of a layer's attention beside its tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionSpec {
    /// Factor on the scores.
    pub scale: f32,
    /// Sliding window in tokens, the token itself included; `None` is full attention.
    pub window: Option<usize>,
}

impl AttentionSpec {
    /// The positions visible from `position`.
    fn visible(&self, position: usize) -> std::ops::Range<usize> {
        let end = position + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// One sequence's tokens within a flat batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First row of the sequence in the batch.
    pub start: usize,
    /// Number of its rows.
    pub len: usize,
    /// Position of its first row in the sequence, which is the number of tokens that are cached already.
    pub offset: usize,
    /// The sequence's cache blocks, in order.
    pub blocks: Vec<u32>,
}

/// The sizes of a layer's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagedKvShape {
    /// Blocks in the pool.
    pub n_blocks: usize,
    /// Tokens in a block.
    pub block_size: usize,
    /// Number of key and value heads.
    pub n_kv_heads: usize,
    /// Length of one head's vectors.
    pub head_dim: usize,
}

/// One layer's keys and values: a pool of blocks (Kwon et al. 2023, "Efficient Memory Management for
/// Large Language Model Serving with PagedAttention"). A slot is `block · block_size + offset`.
#[derive(Debug)]
pub struct PagedKv(Store);

#[derive(Debug)]
enum Store {
    Kernels(kernels::Cache),
    Candle(candle_attention::Cache),
}

impl PagedKv {
    /// An empty cache of bf16 or f32 on `device`.
    ///
    /// # Errors
    /// When the device has no memory for it, or the type is another.
    pub fn new(shape: PagedKvShape, dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self(match device.is_cpu() {
            true => Store::Kernels(kernels::Cache::new(shape, dtype)?),
            false => Store::Candle(candle_attention::Cache::new(shape, dtype, device)?),
        }))
    }

    /// Writes keys and values, `[n_tokens, n_kv_heads · head_dim]` each, to the tokens' slots. The rows may
    /// be parts of longer ones.
    ///
    /// # Errors
    /// When the shapes do not fit, or a slot does not exist.
    pub fn write(&mut self, keys: &Tensor, values: &Tensor, slots: &[u32]) -> Result<()> {
        match &mut self.0 {
            Store::Kernels(cache) => cache.write(keys, values, slots),
            Store::Candle(cache) => cache.write(keys, values, slots),
        }
    }

    /// Copies at least the first `n_slots` of block `from` to block `to`.
    ///
    /// # Errors
    /// When a block or a slot does not exist.
    pub fn copy_block(&mut self, from: usize, to: usize, n_slots: usize) -> Result<()> {
        match &mut self.0 {
            Store::Kernels(cache) => cache.copy_block(from, to),
            Store::Candle(cache) => cache.copy_block(from, to, n_slots),
        }
    }

    /// Attention of each token to the cached tokens of its sequence up to itself: `q [n_tokens,
    /// n_heads, head_dim]` f32 `→` the same.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn attend(&self, q: &Tensor, spans: &[Span], spec: AttentionSpec) -> Result<Tensor> {
        let n_rows: usize = spans.iter().map(|span| span.len).sum();
        if n_rows != q.dim(0)? {
            candle_core::bail!("the spans cover {n_rows} rows, but q has {}", q.dim(0)?);
        }
        match &self.0 {
            Store::Kernels(cache) => cache.attend(q, spans, spec),
            Store::Candle(cache) => cache.attend(q, spans, spec),
        }
    }
}

#[cfg(test)]
mod tests;
