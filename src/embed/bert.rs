//! all-MiniLM-L6-v2: a six-layer BERT whose mean-pooled, normalised output is the embedding.
//!
//! Pooling and normalisation follow the model's card; sentences longer than [`MAX_TOKENS`] are cut.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rayon::prelude::*;
use tokenizers::{Tokenizer, TruncationParams};

use super::{Embed, EmbedError, normalize};

/// Most tokens of a text that are read, `[CLS]` and `[SEP]` included: what the model was tuned for.
const MAX_TOKENS: usize = 256;

/// The sentence-embedding model all-MiniLM-L6-v2, or any BERT of the same file layout.
///
/// Every text runs in a forward pass of its own. No padding enters its arithmetic and no matrix
/// changes shape with its neighbours, so its vector has the same bits alone and in any batch; on
/// the CPU the texts of a batch run beside each other.
pub struct MiniLm {
    model: BertModel,
    tokenizer: Tokenizer,
    dim: usize,
}

impl MiniLm {
    /// Loads `model.safetensors`, `tokenizer.json` and `config.json` from `dir`.
    ///
    /// # Errors
    /// [`EmbedError::Load`] with the file that is missing, unreadable or not what it should be.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, EmbedError> {
        let config = read_config(&dir.join("config.json"))?;
        let tokenizer = read_tokenizer(&dir.join("tokenizer.json"), &config)?;
        let model = read_model(&dir.join("model.safetensors"), &config, device)?;
        Ok(Self { model, tokenizer, dim: config.hidden_size })
    }

    fn embed_one(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let encoding = self.tokenizer.encode(text, true).map_err(|e| EmbedError::Run(e.to_string()))?;
        self.pooled(encoding.get_ids()).map_err(|e| EmbedError::Run(e.to_string()))
    }

    /// `[n_tokens]` ids to one unit vector `[dim]`. The text stands alone, so every position
    /// counts and the attention mask is all ones.
    fn pooled(&self, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::new(ids, &self.model.device)?.unsqueeze(0)?;
        let token_types = ids.zeros_like()?;
        let hidden = self.model.forward(&ids, &token_types, None)?;
        let mut vector = hidden.mean(1)?.squeeze(0)?.to_vec1::<f32>()?;
        normalize(&mut vector);
        Ok(vector)
    }
}

impl Embed for MiniLm {
    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if self.model.device.is_cpu() {
            texts.par_iter().map(|text| self.embed_one(text)).collect()
        } else {
            texts.iter().map(|text| self.embed_one(text)).collect()
        }
    }
}

fn read_config(path: &Path) -> Result<Config, EmbedError> {
    let config = std::fs::read(path).map_err(|e| load_error(path, &e))?;
    serde_json::from_slice(&config).map_err(|e| load_error(path, &e))
}

fn read_tokenizer(path: &Path, config: &Config) -> Result<Tokenizer, EmbedError> {
    let mut tokenizer = Tokenizer::from_file(path).map_err(|e| load_error(path, &e))?;
    let truncation = TruncationParams {
        max_length: MAX_TOKENS.min(config.max_position_embeddings),
        ..TruncationParams::default()
    };
    // The published file pads every text to a fixed length; alone, a text needs no padding.
    tokenizer.with_padding(None).with_truncation(Some(truncation)).map_err(|e| load_error(path, &e))?;
    // A customer who types "[SEP]" has typed five characters, not ended the sentence.
    tokenizer.set_encode_special_tokens(true);
    Ok(tokenizer)
}

fn read_model(path: &Path, config: &Config, device: &Device) -> Result<BertModel, EmbedError> {
    let weights = std::fs::read(path).map_err(|e| load_error(path, &e))?;
    VarBuilder::from_buffered_safetensors(weights, DType::F32, device)
        .and_then(|weights| BertModel::load(weights, config))
        .map_err(|e| load_error(path, &e))
}

