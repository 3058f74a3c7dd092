//! Files that are no model, or not one that can be run: an error that says what is wrong, and
//! never a panic.

use std::{io::Write, path::Path};

use candle_core::{
    DType, Device,
    quantized::{GgmlDType, gguf_file::Value},
};
use proptest::prelude::*;
use rstest::rstest;
use tempfile::NamedTempFile;
use tier0::model::{Batch, Decoder, Gguf, KvCacheSpec, Logits, ModelError, SequenceSlice, Tokenizer};

use super::files::{
    Architecture, BLOCK, CONTEXT, Recipe, Session, TinyFile, blocks_in_order, quantised, random_tokens,
};

fn small() -> TinyFile {
    TinyFile::random(&Recipe { n_layers: 1, ..Recipe::of(Architecture::Qwen2) }, GgmlDType::Q8_0)
}

fn written(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn open(bytes: &[u8]) -> Result<Gguf, ModelError> {
    Gguf::open(written(bytes).path())
}

/// Where a tensor's description stands in a file, behind its name.
fn behind_name(bytes: &[u8], tensor: &str) -> usize {
    let at = bytes.windows(tensor.len()).position(|window| window == tensor.as_bytes());
    at.expect("the file names the tensor") + tensor.len()
}

fn refusal(file: &TinyFile) -> String {
    file.load().expect_err("the file must be refused").to_string()
}

#[test]
fn a_missing_file_is_named() {
    let error = Gguf::open(Path::new("no/such/model.gguf")).unwrap_err();
    assert!(matches!(&error, ModelError::Missing { path } if path.ends_with("model.gguf")), "{error}");
    assert!(error.to_string().contains("no/such/model.gguf"), "{error}");
}

#[test]
fn a_folder_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let error = Gguf::open(folder.path()).unwrap_err();
    assert!(matches!(error, ModelError::Io { .. }), "{error}");
}

