//! Why a model file cannot be loaded, or a model not run.

use std::path::PathBuf;

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no file at this path.
    #[error("there is no model file at {path}; give a .gguf file or a model's id (`tier0 models list`)")]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("cannot read the model file {path}: {source}")]
    Io {
        /// Path of the model file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Not a GGUF file, or a broken one.
    #[error("{path} is not a readable GGUF file: {reason}")]
    Malformed {
        /// Path of the model file.
        path: PathBuf,
        /// What is wrong with its header.
        reason: String,
    },
    /// The file ends before its tensors do.
    #[error(
        "{path} is truncated: its tensors need {needed} bytes, but the file has {actual}; fetch it again \
         (`tier0 models pull ID`) or copy it again"
    )]
    Truncated {
        /// Path of the model file.
        path: PathBuf,
        /// Bytes that the header promises.
        needed: u64,
        /// Bytes that the file has.
        actual: u64,
    },
    /// The architecture is not supported.
    #[error("{path} is a model of architecture `{architecture}`; tier0 runs {supported}", supported = super::config::SUPPORTED.join(", "))]
    UnsupportedArchitecture {
        /// Path of the model file.
        path: PathBuf,
        /// The architecture that the file names.
        architecture: String,
    },
    /// A tensor has a type that cannot be read.
    #[error(
        "{path} holds tensors of a quantisation that tier0 cannot read ({reason}); it reads F32, F16, BF16, \
         Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K"
    )]
    UnsupportedQuantisation {
        /// Path of the model file.
        path: PathBuf,
        /// The reader's message.
        reason: String,
    },
    /// A metadata key is missing or of the wrong type.
    #[error("the model's metadata has no usable `{key}`: {reason}")]
    Metadata {
        /// The metadata key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing or has the wrong shape.
    #[error("the model's tensor `{name}` cannot be used: {reason}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer could not be built or failed.
    #[error("the model's tokenizer: {0}")]
    Tokenizer(String),
    /// The chat template could not be parsed or refused the messages.
    #[error("the model's chat template: {0}")]
    Template(String),
    /// The batch does not fit the cache.
    #[error("the batch: {0}")]
    Batch(#[from] super::BatchError),
    /// The KV cache cannot be laid out.
    #[error("the KV cache: {0}")]
    Cache(String),
    /// The device failed in the middle of a forward pass.
    #[error("the forward pass failed: {0}")]
    Compute(#[from] candle_core::Error),
}
