//! The numeric operations of the model: the only room that asks which device it runs on.
//!
//! Place in the path: `model` composes these into a transformer; on the CPU they call
//! `tier0-kernels`, on other devices candle. Each takes and returns candle tensors of one flat batch,
//! `[n_tokens, …]`, without padding.

mod attention;
mod device;
mod input;
mod linear;
mod norm;
mod rope;
mod weight;

pub use attention::{AttentionSpec, PagedKv, PagedKvShape, Span};
pub use device::{DeviceError, open_device, use_threads};
pub use input::Input;
pub use linear::{Embedding, Linear};
pub use norm::RmsNorm;
pub use rope::{Rope, RopeRows, RopeSpec};
pub use tier0_kernels::{Gate, Pairing};
pub use weight::Weight;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType};

/// The part of a storage on the CPU that a contiguous layout covers.
fn cpu_slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => candle_core::bail!("this operation needs contiguous tensors"),
    }
}

/// Calls `run` with the values of a contiguous f32 tensor on the CPU.
fn with_values<R>(tensor: &Tensor, run: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => run(cpu_slice(storage, layout)?),
        _ => candle_core::bail!("this operation needs tensors on the CPU"),
    }
}

/// Calls `run` with the values of an f32 tensor `[n_rows, n]` on the CPU, from the first one on, and the
/// stride of its rows: they may be parts of longer ones.
fn with_rows<R>(tensor: &Tensor, run: impl FnOnce(&[f32], usize) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.stride()) {
        (Storage::Cpu(storage), &[stride, 1]) => {
            run(&storage.as_slice::<f32>()?[layout.start_offset()..], stride)
        }
        (Storage::Cpu(_), stride) => candle_core::bail!("this operation needs whole rows, not {stride:?}"),
        _ => candle_core::bail!("this operation needs tensors on the CPU"),
    }
}
