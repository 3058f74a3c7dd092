//! Root-mean-square normalisation (Zhang and Sennrich 2019).

use candle_core::{Result, Tensor};

/// `x / √(mean(x²) + ε) · w` over the last dimension.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    epsilon: f32,
}

impl RmsNorm {
    /// `weight` is `[dim]`, f32.
    pub fn new(weight: Tensor, epsilon: f32) -> Self {
        Self { weight, epsilon }
    }

    /// `[…, dim] → […, dim]`.
    ///
    /// # Errors
    /// When the last dimension is not the weight's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.epsilon)
    }
}
