use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, tensor::TensorView};

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

    write_weights(&dir.path().join("model.safetensors"), &serde_json::from_value(config).unwrap());
    dir
}

/// Random weights of the size that a trained model's have, under the names of the published file.
fn write_weights(path: &Path, config: &files::Config) {
    let (size, inner) = (config.hidden_size, config.intermediate_size);
    let mut shapes = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![config.vocab_size, size]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![config.max_position_embeddings, size]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![config.type_vocab_size, size]),
    ];
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for i in 0..config.num_hidden_layers {
        let mut linear = |name: &str, n_out: usize, n_in: usize| {
            shapes.push((format!("encoder.layer.{i}.{name}.weight"), vec![n_out, n_in]));
            shapes.push((format!("encoder.layer.{i}.{name}.bias"), vec![n_out]));
        };
        for name in ["self.query", "self.key", "self.value", "output.dense"] {
            linear(&format!("attention.{name}"), size, size);
        }
        linear("intermediate.dense", inner, size);
        linear("output.dense", size, inner);
        norms
            .extend(["attention.output", "output"].map(|name| format!("encoder.layer.{i}.{name}.LayerNorm")));
    }
    for name in norms {
        shapes.extend(["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![size])));
    }
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let bytes: Vec<Vec<u8>> = shapes
        .iter()
        .map(|(_, shape)| (0..shape.iter().product()).flat_map(|_| random().to_le_bytes()).collect())
        .collect();
    let tensors = shapes
        .iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(tensors, None, path).unwrap();
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

/// The cosine of a text's vector and the one of candle's network in f32.
fn cosine_to_reference(model: &MiniLm, reference: &CandleBert, text: &str) -> f32 {
    let ids = model.tokenize(&[text]).unwrap().remove(0);
    let mut want = reference.pooled(&ids).unwrap();
    normalize(&mut want);
    let vector = model.embed(&[text]).unwrap().remove(0);
    vector.iter().zip(&want).map(|(x, y)| x * y).sum()
}

#[test]
fn the_tiny_model_agrees_with_f32() {
    let dir = tiny_model();
    let (model, reference) = (load(&dir), CandleBert::load(dir.path(), &Device::Cpu).unwrap());
    for text in ["", "late", "where is my order", "the parcel is late again and again where is my order"] {
        let cosine = cosine_to_reference(&model, &reference, text);
        assert!(cosine > 0.999, "{text:?}: {cosine}");
    }
}

#[test]
fn the_real_model_agrees_with_f32() {
    let Some(dir) = testing::real_model_dir() else { return };
    let Some(model) = testing::real_model() else { return };
    let reference = CandleBert::load(&dir, &Device::Cpu).unwrap();
    let long = "My parcel of last week has not come, although the tracking page says so. ".repeat(20);
    let texts = [
        "",
        "?",
        "Where is my order?",
        "I was charged twice for order #10-4471 (card ending 0042) — please refund ONE of them!",
        "Wo bleibt mein Paket? Ich warte seit zwei Wochen.",
        "注文をキャンセルしたいのですが",
        "¿Puedo cambiar la dirección de envío? 🙏",
        &long,
    ];
    assert_eq!(model.tokenize(&[&long]).unwrap()[0].len(), MAX_TOKENS);
    for text in texts {
        let cosine = cosine_to_reference(&model, &reference, text);
        assert!(cosine > 0.999, "{text:?}: {cosine}");
    }
}

#[test]
fn many_texts_are_embedded_in_order_whatever_the_batches() {
    let model = load(&tiny_model());
    let texts: Vec<String> = (0..200)
        .map(|i| WORDS[4..].iter().cycle().skip(i).take(i % 21).copied().collect::<Vec<_>>().join(" "))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = model.embed(&texts).unwrap();
    for i in [0, 1, 57, 120, 199] {
        assert_eq!(model.embed(&texts[i..=i]).unwrap()[0], together[i], "text {i}");
    }
}

#[test]
fn a_configuration_that_cannot_run_is_told() {
    let dir = tiny_model();
    let path = dir.path().join("config.json");
    let config = std::fs::read_to_string(&path).unwrap();
    for (from, to, told) in [
        ("\"gelu\"", "\"relu\"", "relu"),
        ("\"num_attention_heads\":2", "\"num_attention_heads\":3", "3 heads"),
        ("\"hidden_size\":16", "\"hidden_size\":18", "18"),
        ("\"vocab_size\":12", "\"vocab_size\":11", "token 11"),
    ] {
        assert!(config.contains(from));
        std::fs::write(&path, config.replace(from, to)).unwrap();
        let error = MiniLm::load(dir.path(), &Device::Cpu).err().expect("must fail");
        assert!(error.to_string().contains(told), "{error}");
    }
}
