//! Tiny models with random weights, and the GGUF files that hold them.

use std::{collections::BTreeMap, io::Seek};

use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::NamedTempFile;
use tier0::model::{
    Batch, BlockId, Decoder, Gguf, KvCache, KvCacheSpec, Logits, ModelError, SequenceSlice, TokenId,
};

/// Positions that the tests' models are loaded for.
pub(super) const CONTEXT: usize = 64;
/// Tokens in a cache block of the tests.
pub(super) const BLOCK: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Architecture {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }
}

/// What a tiny model is like: the file's metadata and the reference are both made from it.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) architecture: Architecture,
    pub(super) n_vocab: usize,
    pub(super) hidden: usize,
    pub(super) ffn: usize,
    pub(super) n_heads: usize,
    pub(super) n_kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) n_layers: usize,
    pub(super) epsilon: f32,
    pub(super) rope_base: f32,
    /// Linear RoPE scaling.
    pub(super) rope_factor: Option<f32>,
    /// Llama 3's divisors of the frequencies.
    pub(super) rope_divisors: Option<Vec<f32>>,
    pub(super) window: Option<usize>,
    /// No output projection in the file: the embeddings serve as it.
    pub(super) tied: bool,
}

impl Recipe {
    /// Grouped queries, heads whose length is not hidden / heads, and what is the architecture's own.
    pub(super) fn of(architecture: Architecture) -> Self {
        let gemma = architecture == Architecture::Gemma3;
        Self {
            architecture,
            n_vocab: 50,
            hidden: 64,
            ffn: 96,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 24,
            // Gemma's sixth layer is the first that sees everything.
            n_layers: if gemma { 7 } else { 3 },
            epsilon: 1e-5,
            rope_base: 50_000.0,
            rope_factor: gemma.then_some(8.0),
            rope_divisors: None,
            window: gemma.then_some(5),
            tied: false,
        }
    }

    /// Sizes of whole K-quant blocks.
    pub(super) fn in_whole_blocks(self) -> Self {
        Self { n_vocab: 64, hidden: 256, ffn: 256, head_dim: 64, ..self }
    }
}

/// A tiny model's file in the making: tests take things out and put wrong ones in.
#[derive(Debug)]
pub(super) struct TinyFile {
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: BTreeMap<String, QTensor>,
}

impl TinyFile {
    /// Random weights after a recipe, the matrices in `dtype`, all else in F32.
    pub(super) fn random(recipe: &Recipe, dtype: GgmlDType) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut tensors = BTreeMap::new();
        for (name, shape) in shapes(recipe) {
            let values = random_values(&mut rng, &name, &shape);
            let dtype = if shape.len() == 2 { dtype } else { GgmlDType::F32 };
            tensors.insert(name, quantised(&values, &shape, dtype));
        }
        if let Some(divisors) = &recipe.rope_divisors {
            let tensor = quantised(divisors, &[divisors.len()], GgmlDType::F32);
            tensors.insert("rope_freqs.weight".to_owned(), tensor);
        }
        Self { metadata: metadata(recipe), tensors }
    }

    /// Every tensor's values, as a reader of the file gets them back.
    pub(super) fn weights(&self) -> BTreeMap<String, Vec<f32>> {
        let values = |t: &QTensor| t.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>();
        self.tensors.iter().map(|(name, t)| (name.clone(), values(t).unwrap())).collect()
    }

    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.metadata.insert(key.to_owned(), value);
    }

    pub(super) fn save(&self) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        let metadata: Vec<_> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<_> = self.tensors.iter().map(|(name, t)| (name.as_str(), t)).collect();
        gguf_file::write(file.as_file_mut(), &metadata, &tensors).unwrap();
        file.as_file_mut().rewind().unwrap();
        file
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.save().path()).unwrap()
    }

    pub(super) fn load(&self) -> Result<Decoder, ModelError> {
        Decoder::load(&Gguf::open(self.save().path())?, CONTEXT, &Device::Cpu)
    }
}

pub(super) fn quantised(values: &[f32], shape: &[usize], dtype: GgmlDType) -> QTensor {
    let tensor = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    QTensor::quantize(&tensor, dtype).unwrap()
}

/// The tensors of an architecture, by their GGUF names: `[n_out, n_in]` for matrices.
fn shapes(recipe: &Recipe) -> Vec<(String, Vec<usize>)> {
    let Recipe { architecture, n_vocab, hidden, ffn, head_dim, .. } = *recipe;
    let (query, kv) = (recipe.n_heads * head_dim, recipe.n_kv_heads * head_dim);
    let mut all = vec![
        ("token_embd.weight".to_owned(), vec![n_vocab, hidden]),
        ("output_norm.weight".to_owned(), vec![hidden]),
    ];
    if !recipe.tied {
        all.push(("output.weight".to_owned(), vec![n_vocab, hidden]));
    }
    for layer in 0..recipe.n_layers {
        let mut add = |name: &str, shape: &[usize]| all.push((format!("blk.{layer}.{name}"), shape.to_vec()));
        add("attn_norm.weight", &[hidden]);
        add("attn_q.weight", &[query, hidden]);
        add("attn_k.weight", &[kv, hidden]);
        add("attn_v.weight", &[kv, hidden]);
        add("attn_output.weight", &[hidden, query]);
        add("ffn_norm.weight", &[hidden]);
        add("ffn_gate.weight", &[ffn, hidden]);
        add("ffn_up.weight", &[ffn, hidden]);
        add("ffn_down.weight", &[hidden, ffn]);
        if architecture == Architecture::Qwen2 {
            add("attn_q.bias", &[query]);
            add("attn_k.bias", &[kv]);
            add("attn_v.bias", &[kv]);
        }
        if matches!(architecture, Architecture::Qwen3 | Architecture::Gemma3) {
            add("attn_q_norm.weight", &[head_dim]);
            add("attn_k_norm.weight", &[head_dim]);
        }
        if architecture == Architecture::Gemma3 {
            add("post_attention_norm.weight", &[hidden]);
            add("post_ffw_norm.weight", &[hidden]);
        }
    }
    all
}

