//! A cache of candle tensors, with attention by candle's operations: for any device.

use candle_core::{D, DType, Device, Result, Tensor};

use super::{AttentionSpec, PagedKvShape, Span};

/// `[n_blocks, block_size, n_kv_heads, head_dim]` each.
#[derive(Debug)]
pub(super) struct Cache {
    keys: Tensor,
    values: Tensor,
}

impl Cache {
    pub(super) fn new(shape: PagedKvShape, dtype: DType, device: &Device) -> Result<Self> {
        let PagedKvShape { n_blocks, block_size, n_kv_heads, head_dim } = shape;
        let pool = || Tensor::zeros((n_blocks, block_size, n_kv_heads, head_dim), dtype, device);
        Ok(Self { keys: pool()?, values: pool()? })
    }

    pub(super) fn write(&self, keys: &Tensor, values: &Tensor, slots: &[u32]) -> Result<()> {
        write_slots(&self.keys, keys, slots)?;
        write_slots(&self.values, values, slots)
    }

    pub(super) fn copy_block(&self, from: usize, to: usize, n_slots: usize) -> Result<()> {
        copy_block(&self.keys, from, to, n_slots)?;
        copy_block(&self.values, from, to, n_slots)
    }

    /// One gather and two matrix products for each sequence.
    pub(super) fn attend(&self, q: &Tensor, spans: &[Span], spec: AttentionSpec) -> Result<Tensor> {
        let of_span = |span: &Span| {
            let q = q.narrow(0, span.start, span.len)?;
            attend_span(&q, &self.keys, &self.values, span, spec)
        };
        Tensor::cat(&spans.iter().map(of_span).collect::<Result<Vec<_>>>()?, 0)
    }
}

fn write_slots(cache: &Tensor, rows: &Tensor, slots: &[u32]) -> Result<()> {
    let flat = cache.flatten(0, 1)?;
    let (_, n_kv_heads, head_dim) = flat.dims3()?;
    let rows = rows.to_dtype(cache.dtype())?.contiguous()?.reshape((slots.len(), n_kv_heads, head_dim))?;
    let mut start = 0;
    while start < slots.len() {
        // Consecutive slots are one copy.
        let run = (start..slots.len()).take_while(|&i| slots[i] == slots[start] + (i - start) as u32).count();
        flat.slice_set(&rows.narrow(0, start, run)?, 0, slots[start] as usize)?;
        start += run;
    }
    Ok(())
}

fn copy_block(cache: &Tensor, from: usize, to: usize, n_slots: usize) -> Result<()> {
    let rows = cache.narrow(0, from, 1)?.narrow(1, 0, n_slots)?.squeeze(0)?;
    let block_size = cache.dim(1)?;
    // Copied first, because a tensor cannot be written from its own storage.
    cache.flatten(0, 1)?.slice_set(&rows.force_contiguous()?, 0, to * block_size)
}

fn attend_span(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    span: &Span,
    spec: AttentionSpec,
) -> Result<Tensor> {
    let (len, n_heads, head_dim) = q.dims3()?;
    let (_, block_size, n_kv_heads, _) = keys.dims4()?;
    let n_keys = span.offset + span.len;
    let group = n_heads / n_kv_heads;
    let blocks = &span.blocks[..n_keys.div_ceil(block_size)];
    let blocks = Tensor::new(blocks, q.device())?;
    // [n_blocks, block_size, kv, d] → [kv, n_keys, d]
    let gather = |cache: &Tensor| -> Result<Tensor> {
        let rows = cache.index_select(&blocks, 0)?.flatten(0, 1)?.narrow(0, 0, n_keys)?;
        rows.transpose(0, 1)?.to_dtype(DType::F32)?.contiguous()
    };
    // [len, heads, d] → [kv, group·len, d]: one product for all heads that share keys.
    let q = q.transpose(0, 1)?.contiguous()?.reshape((n_kv_heads, group * len, head_dim))?;
    let scores = (q.matmul(&gather(keys)?.transpose(1, 2)?)? * f64::from(spec.scale))?;
    let scores =
        scores.reshape((n_heads, len, n_keys))?.broadcast_add(&mask(span, n_keys, spec, q.device())?)?;
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.reshape((n_kv_heads, group * len, n_keys))?;
    weights.matmul(&gather(values)?)?.reshape((n_heads, len, head_dim))?.transpose(0, 1)?.contiguous()
}

/// The mask `[len, n_keys]`: 0 for visible keys, −∞ for the others.
fn mask(span: &Span, n_keys: usize, spec: AttentionSpec, device: &Device) -> Result<Tensor> {
    let cells = (0..span.len).flat_map(|row| {
        let visible = spec.visible(span.offset + row);
        (0..n_keys).map(move |key| if visible.contains(&key) { 0f32 } else { f32::NEG_INFINITY })
    });
    Tensor::from_vec(cells.collect(), (span.len, n_keys), device)
}