#[rstest]
#[case(b"", "cut short")]
#[case(b"GG", "cut short")]
#[case(b"{\"weights\": \"elsewhere\"}", "magic")]
#[case(b"GGUF\x63\0\0\0\0\0\0\0\0\0\0\0", "version")]
fn what_is_not_gguf_is_malformed(#[case] bytes: &[u8], #[case] reason: &str) {
    let error = open(bytes).unwrap_err();
    assert!(matches!(error, ModelError::Malformed { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_header_cut_anywhere_is_cut_short() {
    let bytes = small().bytes();
    let header = behind_name(&bytes, "token_embd.weight");
    for len in (0..header).step_by(7) {
        let error = open(&bytes[..len]).unwrap_err();
        assert!(matches!(error, ModelError::Malformed { .. }), "cut at {len}: {error}");
        assert!(error.to_string().contains("cut short"), "cut at {len}: {error}");
    }
}

#[test]
fn tensor_data_cut_anywhere_is_truncated() {
    let bytes = small().bytes();
    let header = behind_name(&bytes, "token_embd.weight") + 64;
    for len in (header..bytes.len()).step_by(4099).chain([bytes.len() - 32]) {
        match open(&bytes[..len]).unwrap_err() {
            ModelError::Truncated { needed, actual, .. } => {
                assert_eq!(actual, len as u64);
                assert!(needed > actual && needed <= bytes.len() as u64, "{needed} of {}", bytes.len());
            }
            other => panic!("cut at {len}: {other}"),
        }
    }
    assert!(open(&bytes).is_ok());
}

#[test]
fn an_unknown_architecture_is_named_beside_the_known_ones() {
    let mut file = small();
    file.set("general.architecture", Value::String("mamba".to_owned()));
    let error = file.load().unwrap_err();
    assert!(
        matches!(&error, ModelError::UnsupportedArchitecture { architecture, .. } if architecture == "mamba")
    );
    for word in ["`mamba`", "llama", "qwen2", "qwen3", "gemma3"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// 23 is IQ4_XS.
#[rstest]
#[case(23)]
#[case(4_000_000_000)]
fn an_unknown_quantisation_is_refused(#[case] dtype: u32) {
    let mut bytes = small().bytes();
    // Behind the name: the number of dimensions (u32), two dimensions (u64), the type (u32).
    let at = behind_name(&bytes, "blk.0.attn_k.weight") + 4 + 16;
    bytes[at..at + 4].copy_from_slice(&dtype.to_le_bytes());
    let error = open(&bytes).unwrap_err();
    assert!(matches!(error, ModelError::UnsupportedQuantisation { .. }), "{error}");
    for word in [dtype.to_string().as_str(), "Q8_0", "Q6_K"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[rstest]
#[case("token_embd.weight")]
#[case("output_norm.weight")]
#[case("blk.0.attn_q.bias")]
#[case("blk.0.attn_output.weight")]
#[case("blk.0.ffn_norm.weight")]
fn a_missing_tensor_is_named(#[case] name: &str) {
    let mut file = small();
    assert!(file.tensors.remove(name).is_some());
    let text = refusal(&file);
    assert!(text.contains(&format!("`{name}`")) && text.contains("missing"), "{text}");
}

#[rstest]
#[case("blk.0.ffn_up.weight", &[64, 96], "[64, 96], expected [96, 64]")]
#[case("blk.0.attn_norm.weight", &[63], "[63], expected [64]")]
#[case("token_embd.weight", &[50, 32], "[50, 32], expected [50, 64]")]
#[case("output.weight", &[49, 64], "[49, 64], expected [50, 64]")]
fn a_misshapen_tensor_is_named_with_both_shapes(
    #[case] name: &str,
    #[case] shape: &[usize],
    #[case] reason: &str,
) {
    let mut file = small();
    let values = vec![0.0; shape.iter().product()];
    file.tensors.insert(name.to_owned(), quantised(&values, shape, GgmlDType::F32));
    let text = refusal(&file);
    assert!(text.contains(&format!("`{name}`")) && text.contains(reason), "{text}");
}

#[rstest]
#[case("general.architecture")]
#[case("qwen2.block_count")]
#[case("qwen2.context_length")]
#[case("qwen2.embedding_length")]
#[case("qwen2.feed_forward_length")]
#[case("qwen2.attention.head_count")]
fn a_missing_key_is_named(#[case] key: &str) {
    let mut file = small();
    assert!(file.metadata.remove(key).is_some());
    let text = refusal(&file);
    assert!(text.contains(&format!("`{key}`")) && text.contains("missing"), "{text}");
}

#[rstest]
#[case("attention.head_count_kv", Value::U32(3), "4 query heads do not divide evenly over 3 KV heads")]
#[case("attention.head_count_kv", Value::U32(0), "0 KV heads")]
#[case("attention.head_count", Value::U32(0), "it is 0")]
#[case("attention.head_count", Value::U32(u32::MAX), "heads")]
#[case("attention.head_count", Value::String("many".to_owned()), "not a count")]
#[case("attention.key_length", Value::U64(u64::MAX - 1), "too")]
#[case("attention.layer_norm_rms_epsilon", Value::Bool(true), "not a number")]
#[case("block_count", Value::I32(-1), "not a count")]
#[case("rope.dimension_count", Value::U32(25), "25 components cannot be rotated in heads of 24")]
#[case("rope.scaling.type", Value::String("yarn".to_owned()), "`yarn` is not supported")]
fn senseless_metadata_is_refused(#[case] key: &str, #[case] value: Value, #[case] reason: &str) {
    let mut file = small();
    file.set(&format!("qwen2.{key}"), value);
    let text = refusal(&file);
    assert!(text.contains(key) || text.contains("head_count"), "{text}");
    assert!(text.contains(reason), "{text}");
}

/// A count of layers is believed only as far as there are tensors for them: nothing is set aside
/// for four thousand million layers.
#[rstest]
#[case(Value::U32(2))]
#[case(Value::U32(u32::MAX))]
#[case(Value::U64(u64::MAX))]
fn layers_that_are_not_in_the_file_are_refused(#[case] n_layers: Value) {
    let mut file = small();
    file.set("qwen2.block_count", n_layers);
    let text = refusal(&file);
    assert!(text.contains("blk.") || text.contains("block_count"), "{text}");
}

#[test]
fn an_alignment_of_zero_is_malformed() {
    let mut file = small();
    file.set("general.alignment", Value::U32(0));
    let error = open(&file.bytes()).unwrap_err();
    assert!(matches!(error, ModelError::Malformed { .. }), "{error}");
}

#[test]
fn dimensions_whose_product_overflows_are_malformed() {
    let mut bytes = small().bytes();
    let at = behind_name(&bytes, "token_embd.weight") + 4;
    // 64 values a row, 2^58 rows: as many values as a usize has room for, and one more.
    bytes[at + 8..at + 16].copy_from_slice(&(1u64 << 58).to_le_bytes());
    let error = open(&bytes).unwrap_err();
    assert!(matches!(error, ModelError::Malformed { .. }), "{error}");
    assert!(error.to_string().contains("token_embd.weight"), "{error}");
}

/// Writers that know no window write 0.
#[test]
fn a_window_of_zero_is_none() {
    let recipe = Recipe { window: None, ..Recipe::of(Architecture::Gemma3) };
    let mut file = TinyFile::random(&recipe, GgmlDType::F32);
    let tokens = random_tokens(9, recipe.n_vocab, 1);
    let run = |file: &TinyFile| {
        let decoder = file.load().unwrap();
        Session::new(&decoder, DType::F32).chunks(&tokens, &blocks_in_order(3), &[9])
    };
    let without = run(&file);
    file.set("gemma3.attention.sliding_window", Value::U32(0));
    assert_eq!(run(&file), without);
}

/// Everything that a server does with a file before it answers.
fn use_file(bytes: &[u8]) {
    let file = written(bytes);
    let Ok(gguf) = Gguf::open(file.path()) else { return };
    let tokenizer = Tokenizer::from_gguf(&gguf);
    if let Ok(tokenizer) = tokenizer {
        let _ = tokenizer.encode("hello <|im_end|>");
    }
    if let Ok(decoder) = Decoder::load(&gguf, CONTEXT, &Device::Cpu) {
        let n_vocab = decoder.config().n_vocab;
        let tokens = random_tokens(5, n_vocab, 1);
        let slice = SequenceSlice { tokens: &tokens, offset: 0, blocks: &blocks_in_order(2), n_sampled: 1 };
        let batch = Batch::new(&[slice], BLOCK).unwrap();
        let spec = KvCacheSpec { n_blocks: 2, block_size: BLOCK };
        let mut cache = decoder.new_cache(spec, DType::BF16).unwrap();
        // A context shorter than the batch is an error.
        let mut logits = Logits::default();
        if decoder.forward(&batch, &mut cache, &mut logits).is_ok() {
            assert_eq!(logits.rows().map(<[f32]>::len).collect::<Vec<_>>(), [n_vocab]);
        }
    }
}

/// A whole model with a tokenizer, and where its tensor data starts.
fn whole_file() -> (Vec<u8>, usize) {
    let mut file =
        TinyFile::random(&Recipe { n_layers: 1, ..Recipe::of(Architecture::Gemma3) }, GgmlDType::Q8_0);
    file.metadata.extend(super::tokenizers::byte_level("gpt-2"));
    let bytes = file.bytes();
    let header = behind_name(&bytes, "token_embd.weight") + 32;
    (bytes, header)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// An allocation that a broken header talks the reader into would abort the test.
    #[test]
    fn a_broken_header_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (mut bytes, header) = whole_file();
        for (at, value) in changes {
            bytes[at.index(header)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        use_file(&bytes);
    }

    /// The numbers of the metadata, each replaced by one that somebody might write.
    #[test]
    fn wrong_numbers_never_panic(
        which in any::<prop::sample::Index>(),
        number in prop_oneof![
            Just(0u32), Just(1), Just(2), Just(3), Just(255), Just(65_536), Just(u32::MAX), any::<u32>(),
        ],
    ) {
        let recipe = Recipe { n_layers: 1, ..Recipe::of(Architecture::Gemma3) };
        let mut file = TinyFile::random(&recipe, GgmlDType::Q8_0);
        let keys: Vec<String> =
            file.metadata.iter().filter(|(_, v)| matches!(v, Value::U32(_))).map(|(k, _)| k.clone()).collect();
        file.set(&keys[which.index(keys.len())], Value::U32(number));
        use_file(&file.bytes());
    }
}
