//! The numeric operations of the model: the only room that asks which device it runs on.
//!
//! Place in the path: `model` composes these into a transformer; on the CPU they call
//! `tier0-kernels` where candle has nothing fitting. Each takes and returns candle tensors of one
//! flat batch, `[n_tokens, …]`, without padding.

mod attention;
mod device;
mod linear;
mod norm;
mod rope;
mod weight;

pub use attention::{AttentionSpec, Span, copy_block, paged_attention, write_slots};
pub use device::{DeviceError, open_device};
pub use linear::{Embedding, Linear};
pub use norm::RmsNorm;
pub use rope::{Pairing, Rope, RopeRows, RopeSpec};
pub use weight::Weight;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

/// The gate of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x·σ(x)` (llama, qwen).
    Silu,
    /// GELU in its tanh approximation (gemma).
    GeluTanh,
}

impl Activation {
    /// `act(gate) · up`, elementwise.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn gated(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu if gate.device().is_cpu() => {
                gate.contiguous()?.apply_op2_no_bwd(&up.contiguous()?, &SiluGate)
            }
            Self::Silu => gate.silu()? * up,
            Self::GeluTanh => gate.gelu()? * up,
        }
    }
}

/// `silu(gate)·up` in one pass.
struct SiluGate;

impl CustomOp2 for SiluGate {
    fn name(&self) -> &'static str {
        "silu-gate"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (cpu_slice(gate, gate_layout)?, cpu_slice(up, up_layout)?);
        if gate.len() != up.len() {
            candle_core::bail!("a gate of {} values for {}", gate.len(), up.len());
        }
        let mut out = vec![0f32; gate.len()];
        tier0_kernels::silu_gate(gate, up, &mut out);
        Ok((CpuStorage::F32(out), gate_layout.shape().clone()))
    }
}

/// The part of a storage on the CPU that a contiguous layout covers.
fn cpu_slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => candle_core::bail!("this operation needs contiguous tensors"),
    }
}