/// Values that keep activations near 1: matrices by the width they sum over, norms around 1.
fn random_values(rng: &mut ChaCha8Rng, name: &str, shape: &[usize]) -> Vec<f32> {
    let (low, high) = match shape {
        [_, n_in] if !name.starts_with("token_embd") => {
            let reach = (3.0 / *n_in as f32).sqrt();
            (-reach, reach)
        }
        _ if name.contains("norm") => (0.5, 1.5),
        _ => (-1.0, 1.0),
    };
    (0..shape.iter().product()).map(|_| rng.random_range(low..high)).collect()
}

fn metadata(recipe: &Recipe) -> BTreeMap<String, Value> {
    let count = |n: usize| Value::U32(n as u32);
    let mut own = vec![
        ("block_count", count(recipe.n_layers)),
        ("context_length", count(4096)),
        ("embedding_length", count(recipe.hidden)),
        ("feed_forward_length", count(recipe.ffn)),
        ("attention.head_count", count(recipe.n_heads)),
        ("attention.head_count_kv", count(recipe.n_kv_heads)),
        ("attention.key_length", count(recipe.head_dim)),
        ("attention.value_length", count(recipe.head_dim)),
        ("attention.layer_norm_rms_epsilon", Value::F32(recipe.epsilon)),
        ("rope.freq_base", Value::F32(recipe.rope_base)),
    ];
    if let Some(factor) = recipe.rope_factor {
        own.push(("rope.scaling.type", Value::String("linear".to_owned())));
        own.push(("rope.scaling.factor", Value::F32(factor)));
    }
    own.extend(recipe.window.map(|window| ("attention.sliding_window", count(window))));
    let name = recipe.architecture.name();
    let mut all: BTreeMap<_, _> = own.into_iter().map(|(key, v)| (format!("{name}.{key}"), v)).collect();
    all.insert("general.architecture".to_owned(), Value::String(name.to_owned()));
    all
}

/// `n` token ids of a vocabulary, the same ones for the same seed.
pub(super) fn random_tokens(n: usize, n_vocab: usize, seed: u64) -> Vec<TokenId> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| TokenId(rng.random_range(0..n_vocab as u32))).collect()
}

/// A decoder with a cache, fed step by step.
pub(super) struct Session<'a> {
    decoder: &'a Decoder,
    cache: KvCache,
    logits: Logits,
}

impl<'a> Session<'a> {
    /// An empty cache of 24 blocks.
    pub(super) fn new(decoder: &'a Decoder, dtype: DType) -> Self {
        let cache = decoder.new_cache(KvCacheSpec { n_blocks: 24, block_size: BLOCK }, dtype).unwrap();
        Self { decoder, cache, logits: Logits::default() }
    }

    /// Runs one batch; the logits of its sampled sequences.
    pub(super) fn step(&mut self, sequences: &[SequenceSlice<'_>]) -> Vec<Vec<f32>> {
        let batch = Batch::new(sequences, BLOCK).unwrap();
        self.decoder.forward(&batch, &mut self.cache, &mut self.logits).unwrap();
        self.logits.rows().map(<[f32]>::to_vec).collect()
    }

    /// Runs a sequence in chunks of the given lengths; the logits behind each chunk.
    pub(super) fn chunks(&mut self, tokens: &[TokenId], blocks: &[BlockId], lens: &[usize]) -> Vec<Vec<f32>> {
        assert_eq!(lens.iter().sum::<usize>(), tokens.len(), "the chunks must cover the tokens");
        let mut offset = 0;
        let mut all = Vec::new();
        for len in lens {
            let tokens = &tokens[offset..offset + len];
            all.extend(self.step(&[SequenceSlice { tokens, offset, blocks, n_sampled: 1 }]));
            offset += len;
        }
        all
    }
}

/// The blocks `0, 1, 2, …`
pub(super) fn blocks_in_order(n_blocks: u32) -> Vec<BlockId> {
    (0..n_blocks).map(BlockId).collect()
}

pub(super) fn bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}

/// Root mean square of the differences, relative to that of `wanted`.
pub(super) fn relative_error(got: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(got.len(), wanted.len(), "rows of different length");
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = square(&mut got.iter().zip(wanted).map(|(g, w)| f64::from(*g) - w));
    (difference / square(&mut wanted.iter().copied())).sqrt()
}