fn load_error(path: &Path, reason: &impl ToString) -> EmbedError {
    EmbedError::Load { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

    use std::collections::HashMap;

    use candle_nn::VarMap;

    use super::*;
    use crate::embed::testing;

    const WORDS: [&str; 12] =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "my", "order", "the", "parcel", "late", "again"];

    /// A two-layer BERT with random weights, in the files that [`MiniLm::load`] reads.
    fn tiny_model() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "vocab_size": WORDS.len(), "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 32, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0, "max_position_embeddings": 24, "type_vocab_size": 2,
            "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
            "model_type": "bert",
        });
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), tiny_tokenizer().to_string()).unwrap();

        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        BertModel::load(builder, &serde_json::from_value(config).unwrap()).unwrap();
        variables.save(dir.path().join("model.safetensors")).unwrap();
        dir
    }

    fn tiny_tokenizer() -> serde_json::Value {
        let special = |id: usize| {
            serde_json::json!({
                "id": id, "content": WORDS[id], "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false,
            })
        };
        let vocabulary: HashMap<_, _> = WORDS.iter().zip(0..).collect();
        serde_json::json!({
            "version": "1.0",
            "truncation": null,
            "padding": {
                "strategy": {"Fixed": 24}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
            },
            "added_tokens": [special(0), special(1), special(2), special(3)],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
            },
            "decoder": null,
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary,
            },
        })
    }

    fn load(dir: &tempfile::TempDir) -> MiniLm {
        MiniLm::load(dir.path(), &Device::Cpu).unwrap()
    }

    #[test]
    fn vectors_have_the_model_s_width_and_norm_one() {
        let model = load(&tiny_model());
        let vectors = model.embed(&["where is my order", "", "late again"]).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            assert_eq!(vector.len(), model.dim());
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((norm - 1.0).abs() < 1e-5, "norm {norm}");
        }
    }

    #[test]
    fn a_text_has_the_same_bits_alone_and_in_any_batch() {
        let model = load(&tiny_model());
        let texts = ["where is my order", "late", "the parcel is late again and again", "where is my parcel"];
        let together = model.embed(&texts).unwrap();
        for (text, vector) in texts.iter().zip(&together) {
            assert_eq!(&model.embed(&[text]).unwrap()[0], vector, "{text:?} depends on its batch");
        }
    }

    #[test]
    fn texts_are_cut_at_the_limit_and_not_before() {
        let model = load(&tiny_model());
        let words = |n: usize, last: &str| format!("{}{last}", "my ".repeat(n));
        // The tiny model reads 24 tokens: [CLS], 22 words, [SEP].
        let embed = |text: String| model.embed(&[&text]).unwrap().remove(0);
        assert_ne!(embed(words(21, "order")), embed(words(21, "late")));
        assert_eq!(embed(words(22, "order")), embed(words(22, "late")));
    }

    #[test]
    fn control_tokens_in_a_text_are_plain_characters() {
        let model = load(&tiny_model());
        let ids = model.tokenizer.encode("late [SEP] again", true).unwrap();
        assert_eq!(ids.get_ids().iter().filter(|&&id| id == 3).count(), 1);
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = tiny_model();
        std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
        let error = MiniLm::load(dir.path(), &Device::Cpu).err().expect("must fail");
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }

    #[test]
    fn a_weights_file_that_is_none_is_named() {
        let dir = tiny_model();
        std::fs::write(dir.path().join("model.safetensors"), "not weights").unwrap();
        let error = MiniLm::load(dir.path(), &Device::Cpu).err().expect("must fail");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }

    /// The similarities that the model's publishers show for their example sentences.
    #[test]
    fn the_real_model_agrees_with_its_published_similarities() {
        let Some(model) = testing::real_model() else {
            return;
        };
        let texts = [
            "That is a happy person",
            "That is a happy dog",
            "That is a very happy person",
            "Today is a sunny day",
        ];
        let vectors = model.embed(&texts).unwrap();
        assert_eq!(model.dim(), 384);
        for (vector, published) in vectors[1..].iter().zip([0.695, 0.943, 0.257]) {
            let similarity: f32 = vectors[0].iter().zip(vector).map(|(x, y)| x * y).sum();
            assert!((similarity - published).abs() < 2e-3, "{similarity}, not {published}");
        }
    }
}
