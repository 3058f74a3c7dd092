//! The matrices of a model, in the form that their device multiplies.

use std::sync::Arc;

use candle_core::{
    Error, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use tier0_kernels::{BlockType, DenseType, DenseWeight, PackedWeight};

/// A matrix `[n_out, n_in]`. Clones share it.
#[derive(Debug, Clone)]
pub struct Weight(pub(super) Kind);

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Quantised, on the CPU: packed for the kernels, in this one copy.
    Packed(Arc<PackedWeight>),
    /// f16 or bf16, on the CPU: packed for the kernels, too.
    Dense(Arc<DenseWeight>),
    /// f32, on the CPU. The kernels multiply it: candle's product would differ in the last bits between one
    /// row and many.
    F32(Tensor),
    /// Any type, on another device: candle multiplies.
    Candle(QMatMul),
}

impl Weight {
    /// Packs the GGUF bytes of a tensor of shape `[n_out, n_in]` for the CPU; `None` if the kernels do not
    /// support its type.
    ///
    /// # Errors
    /// When the bytes do not fit the shape.
    pub fn pack(dtype: GgmlDType, bytes: &[u8], [n_out, n_in]: [usize; 2]) -> Result<Option<Self>> {
        let blocks = |block_type| {
            let packed = PackedWeight::pack(block_type, bytes, n_out, n_in);
            packed.map(|packed| Kind::Packed(Arc::new(packed))).map_err(Error::wrap)
        };
        let dense = |dense_type| {
            let packed = DenseWeight::from_bytes(dense_type, bytes, n_out, n_in);
            packed.map(|packed| Kind::Dense(Arc::new(packed))).map_err(Error::wrap)
        };
        let kind = match dtype {
            GgmlDType::F16 => dense(DenseType::F16),
            GgmlDType::BF16 => dense(DenseType::Bf16),
            GgmlDType::Q4_0 => blocks(BlockType::Q4_0),
            GgmlDType::Q4_1 => blocks(BlockType::Q4_1),
            GgmlDType::Q5_0 => blocks(BlockType::Q5_0),
            GgmlDType::Q5_1 => blocks(BlockType::Q5_1),
            GgmlDType::Q8_0 => blocks(BlockType::Q8_0),
            GgmlDType::Q4K => blocks(BlockType::Q4_K),
            GgmlDType::Q5K => blocks(BlockType::Q5_K),
            GgmlDType::Q6K => blocks(BlockType::Q6_K),
            _ => return Ok(None),
        };
        kind.map(|kind| Some(Self(kind)))
    }

    /// A tensor that candle has read; on the CPU it becomes f32, for types that [`Weight::pack`] does not
    /// support.
    ///
    /// # Errors
    /// When the tensor's type cannot be used on its device.
    pub fn from_tensor(tensor: Arc<QTensor>) -> Result<Self> {
        let device = tensor.device();
        Ok(Self(match device.is_cpu() {
            true => Kind::F32(tensor.dequantize(&device)?),
            false => Kind::Candle(QMatMul::from_arc(tensor)?),
        }))
    }
}
