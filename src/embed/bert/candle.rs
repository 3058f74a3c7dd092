//! The network of candle-transformers, in f32: for devices other than the CPU, and the reference for the
//! kernels' bf16.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::BertModel;

use super::files::load_error;
use crate::embed::EmbedError;

/// A BERT encoder on a device.
pub(super) struct CandleBert(BertModel);

impl CandleBert {
    /// Loads `model.safetensors` and `config.json` from `dir`.
    ///
    /// # Errors
    /// [`EmbedError::Load`] with the file that is missing, unreadable or not what it should be.
    pub(super) fn load(dir: &Path, device: &Device) -> std::result::Result<Self, EmbedError> {
        let path = dir.join("config.json");
        let config = std::fs::read(&path).map_err(|e| load_error(&path, &e))?;
        let config = serde_json::from_slice(&config).map_err(|e| load_error(&path, &e))?;
        let path = dir.join("model.safetensors");
        let weights = std::fs::read(&path).map_err(|e| load_error(&path, &e))?;
        VarBuilder::from_buffered_safetensors(weights, DType::F32, device)
            .and_then(|weights| BertModel::load(weights, &config))
            .map(Self)
            .map_err(|e| load_error(&path, &e))
    }

    /// `[n_tokens]` ids to the mean of their last hidden states, `[hidden_size]`. The text stands
    /// alone, so every position counts and no padding enters the arithmetic.
    pub(super) fn pooled(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let ids = Tensor::new(ids, &self.0.device)?.unsqueeze(0)?;
        let hidden = self.0.forward(&ids, &ids.zeros_like()?, None)?;
        hidden.mean(1)?.squeeze(0)?.to_vec1()
    }
}
