//! Which device the model runs on.

use std::{fmt, str::FromStr};

use candle_core::Device;

/// The user's choice: `auto`, `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU where the build and the machine have one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
}

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Not a device's name.
    #[error("`{0}` is not a device: use auto, cpu or cuda:N (such as cuda:0)")]
    Unknown(String),
    /// This build has no CUDA.
    #[error(
        "cuda:{0} was asked for, but this build of tier0 has no CUDA: build it with `cargo build --release \
         --features cuda` on a machine with the CUDA toolkit, or use `--device cpu`"
    )]
    CudaNotBuilt(usize),
    /// The GPU did not answer.
    #[error("cuda:{number} cannot be used: {source}; check `nvidia-smi`, or use `--device cpu`")]
    CudaUnavailable {
        /// The GPU's number.
        number: usize,
        /// What the driver said.
        source: candle_core::Error,
    },
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// When a GPU was asked for and cannot be used; `auto` falls back to the CPU instead.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) if !candle_core::utils::cuda_is_available() => {
                Err(DeviceError::CudaNotBuilt(number))
            }
            Self::Cuda(number) => {
                Device::new_cuda(number).map_err(|source| DeviceError::CudaUnavailable { number, source })
            }
            Self::Auto if !candle_core::utils::cuda_is_available() => Ok(Device::Cpu),
            Self::Auto => Ok(Device::new_cuda(0).unwrap_or_else(|error| {
                tracing::warn!(%error, "no usable GPU; running on the CPU");
                Device::Cpu
            })),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let cuda = |s: &str| s.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda);
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => cuda(other).ok_or_else(|| DeviceError::Unknown(other.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn names_are_read_back_as_written() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(3)] {
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }
        let error = "gpu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert!(error.contains("`gpu`") && error.contains("cuda:N"), "{error}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_in_a_build_without_it_says_how_to_get_it() {
        let error = DeviceChoice::Cuda(1).open().unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
    }
}
