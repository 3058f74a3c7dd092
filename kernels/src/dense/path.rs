//! Which instructions a product with dense weights uses.

use super::{DenseType, rows::RowFormat};
use crate::cpu::InstructionSet;

/// A way to compute a product; each gives the same bits, see [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// Fused multiply-adds of the instruction set, on weights widened to f32; plain Rust for
    /// [`InstructionSet::Scalar`].
    Widened(InstructionSet),
    /// Dot products of bf16 pairs, AVX-512 BF16; f16 weights are widened.
    #[cfg(target_arch = "x86_64")]
    Bf16Pairs,
}

impl Path {
    /// What this machine has, the best last.
    #[cfg(test)]
    pub(super) fn available() -> Vec<Self> {
        InstructionSet::available().into_iter().flat_map(Self::of).collect()
    }

    /// What products use: the best of the instruction set that the kernels use.
    pub(super) fn chosen() -> Self {
        let set = InstructionSet::chosen();
        Self::of(set).last().unwrap_or(Self::Widened(set))
    }

    /// The paths of an instruction set, the best last.
    fn of(set: InstructionSet) -> impl DoubleEndedIterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let pairs = (set == InstructionSet::Avx512 && is_x86_feature_detected!("avx512bf16"))
            .then_some(Self::Bf16Pairs);
        #[cfg(not(target_arch = "x86_64"))]
        let pairs = None;
        [Self::Widened(set)].into_iter().chain(pairs)
    }

    /// How rows lie that are multiplied with weights of this type.
    pub(super) fn format(self, weights: DenseType) -> RowFormat {
        match (self, weights) {
            (_, DenseType::F16) => RowFormat::Exact,
            (Self::Widened(_), DenseType::Bf16) => RowFormat::Rounded,
            #[cfg(target_arch = "x86_64")]
            (Self::Bf16Pairs, DenseType::Bf16) => RowFormat::Pairs,
        }
    }
}
