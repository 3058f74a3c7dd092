//! Attention over the paged cache: `tier0-kernels` on the CPU, gathered candle products elsewhere.

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor, backend::BackendStorage};
use half::bf16;
use tier0_kernels::{AttentionParams, AttentionRow, KvElement};

use super::cpu_slice;

/// What a layer's attention needs to know beside its tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionSpec {
    /// Factor on the scores.
    pub scale: f32,
    /// Sliding window in tokens, the token itself included; `None` sees everything before it.
    pub window: Option<usize>,
}

/// One sequence's tokens within a flat batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First row of the sequence in the batch.
    pub start: usize,
    /// How many rows it has.
    pub len: usize,
    /// Position of its first row in the sequence: so many tokens are cached already.
    pub offset: usize,
    /// The sequence's cache blocks, in order.
    pub blocks: Vec<u32>,
}

impl AttentionSpec {
    /// The positions visible from `position`.
    fn visible(&self, position: usize) -> std::ops::Range<usize> {
        let end = position + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// Writes `rows [n_tokens, n_kv_heads, head_dim]` into `cache [n_blocks, block_size, n_kv_heads,
/// head_dim]`, each at its slot (`block · block_size + offset in the block`).
///
/// # Errors
/// When the shapes do not fit.
pub fn write_slots(cache: &Tensor, rows: &Tensor, slots: &[u32]) -> Result<()> {
    let flat = cache.flatten(0, 1)?;
    let rows = rows.to_dtype(cache.dtype())?.contiguous()?;
    let mut start = 0;
    while start < slots.len() {
        // Slots that follow one another are one copy.
        let run = (start..slots.len()).take_while(|&i| slots[i] == slots[start] + (i - start) as u32).count();
        flat.slice_set(&rows.narrow(0, start, run)?, 0, slots[start] as usize)?;
        start += run;
    }
    Ok(())
}

/// Copies the first `n_slots` of block `from` of `cache [n_blocks, block_size, n_kv_heads, head_dim]`
/// to block `to`.
///
/// # Errors
/// When there are no such blocks or slots.
pub fn copy_block(cache: &Tensor, from: usize, to: usize, n_slots: usize) -> Result<()> {
    let rows = cache.narrow(0, from, 1)?.narrow(1, 0, n_slots)?.squeeze(0)?;
    let block_size = cache.dim(1)?;
    // A copy of its own: a tensor cannot be written from its own storage.
    cache.flatten(0, 1)?.slice_set(&rows.force_contiguous()?, 0, to * block_size)
}

/// Attention of each token to the cached tokens of its sequence up to itself.
///
/// `q` is `[n_tokens, n_heads, head_dim]` f32; `keys` and `values` are
/// `[n_blocks, block_size, n_kv_heads, head_dim]`, bf16 or f32. Returns the shape of `q`.
///
/// # Errors
/// When the shapes or types do not fit.
pub fn paged_attention(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    spans: &[Span],
    spec: AttentionSpec,
) -> Result<Tensor> {
    if q.device().is_cpu() {
        q.contiguous()?.apply_op3_no_bwd(keys, values, &CpuPagedAttention { spans, spec })
    } else {
        gathered_attention(q, keys, values, spans, spec)
    }
}

struct CpuPagedAttention<'a> {
    spans: &'a [Span],
    spec: AttentionSpec,
}

impl CpuPagedAttention<'_> {
    fn rows(&self) -> Vec<AttentionRow<'_>> {
        let row = |span: &'_ Span, i: usize| self.spec.visible(span.offset + i);
        self.spans
            .iter()
            .flat_map(|span| {
                (0..span.len).map(move |i| {
                    let visible = row(span, i);
                    AttentionRow { first: visible.start, end: visible.end, blocks: &span.blocks }
                })
            })
            .collect()
    }

    fn run<T: KvElement>(&self, q: &[f32], keys: &[T], values: &[T], params: &AttentionParams) -> Vec<f32> {
        let mut out = vec![0f32; q.len()];
        tier0_kernels::paged_attention(q, keys, values, &self.rows(), params, &mut out);
        out
    }
}

