//! The matrices of a model, as their device multiplies them.

use std::sync::Arc;

use candle_core::{
    Result, Tensor,
    quantized::{GgmlDType, QMatMul, QTensor},
};
use tier0_kernels::{BlockType, PackedWeight};

/// A matrix `[n_out, n_in]`. Clones share it.
#[derive(Debug, Clone)]
pub struct Weight(pub(super) Kind);

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Quantised, on the CPU: packed for the kernels, in this one copy.
    Packed(Arc<PackedWeight>),
    /// f32 on the CPU: candle's product would differ in the last bits between one row and many.
    Dense(Tensor),
    /// Quantised, on another device; candle multiplies.
    Candle(QMatMul),
}

impl Weight {
    /// The type under which the kernels know a GGUF type; `None` where they do not.
    pub fn packable(dtype: GgmlDType) -> Option<BlockType> {
        Some(match dtype {
            GgmlDType::Q4_0 => BlockType::Q4_0,
            GgmlDType::Q4_1 => BlockType::Q4_1,
            GgmlDType::Q5_0 => BlockType::Q5_0,
            GgmlDType::Q5_1 => BlockType::Q5_1,
            GgmlDType::Q8_0 => BlockType::Q8_0,
            GgmlDType::Q4K => BlockType::Q4_K,
            GgmlDType::Q5K => BlockType::Q5_K,
            GgmlDType::Q6K => BlockType::Q6_K,
            _ => return None,
        })
    }

    /// Packs the blocks of a GGUF tensor of shape `[n_out, n_in]` for the CPU.
    ///
    /// # Errors
    /// When the bytes do not fit the shape.
    pub fn pack(block_type: BlockType, blocks: &[u8], shape: [usize; 2]) -> Result<Self> {
        let packed = PackedWeight::pack(block_type, blocks, shape[0], shape[1]);
        Ok(Self(Kind::Packed(Arc::new(packed.map_err(candle_core::Error::wrap)?))))
    }

    /// A tensor as candle read it; on the CPU in f32, so for what [`Weight::pack`] does not take.
    ///
    /// # Errors
    /// When the tensor's type cannot be used on its device.
    pub fn from_tensor(tensor: Arc<QTensor>) -> Result<Self> {
        let device = tensor.device();
        Ok(Self(match device.is_cpu() {
            true => Kind::Dense(tensor.dequantize(&device)?),
            false => Kind::Candle(QMatMul::from_arc(tensor)?),
        }))
    }
}
