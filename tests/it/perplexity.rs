//! What packing weights and quantising activations costs: perplexity of a fixed text, against the same
//! weights in f32.

use std::path::PathBuf;

use candle_core::{DType, Device};
use rstest::rstest;
use tier0::model::{
    Batch, BlockId, CausalLm, Decoder, Forward, Gguf, KvCacheSpec, Logits, SequenceSlice, TokenId, Tokenizer,
};

use crate::models;

/// Tokens that are read; the first is not guessed.
const N_TOKENS: usize = 384;
/// How much worse, or better, the perplexity may be.
const TOLERANCE: f64 = 0.005;
const BLOCK_SIZE: usize = 16;

/// The demo store's articles, in order of their names.
fn text() -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/demo-store/policies");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<Vec<_>>().join("\n")
}

/// `exp(−mean ln p)` over the text's tokens but the first.
fn perplexity(gguf: &Gguf, kv: DType, tokens: &[TokenId]) -> f64 {
    let decoder = Decoder::load(gguf, N_TOKENS, &Device::Cpu).unwrap();
    let n_blocks = N_TOKENS.div_ceil(BLOCK_SIZE);
    let cache = decoder.new_cache(KvCacheSpec { n_blocks, block_size: BLOCK_SIZE }, kv).unwrap();
    let blocks: Vec<BlockId> = (0..n_blocks as u32).map(BlockId).collect();
    let slice = SequenceSlice { tokens, offset: 0, blocks: &blocks, n_sampled: tokens.len() };
    let batch = Batch::new(&[slice], BLOCK_SIZE).unwrap();
    let mut logits = Logits::default();
    CausalLm::new(decoder, cache).forward(&batch, &mut logits).unwrap();
    let surprise = logits
        .rows()
        .zip(&tokens[1..])
        .map(|(row, token)| tier0_kernels::log_sum_exp(row) - f64::from(row[token.0 as usize]));
    (surprise.sum::<f64>() / (tokens.len() - 1) as f64).exp()
}

fn packed_weights_keep_the_perplexity(id: &str) {
    let _turn = models::my_turn_blocking();
    let Some(model) = models::local(id) else { return };
    let open = || Gguf::open(&model.gguf().unwrap()).unwrap();
    let mut tokens = Tokenizer::from_gguf(&open()).unwrap().encode(&text()).unwrap();
    tokens.truncate(N_TOKENS);
    let packed = perplexity(&open(), DType::BF16, &tokens);
    let exact = perplexity(&open().dequantised(), DType::F32, &tokens);
    eprintln!(
        "{id}: perplexity {packed:.4} packed, {exact:.4} in f32, {:+.3} %",
        100.0 * (packed / exact - 1.0)
    );
    assert!((packed / exact - 1.0).abs() < TOLERANCE, "{id}: {packed} packed, {exact} in f32");
}

#[rstest]
#[case("smollm2-135m-instruct")]
#[case("qwen2.5-coder-0.5b-instruct")]
fn packing_keeps_the_perplexity(#[case] id: &str) {
    packed_weights_keep_the_perplexity(id);
}

#[test]
#[ignore = "takes six gigabytes and a minute"]
fn packing_keeps_the_perplexity_of_the_default_model() {
    packed_weights_keep_the_perplexity("qwen2.5-coder-1.5b-instruct");
}
