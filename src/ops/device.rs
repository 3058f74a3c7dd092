//! Opens the device that the model runs on.

use candle_core::Device;

use tier0_kernels::pool::{self, Threads, ThreadsError};

use crate::config::Device as DeviceChoice;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// This build does not support CUDA.
    #[error(
        "cuda:{0} was asked for, but this build of tier0 has no CUDA: build it with `cargo build --release \
         --features cuda` on a machine with the CUDA toolkit, or use `--device cpu`"
    )]
    CudaNotBuilt(usize),
    /// The GPU did not answer.
    #[error("cuda:{number} cannot be used: {source}; check `nvidia-smi`, or use `--device cpu`")]
    CudaUnavailable {
        /// Index of the GPU.
        number: usize,
        /// The driver's error.
        source: candle_core::Error,
    },
}

/// Opens the device of the user's choice.
///
/// # Errors
/// When a GPU was asked for and cannot be used; `auto` falls back to the CPU instead.
pub fn open_device(choice: DeviceChoice) -> Result<Device, DeviceError> {
    let has_cuda = candle_core::utils::cuda_is_available();
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) if !has_cuda => Err(DeviceError::CudaNotBuilt(number)),
        DeviceChoice::Cuda(number) => {
            Device::new_cuda(number).map_err(|source| DeviceError::CudaUnavailable { number, source })
        }
        DeviceChoice::Auto if !has_cuda => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(Device::new_cuda(0).unwrap_or_else(|error| {
            tracing::warn!(%error, "no usable GPU; running on the CPU");
            Device::Cpu
        })),
    }
}

/// Sets the number of threads that compute on the CPU (0: one for each hardware thread), and the cores
/// that they are pinned to.
///
/// # Errors
/// When a computation has run, or this was called before, or a core does not exist.
pub fn use_threads(n_threads: usize, cores: &[usize]) -> Result<(), ThreadsError> {
    pool::configure(Threads { n_threads, cores: cores.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_in_a_build_without_it_says_how_to_get_it() {
        let error = open_device(DeviceChoice::Cuda(1)).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
        assert!(open_device(DeviceChoice::Auto).unwrap().is_cpu());
    }
}