impl CustomOp3 for CpuPagedAttention<'_> {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        keys: &CpuStorage,
        k_layout: &Layout,
        values: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n_tokens, n_heads, head_dim) = q_layout.shape().dims3()?;
        let (_, block_size, n_kv_heads, _) = k_layout.shape().dims4()?;
        let n_rows: usize = self.spans.iter().map(|s| s.len).sum();
        if n_rows != n_tokens {
            candle_core::bail!("the spans cover {n_rows} rows, but q has {n_tokens}");
        }
        let params = AttentionParams { n_heads, n_kv_heads, head_dim, block_size, scale: self.spec.scale };
        let q = cpu_slice::<f32>(q, q_layout)?;
        let out = match keys.dtype() {
            DType::BF16 => {
                self.run::<bf16>(q, cpu_slice(keys, k_layout)?, cpu_slice(values, v_layout)?, &params)
            }
            DType::F32 => {
                self.run::<f32>(q, cpu_slice(keys, k_layout)?, cpu_slice(values, v_layout)?, &params)
            }
            other => candle_core::bail!("the KV cache is {other:?}; paged attention takes bf16 and f32"),
        };
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }
}

/// The same by candle's own products, for any device: one gather and two products a sequence.
fn gathered_attention(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    spans: &[Span],
    spec: AttentionSpec,
) -> Result<Tensor> {
    let outs = spans
        .iter()
        .map(|span| attend_span(&q.narrow(0, span.start, span.len)?, keys, values, span, spec))
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&outs, 0)
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
    // [len, heads, d] → [kv, group·len, d], so that the heads of a group meet their keys in one product.
    let q = q.transpose(0, 1)?.contiguous()?.reshape((n_kv_heads, group * len, head_dim))?;
    let scores = (q.matmul(&gather(keys)?.transpose(1, 2)?)? * f64::from(spec.scale))?;
    let scores =
        scores.reshape((n_heads, len, n_keys))?.broadcast_add(&mask(span, n_keys, spec, q.device())?)?;
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.reshape((n_kv_heads, group * len, n_keys))?;
    weights.matmul(&gather(values)?)?.reshape((n_heads, len, head_dim))?.transpose(0, 1)?.contiguous()
}

/// `[len, n_keys]`: 0 where a row sees a key, −∞ where it does not.
fn mask(span: &Span, n_keys: usize, spec: AttentionSpec, device: &candle_core::Device) -> Result<Tensor> {
    let cells = (0..span.len).flat_map(|row| {
        let visible = spec.visible(span.offset + row);
        (0..n_keys).map(move |key| if visible.contains(&key) { 0f32 } else { f32::NEG_INFINITY })
    });
    Tensor::from_vec(cells.collect(), (span.len, n_keys), device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use candle_core::Device;
    use rstest::rstest;

    use super::*;

    fn wave(shape: &[usize], step: f32) -> Tensor {
        let n = shape.iter().product::<usize>();
        let data: Vec<f32> = (0..n).map(|i| (i as f32 * step).sin()).collect();
        Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
    }

    #[rstest]
    #[case(None)]
    #[case(Some(3))]
    fn the_cpu_kernel_and_the_gathered_products_agree(#[case] window: Option<usize>) {
        let spans = [
            Span { start: 0, len: 5, offset: 0, blocks: vec![3, 1] },
            Span { start: 5, len: 1, offset: 7, blocks: vec![0, 2] },
        ];
        let q = wave(&[6, 4, 8], 0.31);
        let (keys, values) = (wave(&[4, 4, 2, 8], 0.17), wave(&[4, 4, 2, 8], 0.23));
        let spec = AttentionSpec { scale: 0.35, window };
        let fast = paged_attention(&q, &keys, &values, &spans, spec).unwrap();
        let plain = gathered_attention(&q, &keys, &values, &spans, spec).unwrap();
        let difference =
            (fast - plain).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-5, "they differ by {difference}");
    }

    #[test]
    fn rows_land_in_their_slots_and_nowhere_else() {
        let cache = Tensor::zeros((3, 2, 1, 2), DType::BF16, &Device::Cpu).unwrap();
        let rows = Tensor::new(&[[[1f32, 2.]], [[3., 4.]], [[5., 6.]]], &Device::Cpu).unwrap();
        write_slots(&cache, &rows, &[4, 5, 0]).unwrap();
        let flat = cache.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat, [5., 6., 0., 0., 0., 0., 0., 0., 1., 2., 3., 4.]);
    }
}
