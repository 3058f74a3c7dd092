//! Products with weights, quantised or not.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp2, Layout, Module, Result, Shape, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};

use super::cpu_slice;

/// `x·Wᵀ + b`, the weight kept in its GGUF quantisation.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

#[derive(Debug, Clone)]
enum Weight {
    /// As GGUF stores it; candle multiplies.
    Quantised(QMatMul),
    /// f32 on the CPU, `[n_out, n_in]`: candle's product would differ in the last bits between one
    /// row and many.
    Dense(Tensor),
}

impl Linear {
    /// `weight` is `[n_out, n_in]`, `bias` `[n_out]`.
    ///
    /// # Errors
    /// When the weight's type cannot be used on its device.
    pub fn new(weight: Arc<QTensor>, bias: Option<Tensor>) -> Result<Self> {
        let is_dense = matches!(weight.dtype(), GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
        let weight = match is_dense && weight.device().is_cpu() {
            true => Weight::Dense(weight.dequantize(&weight.device())?),
            false => Weight::Quantised(QMatMul::from_arc(weight)?),
        };
        Ok(Self { weight, bias })
    }

    /// `[n_tokens, n_in] → [n_tokens, n_out]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match &self.weight {
            Weight::Quantised(weight) => weight.forward(x)?,
            Weight::Dense(weight) => x.contiguous()?.apply_op2_no_bwd(weight, &DenseProduct)?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// The product with an f32 weight by `tier0-kernels`.
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
        if n_in != weight_in {
            candle_core::bail!("rows of {n_in} do not fit a weight of {weight_in} columns");
        }
        let mut out = vec![0f32; n_rows * n_out];
        tier0_kernels::linear_f32(cpu_slice(x, x_layout)?, cpu_slice(weight, w_layout)?, n_in, &mut out);
        Ok((CpuStorage::F32(out), (n_rows, n_out).into()))
    }
}

/// The table of token embeddings, kept in its GGUF quantisation.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: QMatMul,
    scale: f64,
}

impl Embedding {
    /// `table` is `[n_vocab, hidden]`; every row is multiplied by `scale` when it is looked up.
    ///
    /// # Errors
    /// When the table's type cannot be used on its device.
    pub fn new(table: Arc<QTensor>, scale: f64) -> Result<Self> {
        Ok(Self { table: QMatMul::from_arc(table)?, scale })
    }

    /// `ids [n_tokens]` (u32) `→ [n_tokens, hidden]`.
    ///
    /// # Errors
    /// When an id lies outside the vocabulary.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let rows = self.table.embedding(ids)?;
        if self.scale == 1.0 { Ok(rows) } else { rows * self.scale }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use candle_core::Device;

    use super::*;

    #[test]
    fn dense_weights_multiply_as_candle_does() {
        let x = Tensor::randn(0f32, 1.0, (5, 40), &Device::Cpu).unwrap();
        let weight = Tensor::randn(0f32, 1.0, (33, 40), &Device::Cpu).unwrap();
        let bias = Tensor::randn(0f32, 1.0, 33, &Device::Cpu).unwrap();
        let stored = Arc::new(QTensor::quantize(&weight, GgmlDType::F32).unwrap());
        let ours = Linear::new(stored, Some(bias.clone())).unwrap().forward(&x).unwrap();
        let candles = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let difference =
            (ours - candles).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-4, "they differ by {difference}");
    }
}
