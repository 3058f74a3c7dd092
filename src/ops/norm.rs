//! Root-mean-square normalisation (Zhang and Sennrich 2019).

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::cpu_slice;

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
        let x = x.contiguous()?;
        match x.device().is_cpu() {
            true => x.apply_op2_no_bwd(&self.weight, &CpuNorm { epsilon: self.epsilon }),
            false => candle_nn::ops::rms_norm(&x, &self.weight, self.epsilon),
        }
    }
}

struct CpuNorm {
    epsilon: f32,
}

impl CustomOp2 for CpuNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight): (&[f32], &[f32]) = (cpu_slice(x, x_layout)?, cpu_slice(weight, w_layout)?);
        let dim = x_layout.shape().dims().last().copied().unwrap_or_default();
        if dim != weight.len() || dim == 0 {
            candle_core::bail!("a norm over {} values cannot take rows of {dim}", weight.len());
        }
        let mut out = vec![0f32; x.len()];
        tier0_kernels::rms_norm(x, weight, self.epsilon, &mut out);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}
