//! A GGUF file: its metadata, read by key, and its tensors, read by name.

use std::{
    fs::File,
    io::{Cursor, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{Content, TensorInfo, Value},
    },
};

use tier0_kernels::MappedFile;

use super::ModelError;
use crate::ops::Weight;

/// An opened GGUF file whose header is read and whose length is checked.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    content: Content,
    file: MappedFile,
    architecture: String,
    dequantise: bool,
}

impl Gguf {
    /// Opens a file, reads its header and checks that all its tensors are there.
    ///
    /// # Errors
    /// When the file is missing, not GGUF, truncated, or holds types that cannot be read.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => ModelError::Missing { path: path.to_owned() },
            _ => ModelError::Io { path: path.to_owned(), source },
        };
        let file = File::open(path).and_then(|file| MappedFile::new(&file)).map_err(failed)?;
        let actual = file.as_ref().len() as u64;
        let content = read_header(file.as_ref()).map_err(|error| unreadable(path, error))?;
        let needed =
            data_end(&content).map_err(|reason| ModelError::Malformed { path: path.to_owned(), reason })?;
        if needed > actual {
            return Err(ModelError::Truncated { path: path.to_owned(), needed, actual });
        }
        let mut gguf =
            Self { path: path.to_owned(), content, file, architecture: String::new(), dequantise: false };
        gguf.architecture = gguf.string("general.architecture")?.to_owned();
        Ok(gguf)
    }

    /// The same file, but all tensors are read as f32, whatever their stored type: for comparisons, at
    /// several times the memory.
    #[must_use]
    pub fn dequantised(self) -> Self {
        Self { dequantise: true, ..self }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `general.architecture`, which prefixes the model's own keys.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// A metadata value, if the key is there.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// An architecture-specific value, such as `qwen2.block_count` for `block_count`.
    fn own(&self, key: &str) -> Option<(String, &Value)> {
        let key = format!("{}.{key}", self.architecture);
        self.value(&key).map(|value| (key, value))
    }

    /// A string value.
    ///
    /// # Errors
    /// When the key is missing or not a string.
    pub fn string(&self, key: &str) -> Result<&str, ModelError> {
        let value = self.value(key).ok_or_else(|| missing(key))?;
        Ok(value.to_string().map_err(|error| ill_typed(key, &error))?)
    }

    /// An architecture-specific count, if it is there.
    ///
    /// # Errors
    /// When it is not a whole number.
    pub fn count_opt(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some((key, value)) = self.own(key) else { return Ok(None) };
        let number = match value {
            Value::I32(n) => u64::try_from(*n).ok(),
            Value::I64(n) => u64::try_from(*n).ok(),
            other => other.to_u64().ok(),
        };
        let reason =
            || ModelError::Metadata { reason: format!("{value:?} is not a count"), key: key.clone() };
        number.and_then(|n| usize::try_from(n).ok()).map(Some).ok_or_else(reason)
    }

    /// An architecture-specific count.
    ///
    /// # Errors
    /// When it is missing, zero or not a whole number.
    pub fn count(&self, key: &str) -> Result<usize, ModelError> {
        let name = || format!("{}.{key}", self.architecture);
        match self.count_opt(key)? {
            Some(0) => Err(ModelError::Metadata { key: name(), reason: "it is 0".to_owned() }),
            Some(n) => Ok(n),
            None => Err(missing(&name())),
        }
    }

    /// An architecture-specific real number, if it is there.
    ///
    /// # Errors
    /// When it is not a number.
    pub fn real_opt(&self, key: &str) -> Result<Option<f32>, ModelError> {
        let Some((key, value)) = self.own(key) else { return Ok(None) };
        match value {
            Value::F32(x) => Ok(Some(*x)),
            Value::F64(x) => Ok(Some(*x as f32)),
            other => Err(ModelError::Metadata { reason: format!("{other:?} is not a number"), key }),
        }
    }

    /// An architecture-specific string, if it is there and is one.
    pub fn text_opt(&self, key: &str) -> Option<&str> {
        self.own(key).and_then(|(_, value)| value.to_string().ok()).map(String::as_str)
    }

    /// Number of tensors in the file.
    pub fn n_tensors(&self) -> usize {
        self.content.tensor_infos.len()
    }

    /// Whether there is a tensor of this name.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// A matrix `[n_out, n_in]` in the form that the device multiplies; f32 if the file is
    /// [dequantised](Self::dequantised).
    ///
    /// # Errors
    /// When it is missing, has another shape, or cannot be read.
    pub fn weight(&self, name: &str, shape: [usize; 2], device: &Device) -> Result<Weight, ModelError> {
        let info = self.info(name, &shape)?;
        let packed = match device.is_cpu() && !self.dequantise {
            true => self.packed(info, shape).map_err(|error| unusable(name, &error))?,
            false => None,
        };
        if let Some(weight) = packed {
            return Ok(weight);
        }
        Weight::from_tensor(self.quantised(name, &shape, device)?).map_err(|error| unusable(name, &error))
    }

    /// A matrix packed for the CPU; `None` if the kernels do not support its type.
    fn packed(&self, info: &TensorInfo, shape: [usize; 2]) -> candle_core::Result<Option<Weight>> {
        let start = (self.content.tensor_data_offset + info.offset) as usize;
        let n_blocks = shape[0] * shape[1] / info.ggml_dtype.block_size();
        let range = start..start + n_blocks * info.ggml_dtype.type_size();
        let weight = Weight::pack(info.ggml_dtype, &self.file.as_ref()[range.clone()], shape)?;
        if weight.is_some() {
            // The packed copy is in memory; the file's pages would take as much again.
            self.file.release(range);
        }
        Ok(weight)
    }

    fn info(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, ModelError> {
        let info = self.content.tensor_infos.get(name).ok_or_else(|| unusable(name, &"it is missing"))?;
        let dims = info.shape.dims();
        if dims != shape {
            return Err(unusable(name, &format!("its shape is {dims:?}, expected {shape:?}")));
        }
        Ok(info)
    }

    /// A tensor as it is stored, or in f32 if the file is [dequantised](Self::dequantised).
    fn quantised(&self, name: &str, shape: &[usize], device: &Device) -> Result<Arc<QTensor>, ModelError> {
        self.info(name, shape)?;
        let info = &self.content.tensor_infos[name];
        let tensor = info.read(&mut Cursor::new(self.file.as_ref()), self.content.tensor_data_offset, device);
        let tensor = match self.dequantise {
            true => tensor.and_then(|t| QTensor::quantize(&t.dequantize(device)?, GgmlDType::F32)),
            false => tensor,
        };
        tensor.map(Arc::new).map_err(|error| unusable(name, &error))
    }

    /// A tensor as f32.
    ///
    /// # Errors
    /// When it is missing, has another shape, or cannot be read.
    pub fn plain(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor, ModelError> {
        let tensor = self.quantised(name, shape, device)?;
        tensor.dequantize(device).map_err(|error| unusable(name, &error))
    }

    /// Number of rows of a tensor (its first dimension), if it is there.
    pub fn n_rows(&self, name: &str) -> Option<usize> {
        self.content.tensor_infos.get(name).and_then(|info| info.shape.dims().first().copied())
    }
}

fn unusable(name: &str, reason: &dyn std::fmt::Display) -> ModelError {
    ModelError::Tensor { name: name.to_owned(), reason: reason.to_string() }
}

fn missing(key: &str) -> ModelError {
    ModelError::Metadata { key: key.to_owned(), reason: "it is missing".to_owned() }
}

fn ill_typed(key: &str, error: &candle_core::Error) -> ModelError {
    ModelError::Metadata { key: key.to_owned(), reason: error.to_string() }
}

/// Candle divides by the header's `general.alignment` whatever it is, so a 0 there panics.
fn read_header(file: &[u8]) -> candle_core::Result<Content> {
    catch_unwind(AssertUnwindSafe(|| Content::read(&mut Cursor::new(file))))
        .unwrap_or_else(|_| Err(candle_core::Error::msg("its header makes no sense")))
}

/// One past the last byte of the last tensor in the file.
///
/// # Errors
/// Names the tensor whose size overflows.
fn data_end(content: &Content) -> Result<u64, String> {
    content.tensor_infos.iter().try_fold(0, |end, (name, info)| {
        let dims = info.shape.dims();
        let this = end_of(info, content.tensor_data_offset)
            .ok_or_else(|| format!("its tensor `{name}` has the impossible shape {dims:?}"))?;
        Ok(this.max(end))
    })
}

/// One past the last byte of a tensor in the file; `None` on overflow.
fn end_of(info: &TensorInfo, data_offset: u64) -> Option<u64> {
    let n_values = info.shape.dims().iter().try_fold(1usize, |n, dim| n.checked_mul(*dim))?;
    let n_blocks = n_values.div_ceil(info.ggml_dtype.block_size());
    let n_bytes = n_blocks.checked_mul(info.ggml_dtype.type_size())?;
    data_offset.checked_add(info.offset)?.checked_add(n_bytes as u64)
}

/// Candle reports every fault of a header as text; users mostly meet an unsupported quantisation.
fn unreadable(path: &Path, error: candle_core::Error) -> ModelError {
    let path = path.to_owned();
    let (ended, text) = match error {
        candle_core::Error::Io(source) if source.kind() != ErrorKind::UnexpectedEof => {
            return ModelError::Io { path, source };
        }
        other => (matches!(other, candle_core::Error::Io(_)), other.to_string()),
    };
    let reason = text.lines().next().unwrap_or_default().to_owned();
    if reason.contains("unknown dtype") {
        ModelError::UnsupportedQuantisation { path, reason }
    } else if ended || reason.contains("remaining") {
        ModelError::Malformed { path, reason: format!("the header is cut short ({reason})") }
    } else {
        ModelError::Malformed { path, reason }
    }
}
