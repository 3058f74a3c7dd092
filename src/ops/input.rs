//! The input of a matrix product.

use candle_core::{Result, Tensor};
use tier0_kernels::RowSource;

use super::{RmsNorm, with_values};

/// The input rows of a matrix product, and the operation that is fused in front of it. On the CPU the
/// operation runs while the rows are prepared for the product, so that no intermediate tensor is written.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// `[n_tokens, n_in]`, unchanged.
    Plain(&'a Tensor),
    /// `[n_tokens, n_in]`, RMS-normalised first.
    Normed(&'a RmsNorm, &'a Tensor),
}

impl Input<'_> {
    /// The tensor before the fused operation.
    pub(super) fn tensor(&self) -> &Tensor {
        match self {
            Self::Plain(x) | Self::Normed(_, x) => x,
        }
    }

    /// Calls `run` with the rows in the kernels' form; `x` are the values of [`Input::tensor`] on the CPU.
    pub(super) fn with_rows<R>(&self, x: &[f32], run: impl FnOnce(RowSource<'_>) -> Result<R>) -> Result<R> {
        match *self {
            Self::Plain(_) => run(RowSource::Plain(x)),
            Self::Normed(norm, _) => with_values(norm.weight(), |weight| {
                run(RowSource::Normed { x, weight, epsilon: norm.epsilon() })
            }),
        }
    }

    /// The rows as a tensor, `[n_tokens, n_in]`, for products without a fused prologue.
    pub(super) fn to_tensor(self) -> Result<Tensor> {
        match self {
            Self::Plain(x) => Ok(x.clone()),
            Self::Normed(norm, x) => norm.forward(x),
        }
    }
}
