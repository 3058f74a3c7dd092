//! The model against an independent engine: llama.cpp's logits, tokens and templates, in
//! `tests/golden/`, made by `make_goldens.py` there.
//!
//! The reference runs the same weights unpacked to f32. Two paths are held against it:
//!
//! - the weights dequantised to f32, where nothing but rounding differs: every top-20 logit agrees
//!   within [`EXACT_TOLERANCE`];
//! - the weights as they are stored, whose products quantise the activations to 8 bits. llama.cpp's
//!   own quantised products differ from the reference by up to `quantized_max_abs_diff`, which
//!   stands in the files; ours may differ by [`ROOM`] times as much.
//!
//! Where the reference's first two tokens are closer than the tolerance, the first is not compared;
//! the test prints how many positions that leaves out.

use std::path::PathBuf;

use candle_core::{DType, Device};
use rstest::rstest;
use serde::{Deserialize, de::DeserializeOwned};
use tier0::model::{
    Batch, BlockId, CausalLm, ChatTemplate, Decoder, Forward, Gguf, KvCacheSpec, Logits, SequenceSlice,
    TokenId, Tokenizer, chat::Message,
};

use crate::models;

/// Largest difference of a logit where both sides compute in f32.
const EXACT_TOLERANCE: f32 = 0.002;
/// How much further from the reference than llama.cpp's quantised products ours may be.
const ROOM: f32 = 1.5;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<Prompt>,
}

#[derive(Deserialize)]
struct Prompt {
    name: String,
    text: String,
    tokens: Vec<TokenId>,
    continuation: Vec<TokenId>,
    quantized_max_abs_diff: f32,
    positions: Vec<Position>,
}

#[derive(Deserialize)]
struct Position {
    position: usize,
    top: Vec<(u32, f32)>,
}

#[derive(Deserialize)]
struct Strings {
    strings: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    plain: Vec<TokenId>,
    special: Vec<TokenId>,
}

