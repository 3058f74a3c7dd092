//! The differences between architectures, as data.

use crate::ops::{Gate, Pairing, RopeSpec};

use super::{Gguf, ModelError};

/// The architectures that [`ModelConfig`] can express.
pub(super) const SUPPORTED: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

/// Sizes and architecture of a decoder. Once it is read, no code asks for the architecture's name.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Size of the vocabulary.
    pub n_vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward layers.
    pub ffn_hidden: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key and value heads.
    pub n_kv_heads: usize,
    /// Length of a head's vectors.
    pub head_dim: usize,
    /// Most positions the model was made for.
    pub context_length: usize,
    /// ε of the RMS norms.
    pub norm_epsilon: f32,
    /// Factor on the attention scores.
    pub attention_scale: f32,
    /// Gate of the feed-forward layers.
    pub gate: Gate,
    /// Factor on the token embeddings.
    pub embedding_scale: f64,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// RMS norms on query and key heads, before RoPE.
    pub qk_norm: bool,
    /// RMS norms after attention and feed-forward, before the residual sum.
    pub post_norms: bool,
    /// RoPE of the layers with full attention.
    pub rope: RopeSpec,
    /// RoPE of the layers with a sliding window, if there are any.
    pub sliding_rope: Option<RopeSpec>,
    /// The attention window of each layer.
    pub layers: Vec<AttentionWindow>,
}

/// How far back a layer's attention reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionWindow {
    /// To the sequence's first token.
    Full,
    /// This many tokens, the current one included.
    Sliding(usize),
}

/// What distinguishes the architectures beside their sizes.
struct Traits {
    pairing: Pairing,
    gate: Gate,
    qkv_bias: bool,
    qk_norm: bool,
    post_norms: bool,
    scaled_embedding: bool,
    /// Every `full_every`th layer has full attention, the others a sliding window.
    full_every: usize,
}

const LLAMA: Traits = Traits {
    pairing: Pairing::Interleaved,
    gate: Gate::Silu,
    qkv_bias: false,
    qk_norm: false,
    post_norms: false,
    scaled_embedding: false,
    full_every: 1,
};
const QWEN2: Traits = Traits { pairing: Pairing::Neox, qkv_bias: true, ..LLAMA };
const QWEN3: Traits = Traits { pairing: Pairing::Neox, qk_norm: true, ..LLAMA };
const GEMMA3: Traits =
    Traits { gate: Gate::GeluTanh, post_norms: true, scaled_embedding: true, full_every: 6, ..QWEN3 };

/// RoPE base of Gemma 3's sliding layers, if the file has none (Gemma 3 report, 2025).
const GEMMA3_SLIDING_ROPE_BASE: f32 = 10_000.0;
/// RoPE base if the file has none.
const DEFAULT_ROPE_BASE: f32 = 10_000.0;
/// Layers of Gemma 3 27B, the one size that scales its scores by hidden/heads instead of `head_dim`.
const GEMMA3_27B_LAYERS: usize = 62;

