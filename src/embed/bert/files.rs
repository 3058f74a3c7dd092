//! Reading the model's files.

use std::path::Path;

use half::bf16;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use tier0_kernels::DenseWeight;
use tokenizers::{Tokenizer, TruncationParams};

use super::{
    MAX_TOKENS,
    encoder::{Embeddings, Encoder},
    layer::{Layer, Linear, Norm},
};
use crate::embed::EmbedError;

/// The only activation function that the layers have.
const ACTIVATION: &str = "gelu";

/// The network's shape, from `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f64,
    pub(super) hidden_act: String,
}

impl Config {
    /// What is not supported, if anything.
    fn fault(&self) -> Option<String> {
        if self.hidden_act != ACTIVATION {
            return Some(format!("hidden_act is {:?}; only {ACTIVATION:?} can run", self.hidden_act));
        }
        let (size, heads) = (self.hidden_size, self.num_attention_heads);
        let heads_fit = size > 0 && heads > 0 && size.is_multiple_of(heads);
        (!heads_fit).then(|| format!("hidden_size {size} does not divide into {heads} heads"))
    }
}

pub(super) fn read_config(path: &Path) -> Result<Config, EmbedError> {
    let bytes = std::fs::read(path).map_err(|e| load_error(path, &e))?;
    let config: Config = serde_json::from_slice(&bytes).map_err(|e| load_error(path, &e))?;
    match config.fault() {
        Some(fault) => Err(load_error(path, &fault)),
        None => Ok(config),
    }
}

pub(super) fn read_tokenizer(path: &Path, config: &Config) -> Result<Tokenizer, EmbedError> {
    let mut tokenizer = Tokenizer::from_file(path).map_err(|e| load_error(path, &e))?;
    let truncation = TruncationParams {
        max_length: MAX_TOKENS.min(config.max_position_embeddings),
        ..TruncationParams::default()
    };
    // The published file pads every text to a fixed length; alone, a text needs no padding.
    tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(|e| load_error(path, &e))?;
    // A customer who types "[SEP]" has typed five characters, not ended the sentence.
    tokenizer.set_encode_special_tokens(true);
    let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if largest as usize >= config.vocab_size {
        let reason = format!("it has token {largest}, but the model only {} tokens", config.vocab_size);
        return Err(load_error(path, &reason));
    }
    Ok(tokenizer)
}

pub(super) fn read_encoder(path: &Path, config: &Config) -> Result<Encoder, EmbedError> {
    let bytes = std::fs::read(path).map_err(|e| load_error(path, &e))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| load_error(path, &e))?;
    encoder(&Tensors(tensors), config).map_err(|reason| load_error(path, &reason))
}

pub(super) fn load_error(path: &Path, reason: &impl ToString) -> EmbedError {
    EmbedError::Load { path: path.to_owned(), reason: reason.to_string() }
}

/// The tensors of the file, by name.
struct Tensors<'a>(SafeTensors<'a>);

impl Tensors<'_> {
    /// The values of the tensor `name`, which must have this shape.
    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.0.tensor(name).map_err(|e| e.to_string())?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let found = (tensor.dtype(), tensor.shape());
            return Err(format!("{name} is {found:?}, where the configuration asks for F32 {shape:?}"));
        }
        Ok(tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// The linear layers `names`, one below the other, as one.
    fn linear(&self, names: &[String], n_out: usize, n_in: usize) -> Result<Linear, String> {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weights.append(&mut self.values(&format!("{name}.weight"), &[n_out, n_in])?);
            bias.append(&mut self.values(&format!("{name}.bias"), &[n_out])?);
        }
        let weight = DenseWeight::from_f32(&weights, bias.len(), n_in).map_err(|e| e.to_string())?;
        Ok(Linear { weight, bias })
    }

    fn norm(&self, name: &str, config: &Config) -> Result<Norm, String> {
        let shape = [config.hidden_size];
        Ok(Norm {
            weight: self.values(&format!("{name}.weight"), &shape)?,
            bias: self.values(&format!("{name}.bias"), &shape)?,
            epsilon: config.layer_norm_eps as f32,
        })
    }
}

fn encoder(tensors: &Tensors<'_>, config: &Config) -> Result<Encoder, String> {
    let layers =
        (0..config.num_hidden_layers).map(|i| layer(tensors, config, i)).collect::<Result<_, _>>()?;
    Ok(Encoder { embeddings: embeddings(tensors, config)?, layers })
}

fn embeddings(tensors: &Tensors<'_>, config: &Config) -> Result<Embeddings, String> {
    let size = config.hidden_size;
    let table = |name: &str, rows: usize| tensors.values(&format!("embeddings.{name}.weight"), &[rows, size]);
    let words = table("word_embeddings", config.vocab_size)?;
    let mut positions = table("position_embeddings", config.max_position_embeddings)?;
    // Every token of a lone text has type 0, so that its embedding belongs to the position's.
    let types = table("token_type_embeddings", config.type_vocab_size)?;
    for row in positions.chunks_exact_mut(size) {
        row.iter_mut().zip(&types).for_each(|(x, token_type)| *x += token_type);
    }
    Ok(Embeddings {
        words: words.into_iter().map(bf16::from_f32).collect(),
        positions,
        norm: tensors.norm("embeddings.LayerNorm", config)?,
    })
}

fn layer(tensors: &Tensors<'_>, config: &Config, index: usize) -> Result<Layer, String> {
    let (size, inner) = (config.hidden_size, config.intermediate_size);
    let name = |part: &str| format!("encoder.layer.{index}.{part}");
    let heads = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
    Ok(Layer {
        n_heads: config.num_attention_heads,
        qkv: tensors.linear(&heads, size, size)?,
        attention_out: tensors.linear(&[name("attention.output.dense")], size, size)?,
        attention_norm: tensors.norm(&name("attention.output.LayerNorm"), config)?,
        up: tensors.linear(&[name("intermediate.dense")], inner, size)?,
        down: tensors.linear(&[name("output.dense")], size, inner)?,
        norm: tensors.norm(&name("output.LayerNorm"), config)?,
    })
}