#[derive(Deserialize)]
struct Conversations {
    conversations: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Conversation {
    name: String,
    add_generation_prompt: bool,
    messages: Vec<Message>,
    text: String,
}

fn golden<T: DeserializeOwned>(file: &str) -> T {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn open(id: &str) -> Option<Gguf> {
    Some(Gguf::open(&models::local(id)?.gguf().unwrap()).unwrap())
}

/// What was compared, over all prompts of a model.
#[derive(Debug, Default)]
struct Tally {
    n_positions: usize,
    n_left_out: usize,
    largest_difference: f32,
}

/// Feeds every prompt with its continuation, token by token as the reference has them, and
/// compares the logits at the golden positions.
fn compare(gguf: &Gguf, kv: DType, golden: &Golden, tolerance: impl Fn(&Prompt) -> f32) -> Tally {
    let decoder = Decoder::load(gguf, 1024, &Device::Cpu).unwrap();
    let cache = decoder.new_cache(KvCacheSpec { n_blocks: 32, block_size: 32 }, kv).unwrap();
    let mut model = CausalLm::new(decoder, cache);
    let mut tally = Tally::default();
    for prompt in &golden.prompts {
        let tokens: Vec<TokenId> = prompt.tokens.iter().chain(&prompt.continuation).copied().collect();
        let tolerance = tolerance(prompt);
        let mut done = 0;
        for position in &prompt.positions {
            let logits = logits_behind(&mut model, &tokens[..=position.position], done);
            done = position.position + 1;
            check_position(prompt, position, &logits, tolerance, &mut tally);
        }
    }
    tally
}

/// The logits behind the last of `tokens`, of which `done` are cached.
fn logits_behind(model: &mut CausalLm, tokens: &[TokenId], done: usize) -> Vec<f32> {
    let blocks: Vec<BlockId> = (0..tokens.len().div_ceil(32) as u32).map(BlockId).collect();
    let slice = SequenceSlice { tokens: &tokens[done..], offset: done, blocks: &blocks, n_sampled: 1 };
    let mut logits = Logits::default();
    model.forward(&Batch::new(&[slice], 32).unwrap(), &mut logits).unwrap();
    logits.rows().next().unwrap().to_vec()
}

fn check_position(prompt: &Prompt, position: &Position, logits: &[f32], tolerance: f32, tally: &mut Tally) {
    let at = format!("{}, position {}", prompt.name, position.position);
    tally.n_positions += 1;
    for (id, expected) in &position.top {
        let difference = (logits[*id as usize] - expected).abs();
        tally.largest_difference = tally.largest_difference.max(difference);
        assert!(
            difference <= tolerance,
            "{at}: token {id} has {}, expected {expected}",
            logits[*id as usize]
        );
    }
    if position.top[0].1 - position.top[1].1 <= tolerance {
        tally.n_left_out += 1;
        return;
    }
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(best as u32, position.top[0].0, "{at}: another token is first");
}

#[rstest]
#[case("smollm2-135m-instruct")]
#[case("qwen2.5-coder-0.5b-instruct")]
fn dequantised_weights_give_the_reference_logits(#[case] id: &str) {
    let _turn = models::my_turn_blocking();
    let Some(gguf) = open(id) else { return };
    let tally = compare(&gguf.dequantised(), DType::F32, &golden(&format!("{id}.json")), |_| EXACT_TOLERANCE);
    eprintln!("{id} in f32: {tally:?}");
}

#[rstest]
#[case("smollm2-135m-instruct")]
#[case("qwen2.5-coder-0.5b-instruct")]
#[case("qwen2.5-coder-1.5b-instruct")]
fn stored_weights_stay_within_what_quantised_products_allow(#[case] id: &str) {
    let _turn = models::my_turn_blocking();
    let Some(gguf) = open(id) else { return };
    let tolerance = |prompt: &Prompt| ROOM * prompt.quantized_max_abs_diff;
    let tally = compare(&gguf, DType::BF16, &golden(&format!("{id}.json")), tolerance);
    eprintln!("{id} as stored: {tally:?}");
}

#[rstest]
#[case("smollm2-135m-instruct")]
#[case("qwen2.5-coder-0.5b-instruct")]
#[case("qwen2.5-coder-1.5b-instruct")]
fn tokens_and_templates_are_the_references(#[case] id: &str) {
    let Some(gguf) = open(id) else { return };
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    for Encoded { text, plain, special } in golden::<Strings>(&format!("tokenizer-{id}.json")).strings {
        // Qwen's own tokenizer normalises to NFC first, llama.cpp does not.
        if id.starts_with("qwen") && !is_nfc(&text) {
            continue;
        }
        assert_eq!(tokenizer.encode_plain(&text).unwrap(), plain, "{text:?} as plain text");
        assert_eq!(tokenizer.encode(&text).unwrap(), special, "{text:?} with special tokens");
        let mut decoder = tokenizer.decoder();
        let decoded: String = plain.iter().map(|token| decoder.push(tokenizer.bytes(*token))).collect();
        assert_eq!(decoded + &decoder.finish(), text);
    }
    for Prompt { name, text, tokens, .. } in golden::<Golden>(&format!("{id}.json")).prompts {
        if is_nfc(&text) {
            assert_eq!(tokenizer.encode(&text).unwrap(), tokens, "{name}");
        }
    }
    let template = ChatTemplate::from_gguf(&gguf, &tokenizer).unwrap();
    for conversation in golden::<Conversations>(&format!("chat-{id}.json")).conversations {
        if conversation.add_generation_prompt {
            assert_eq!(
                template.render(&conversation.messages).unwrap(),
                conversation.text,
                "{}",
                conversation.name
            );
        }
    }
}

fn is_nfc(text: &str) -> bool {
    // The goldens' decomposed strings are the only ones with combining marks.
    !text.chars().any(|c| matches!(c, '\u{300}'..='\u{36F}' | '\u{1100}'..='\u{11FF}'))
}
