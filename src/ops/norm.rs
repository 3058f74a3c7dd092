//! Root-mean-square normalisation (Zhang and Sennrich 2019).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{Input, cpu_slice};

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
            true => x.apply_op1_no_bwd(&CpuNorm { norm: self, x: &x }),
            false => candle_nn::ops::rms_norm(&x, &self.weight, self.epsilon),
        }
    }

    pub(super) fn weight(&self) -> &Tensor {
        &self.weight
    }

    pub(super) fn epsilon(&self) -> f32 {
        self.epsilon
    }
}

struct CpuNorm<'a> {
    norm: &'a RmsNorm,
    x: &'a Tensor,
}

impl CustomOp1 for CpuNorm<'_> {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dim = self.norm.weight.elem_count();
        if dim == 0 || layout.shape().dims().last() != Some(&dim) {
            candle_core::bail!("a norm over {dim} values cannot take rows of {:?}", layout.shape());
        }
        let mut out = vec![0f32; layout.shape().elem_count()];
        Input::Normed(self.norm, self.x).with_rows(cpu_slice(x, layout)?, |rows| {
            rows.write(dim, &mut out);
            Ok(())
        })?;
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
