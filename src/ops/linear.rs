//! Products with weights, and lookups in them.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Module, Result, Shape, Tensor};
use tier0_kernels::PackedWeight;

use super::{
    cpu_slice,
    weight::{Kind, Weight},
};

/// `x·Wᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight` is `[n_out, n_in]`, `bias` `[n_out]`.
    pub fn new(weight: Weight, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `[n_tokens, n_in] → [n_tokens, n_out]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight.0 {
            Kind::Packed(weight) => x.contiguous()?.apply_op1_no_bwd(&PackedProduct { weight })?,
            Kind::Dense(weight) => x.contiguous()?.apply_op2_no_bwd(weight, &DenseProduct)?,
            Kind::Candle(weight) => weight.forward(x)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// The product with a packed weight.
struct PackedProduct<'a> {
    weight: &'a PackedWeight,
}

impl CustomOp1 for PackedProduct<'_> {
    fn name(&self) -> &'static str {
        "packed-product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n_rows, n_in) = layout.shape().dims2()?;
        check_columns(n_in, self.weight.n_in())?;
        let mut out = vec![0f32; n_rows * self.weight.n_out()];
        tier0_kernels::linear(cpu_slice(x, layout)?, self.weight, None, &mut out);
        Ok((CpuStorage::F32(out), (n_rows, self.weight.n_out()).into()))
    }
}

/// The product with an f32 weight.
struct DenseProduct;

impl CustomOp2 for DenseProduct {
    fn name(&self) -> &'static str {
        "dense-product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n_rows, n_in) = x_layout.shape().dims2()?;
        let (n_out, weight_in) = w_layout.shape().dims2()?;
        check_columns(n_in, weight_in)?;
        let mut out = vec![0f32; n_rows * n_out];
        tier0_kernels::linear_f32(cpu_slice(x, x_layout)?, cpu_slice(weight, w_layout)?, n_in, &mut out);
        Ok((CpuStorage::F32(out), (n_rows, n_out).into()))
    }
}

fn check_columns(n_in: usize, weight_in: usize) -> Result<()> {
    if n_in != weight_in {
        candle_core::bail!("rows of {n_in} do not fit a weight of {weight_in} columns");
    }
    Ok(())
}

/// The table of token embeddings: the rows of a weight.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Weight,
    scale: f64,
}

impl Embedding {
    /// `table` is `[n_vocab, hidden]`; every row is multiplied by `scale` when it is looked up.
    pub fn new(table: Weight, scale: f64) -> Self {
        Self { table, scale }
    }

    /// `ids [n_tokens]` (u32) `→ [n_tokens, hidden]`.
    ///
    /// # Errors
    /// When an id lies outside the vocabulary.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let rows = match &self.table.0 {
            Kind::Packed(table) => ids.contiguous()?.apply_op1_no_bwd(&PackedRows { table })?,
            Kind::Dense(table) => table.index_select(ids, 0)?,
            Kind::Candle(table) => table.embedding(ids)?,
        };
        if self.scale == 1.0 { Ok(rows) } else { rows * self.scale }
    }
}

/// Rows of a packed weight.
struct PackedRows<'a> {
    table: &'a PackedWeight,
}

impl CustomOp1 for PackedRows<'_> {
    fn name(&self) -> &'static str {
        "packed-rows"
    }

    fn cpu_fwd(&self, ids: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ids: &[u32] = cpu_slice(ids, layout)?;
        let (n_rows, n_in) = (self.table.n_out(), self.table.n_in());
        if let Some(id) = ids.iter().find(|id| **id as usize >= n_rows) {
            candle_core::bail!("token {id} lies outside the vocabulary of {n_rows}");
        }
        let mut out = vec![0f32; ids.len() * n_in];
        for (id, out) in ids.iter().zip(out.chunks_exact_mut(n_in)) {
            self.table.row(*id as usize, out);
        }
        Ok((CpuStorage::F32(out), (ids.len(), n_in).into()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use std::sync::Arc;

    use candle_core::{
        Device,
        quantized::{GgmlDType, QTensor},
    };

    use super::*;

    #[test]
    fn dense_weights_multiply_as_candle_does() {
        let x = Tensor::randn(0f32, 1.0, (5, 40), &Device::Cpu).unwrap();
        let weight = Tensor::randn(0f32, 1.0, (33, 40), &Device::Cpu).unwrap();
        let bias = Tensor::randn(0f32, 1.0, 33, &Device::Cpu).unwrap();
        let stored = Arc::new(QTensor::quantize(&weight, GgmlDType::F32).unwrap());
        let weight_of = |stored| Weight::from_tensor(stored).unwrap();
        let ours = Linear::new(weight_of(stored), Some(bias.clone())).forward(&x).unwrap();
        let candles = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let difference =
            (ours - candles).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-4, "they differ by {difference}");
    }
}
