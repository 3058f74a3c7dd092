//! The cache and attention of `tier0-kernels`, for the CPU.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use half::bf16;
use tier0_kernels::{
    AttentionParams, AttentionRow, CacheShape, KvElement, TokenRows, empty_cache, paged_attention,
};

use super::{AttentionSpec, PagedKvShape, Span};
use crate::ops::{cpu_slice, with_rows};

/// Keys and values in the kernels' layout.
#[derive(Debug)]
pub(super) struct Cache {
    shape: CacheShape,
    n_blocks: usize,
    pools: Pools,
}

#[derive(Debug)]
enum Pools {
    Bf16(Pool<bf16>),
    F32(Pool<f32>),
}

#[derive(Debug)]
struct Pool<T> {
    /// `[n_blocks, n_kv_heads, head_dim, block_size]`.
    keys: Vec<T>,
    /// `[n_blocks, n_kv_heads, block_size, head_dim]`.
    values: Vec<T>,
}

impl Cache {
    pub(super) fn new(shape: PagedKvShape, dtype: DType) -> Result<Self> {
        let PagedKvShape { n_blocks, block_size, n_kv_heads, head_dim } = shape;
        let len = n_blocks * block_size * n_kv_heads * head_dim;
        let pools = match dtype {
            DType::BF16 => Pools::Bf16(Pool::new(len)),
            DType::F32 => Pools::F32(Pool::new(len)),
            other => candle_core::bail!("the KV cache is {other:?}; paged attention takes bf16 and f32"),
        };
        Ok(Self { shape: CacheShape { n_kv_heads, head_dim, block_size }, n_blocks, pools })
    }

    pub(super) fn write(&mut self, keys: &Tensor, values: &Tensor, slots: &[u32]) -> Result<()> {
        let CacheShape { n_kv_heads, head_dim, block_size } = self.shape;
        let n_slots = self.n_blocks * block_size;
        let wanted = (slots.len(), n_kv_heads * head_dim);
        if keys.dims2()? != wanted || values.dims2()? != wanted {
            candle_core::bail!("keys and values of {:?} do not fit {wanted:?}", keys.shape());
        }
        if let Some(slot) = slots.iter().find(|slot| **slot as usize >= n_slots) {
            candle_core::bail!("slot {slot} of a cache with {n_slots}");
        }
        let shape = &self.shape;
        with_rows(keys, |keys, key_stride| {
            with_rows(values, |values, value_stride| {
                let keys = TokenRows { rows: keys, stride: key_stride, slots };
                let values = TokenRows { rows: values, stride: value_stride, slots };
                match &mut self.pools {
                    Pools::Bf16(pool) => pool.write(shape, keys, values),
                    Pools::F32(pool) => pool.write(shape, keys, values),
                }
                Ok(())
            })
        })
    }

    pub(super) fn copy_block(&mut self, from: usize, to: usize) -> Result<()> {
        if from.max(to) >= self.n_blocks {
            candle_core::bail!("block {} of a cache with {}", from.max(to), self.n_blocks);
        }
        match &mut self.pools {
            Pools::Bf16(pool) => pool.copy_block(self.n_blocks, from, to),
            Pools::F32(pool) => pool.copy_block(self.n_blocks, from, to),
        }
        Ok(())
    }

    pub(super) fn attend(&self, q: &Tensor, spans: &[Span], spec: AttentionSpec) -> Result<Tensor> {
        q.contiguous()?.apply_op1_no_bwd(&Attention { cache: self, spans, spec })
    }
}

impl<T: KvElement> Pool<T> {
    fn new(len: usize) -> Self {
        Self { keys: empty_cache(len), values: empty_cache(len) }
    }

    fn write(&mut self, shape: &CacheShape, keys: TokenRows<'_>, values: TokenRows<'_>) {
        keys.write_keys(shape, &mut self.keys);
        values.write_values(shape, &mut self.values);
    }

    fn copy_block(&mut self, n_blocks: usize, from: usize, to: usize) {
        let len = self.keys.len() / n_blocks;
        for pool in [&mut self.keys, &mut self.values] {
            pool.copy_within(from * len..(from + 1) * len, to * len);
        }
    }
}

struct Attention<'a> {
    cache: &'a Cache,
    spans: &'a [Span],
    spec: AttentionSpec,
}

impl Attention<'_> {
    fn rows(&self) -> Vec<AttentionRow<'_>> {
        let of_span = |span: &'_ Span, i: usize| self.spec.visible(span.offset + i);
        self.spans
            .iter()
            .flat_map(|span| {
                (0..span.len).map(move |i| {
                    let visible = of_span(span, i);
                    AttentionRow { first: visible.start, end: visible.end, blocks: &span.blocks }
                })
            })
            .collect()
    }
}

impl CustomOp1 for Attention<'_> {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    fn cpu_fwd(&self, q: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, n_heads, head_dim) = layout.shape().dims3()?;
        let CacheShape { n_kv_heads, block_size, .. } = self.cache.shape;
        if head_dim != self.cache.shape.head_dim || !n_heads.is_multiple_of(n_kv_heads) {
            candle_core::bail!("{n_heads} heads of {head_dim} do not fit a cache of {:?}", self.cache.shape);
        }
        let params = AttentionParams { n_heads, n_kv_heads, head_dim, block_size, scale: self.spec.scale };
        let q: &[f32] = cpu_slice(q, layout)?;
        let mut out = vec![0f32; q.len()];
        match &self.cache.pools {
            Pools::Bf16(pool) => {
                paged_attention(q, &pool.keys, &pool.values, &self.rows(), &params, &mut out);
            }
            Pools::F32(pool) => {
                paged_attention(q, &pool.keys, &pool.values, &self.rows(), &params, &mut out);
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
