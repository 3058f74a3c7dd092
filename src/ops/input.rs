//! What goes into a product.

use candle_core::{Result, Tensor};
use tier0_kernels::RowSource;

use super::{RmsNorm, with_values};

/// What a product takes, and what is done to its rows first. On the CPU that is done while the rows
/// are made ready for the product, so that nothing is written in between.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// `[n_tokens, n_in]`, as it is.
    Plain(&'a Tensor),
    /// `[n_tokens, n_in]`, normalised.
    Normed(&'a RmsNorm, &'a Tensor),
}

impl Input<'_> {
    /// The tensor that comes in.
    pub(super) fn tensor(&self) -> &Tensor {
        match self {
            Self::Plain(x) | Self::Normed(_, x) => x,
        }
    }

    /// Calls `run` with the rows, given the values of [`Input::tensor`] on the CPU.
    pub(super) fn with_rows<R>(&self, x: &[f32], run: impl FnOnce(RowSource<'_>) -> Result<R>) -> Result<R> {
        match *self {
            Self::Plain(_) => run(RowSource::Plain(x)),
            Self::Normed(norm, _) => with_values(norm.weight(), |weight| {
                run(RowSource::Normed { x, weight, epsilon: norm.epsilon() })
            }),
        }
    }

    /// The rows as a tensor, `[n_tokens, n_in]`: what a product takes that does nothing to its rows.
    pub(super) fn to_tensor(self) -> Result<Tensor> {
        match self {
            Self::Plain(x) => Ok(x.clone()),
            Self::Normed(norm, x) => norm.forward(x),
        }
    }
}
