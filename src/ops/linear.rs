//! Products with weights, quantised or not.

use std::sync::Arc;

use candle_core::{
    Module, Result, Tensor,
    quantized::{QMatMul, QTensor},
};

/// `x·Wᵀ + b`, the weight kept in its GGUF quantisation.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: QMatMul,
    bias: Option<Tensor>,
}

impl Linear {
    /// `weight` is `[n_out, n_in]`, `bias` `[n_out]`.
    ///
    /// # Errors
    /// When the weight's type cannot be used on its device.
    pub fn new(weight: Arc<QTensor>, bias: Option<Tensor>) -> Result<Self> {
        Ok(Self { weight: QMatMul::from_arc(weight)?, bias })
    }

    /// `[n_tokens, n_in] → [n_tokens, n_out]`.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.weight.forward(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
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