impl ModelConfig {
    /// Reads the configuration from a file's metadata.
    ///
    /// # Errors
    /// When the architecture is not supported or a key is missing or senseless.
    pub fn read(gguf: &Gguf) -> Result<Self, ModelError> {
        let traits = match gguf.architecture() {
            "llama" => LLAMA,
            "qwen2" => QWEN2,
            "qwen3" => QWEN3,
            "gemma3" => GEMMA3,
            other => {
                return Err(ModelError::UnsupportedArchitecture {
                    path: gguf.path().to_owned(),
                    architecture: other.to_owned(),
                });
            }
        };
        let hidden = gguf.count("embedding_length")?;
        let n_heads = gguf.count("attention.head_count")?;
        let n_kv_heads = gguf.count_opt("attention.head_count_kv")?.unwrap_or(n_heads);
        if n_kv_heads == 0 || !n_heads.is_multiple_of(n_kv_heads) {
            let reason = format!("{n_heads} query heads do not divide evenly over {n_kv_heads} KV heads");
            return Err(ModelError::Metadata { key: "attention.head_count_kv".to_owned(), reason });
        }
        let head_dim = gguf.count_opt("attention.key_length")?.unwrap_or(hidden / n_heads);
        if n_heads.checked_mul(head_dim).is_none() {
            let reason = format!("{n_heads} heads of {head_dim} components are too large");
            return Err(ModelError::Metadata { key: "attention.key_length".to_owned(), reason });
        }
        let n_layers = read_n_layers(gguf)?;
        let n_rows = gguf.n_rows("token_embd.weight").filter(|n| *n > 0);
        let n_vocab = n_rows.ok_or_else(|| ModelError::Tensor {
            name: "token_embd.weight".to_owned(),
            reason: "it is missing or empty".to_owned(),
        })?;
        let scale_dim = match (gguf.architecture(), n_layers) {
            ("gemma3", GEMMA3_27B_LAYERS) => hidden / n_heads,
            _ => head_dim,
        };
        // Some writers put 0 where there is no window.
        let window = gguf.count_opt("attention.sliding_window")?.filter(|window| *window > 0);
        let layers: Vec<_> = (0..n_layers)
            .map(|layer| match window {
                Some(window) if (layer + 1) % traits.full_every != 0 => AttentionWindow::Sliding(window),
                _ => AttentionWindow::Full,
            })
            .collect();
        let rope = read_rope(gguf, &traits, head_dim)?;
        let sliding_rope = match layers.iter().any(|l| matches!(l, AttentionWindow::Sliding(_))) {
            true => Some(RopeSpec {
                base: gguf.real_opt("rope.freq_base_swa")?.unwrap_or(GEMMA3_SLIDING_ROPE_BASE),
                scale: 1.0,
                ..rope.clone()
            }),
            false => None,
        };
        Ok(Self {
            n_vocab,
            hidden,
            ffn_hidden: gguf.count("feed_forward_length")?,
            n_heads,
            n_kv_heads,
            head_dim,
            context_length: gguf.count("context_length")?,
            norm_epsilon: gguf.real_opt("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6),
            attention_scale: 1.0 / (scale_dim as f32).sqrt(),
            gate: traits.gate,
            embedding_scale: if traits.scaled_embedding { f64::from((hidden as f32).sqrt()) } else { 1.0 },
            qkv_bias: traits.qkv_bias,
            qk_norm: traits.qk_norm,
            post_norms: traits.post_norms,
            rope,
            sliding_rope,
            layers,
        })
    }
}

/// The layer count, checked against the tensor count before anything is allocated by it.
fn read_n_layers(gguf: &Gguf) -> Result<usize, ModelError> {
    let (n_layers, n_tensors) = (gguf.count("block_count")?, gguf.n_tensors());
    if n_layers > n_tensors {
        let reason = format!("it says {n_layers} layers, but the file has only {n_tensors} tensors");
        return Err(ModelError::Metadata { key: "block_count".to_owned(), reason });
    }
    Ok(n_layers)
}

fn read_rope(gguf: &Gguf, traits: &Traits, head_dim: usize) -> Result<RopeSpec, ModelError> {
    let dim = gguf.count_opt("rope.dimension_count")?.unwrap_or(head_dim);
    let key = || format!("{}.rope.dimension_count", gguf.architecture());
    if dim == 0 || dim > head_dim || dim % 2 != 0 {
        let reason = format!("{dim} components cannot be rotated in heads of {head_dim}");
        return Err(ModelError::Metadata { key: key(), reason });
    }
    let scale = match gguf.text_opt("rope.scaling.type") {
        Some("linear") => gguf.real_opt("rope.scaling.factor")?.unwrap_or(1.0),
        Some("none" | "") | None => 1.0,
        Some(other) => {
            let reason = format!("scaling of type `{other}` is not supported (none and linear are)");
            return Err(ModelError::Metadata { key: "rope.scaling.type".to_owned(), reason });
        }
    };
    let base = gguf.real_opt("rope.freq_base")?.unwrap_or(DEFAULT_ROPE_BASE);
    let divisors = match gguf.has_tensor("rope_freqs.weight") {
        true => {
            let cpu = candle_core::Device::Cpu;
            Some(gguf.plain("rope_freqs.weight", &[dim / 2], &cpu)?.to_vec1::<f32>()?)
        }
        false => None,
    };
    Ok(RopeSpec { pairing: traits.pairing, dim, base, scale, divisors })
}
