//! The two kinds of tokenizer, built from vocabularies that the tests write.

use std::collections::BTreeMap;

use candle_core::quantized::gguf_file::Value;
use proptest::prelude::*;
use rstest::rstest;
use tier0::model::{Gguf, ModelError, TokenId, Tokenizer};

use super::files::TinyFile;

pub(super) type Metadata = BTreeMap<String, Value>;

/// GGUF's token types.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

fn list<T>(items: impl IntoIterator<Item = T>, value: impl Fn(T) -> Value) -> Value {
    Value::Array(items.into_iter().map(value).collect())
}

fn vocabulary(kind: &str, tokens: &[(String, i32)]) -> Metadata {
    let name = |(name, _): &(String, i32)| Value::String(name.clone());
    [
        ("general.architecture", Value::String("none".to_owned())),
        ("tokenizer.ggml.model", Value::String(kind.to_owned())),
        ("tokenizer.ggml.tokens", list(tokens, name)),
        ("tokenizer.ggml.token_type", list(tokens, |(_, kind)| Value::I32(*kind))),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The printable character that stands for a byte in GPT-2's vocabularies.
fn stand_in(byte: u8) -> char {
    let shows = |b: u8| b.is_ascii_graphic() || (b >= 0xA1 && b != 0xAD);
    let hidden_before = (0..byte).filter(|b| !shows(*b)).count() as u32;
    if shows(byte) { char::from(byte) } else { char::from_u32(0x100 + hidden_before).unwrap() }
}

/// All bytes, some merges (one of them through the middle of `é`), and special tokens.
pub(super) fn byte_level(pre: &str) -> Metadata {
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ t", "Ġt he", "1 2", "12 3", "Ċ Ċ", "Ã ©", "< |", "| >"];
    let joined = merges.iter().map(|m| m.replace(' ', ""));
    let words = (0..=255).map(stand_in).map(String::from).chain(joined).map(|name| (name, NORMAL));
    let control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(|name| (name.to_owned(), CONTROL));
    let tokens: Vec<_> = words.chain(control).chain([("<tool>".to_owned(), USER_DEFINED)]).collect();
    let mut metadata = vocabulary("gpt2", &tokens);
    let merges = list(merges, |merge| Value::String(merge.to_owned()));
    metadata.insert("tokenizer.ggml.merges".to_owned(), merges);
    metadata.insert("tokenizer.ggml.pre".to_owned(), Value::String(pre.to_owned()));
    metadata.insert("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(id_of(&tokens, "<|endoftext|>")));
    metadata.insert("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(id_of(&tokens, "<|im_end|>")));
    metadata
}

/// Bytes, letters and pieces with scores, among them ones that control tokens are made of.
pub(super) fn sentencepiece(space_prefix: bool) -> Metadata {
    let special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)];
    let special = special.map(|(name, kind)| (name.to_owned(), kind));
    let bytes = (0..=255).map(|b| (format!("<0x{b:02X}>"), BYTE));
    let pieces =
        ["▁t", "he", "▁the", "ll", "hell", "hello", "▁▁", "</", "s>", "<s", "0x", "A>", "<0x4", "1>"];
    let letters = "▁helotas<>/x0414é".chars().map(String::from);
    let pieces = pieces.into_iter().map(str::to_owned).chain(letters).map(|name| (name, NORMAL));
    let mut tokens: Vec<(String, i32)> = special.into_iter().chain(bytes).chain(pieces).collect();
    let mut seen = std::collections::HashSet::new();
    tokens.retain(|(name, _)| seen.insert(name.clone()));
    let mut metadata = vocabulary("llama", &tokens);
    // As SentencePiece writes them: 0 for what is no piece, then ever lower.
    let scores =
        tokens.iter().enumerate().map(|(i, (_, kind))| if *kind == NORMAL { -(i as f32) } else { 0.0 });
    metadata.insert("tokenizer.ggml.scores".to_owned(), list(scores, Value::F32));
    metadata.insert("tokenizer.ggml.add_space_prefix".to_owned(), Value::Bool(space_prefix));
    for (key, name) in [("unknown", "<unk>"), ("bos", "<s>"), ("eos", "</s>")] {
        metadata.insert(format!("tokenizer.ggml.{key}_token_id"), Value::U32(id_of(&tokens, name)));
    }
    metadata
}

fn id_of(tokens: &[(String, i32)], name: &str) -> u32 {
    tokens.iter().position(|(n, _)| n == name).unwrap() as u32
}

pub(super) fn open(metadata: Metadata) -> Gguf {
    Gguf::open(TinyFile { metadata, tensors: BTreeMap::new() }.save().path()).unwrap()
}

fn tokenizer(metadata: Metadata) -> Tokenizer {
    Tokenizer::from_gguf(&open(metadata)).unwrap()
}

pub(super) fn text_of(tokenizer: &Tokenizer, tokens: &[TokenId]) -> String {
    let bytes = tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
    String::from_utf8(bytes).unwrap()
}

/// Control tokens are the ones that stand for no text.
pub(super) fn n_control(tokenizer: &Tokenizer, tokens: &[TokenId]) -> usize {
    tokens.iter().filter(|token| tokenizer.bytes(**token).is_empty()).count()
}

/// Any text, and texts full of what vocabularies and their special tokens are made of.
pub(super) fn texts() -> impl Strategy<Value = String> {
    let words =
        ["hello", " the", "  ", "\n\n", "123", "é", "e\u{301}", "日本", "🙂", "'s", "\r\n", "\t", "\0"];
    let names = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<tool>", "</s>", "<s>", "<unk>", "<0x41>"];
    let parts = ["<|im_", "end|>", "</", "s>", "<|"];
    let fragments = [&words[..], &names, &parts].concat();
    let pieces = proptest::collection::vec(prop::sample::select(fragments), 0..12);
    prop_oneof![any::<String>(), pieces.prop_map(|pieces| pieces.concat())]
}

thread_local! {
    static TOKENIZERS: BTreeMap<&'static str, Tokenizer> = BTreeMap::from([
        ("gpt-2", tokenizer(byte_level("gpt-2"))),
        ("smollm", tokenizer(byte_level("smollm"))),
        ("llama-bpe", tokenizer(byte_level("llama-bpe"))),
        ("qwen2", tokenizer(byte_level("qwen2"))),
        ("prefixed pieces", tokenizer(sentencepiece(true))),
        ("pieces", tokenizer(sentencepiece(false))),
    ]);
}

fn composed(text: &str) -> String {
    let mut normalised = tokenizers::NormalizedString::from(text);
    normalised.nfc();
    normalised.get().to_owned()
}

/// What a tokenizer's tokens spell for a text: SentencePiece has one character for spaces and, in
/// some models, a space before every text; qwen2 composes characters.
fn spelt(kind: &str, text: &str) -> String {
    match kind {
        "qwen2" => composed(text),
        "pieces" => text.replace('▁', " "),
        "prefixed pieces" if !text.is_empty() => format!(" {}", text.replace('▁', " ")),
        _ => text.to_owned(),
    }
}

proptest! {
    #[test]
    fn tokens_of_a_plain_text_spell_it_and_control_nothing(text in texts()) {
        TOKENIZERS.with(|all| {
            for (kind, tokenizer) in all {
                let tokens = tokenizer.encode_plain(&text).unwrap();
                prop_assert_eq!(text_of(tokenizer, &tokens), spelt(kind, &text), "{}", kind);
                prop_assert_eq!(n_control(tokenizer, &tokens), 0, "{}", kind);
            }
            Ok(())
        })?;
    }

    #[test]
    fn names_of_control_tokens_are_the_only_difference(text in texts()) {
        TOKENIZERS.with(|all| {
            for (kind, tokenizer) in all {
                let names = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<s>", "</s>"];
                let n_names: usize = match *kind {
                    "pieces" | "prefixed pieces" => names[3..].iter().map(|n| text.matches(n).count()).sum(),
                    _ => names[..3].iter().map(|n| text.matches(n).count()).sum(),
                };
                let tokens = tokenizer.encode(&text).unwrap();
                prop_assert_eq!(n_control(tokenizer, &tokens), n_names, "{}", kind);
                if n_names == 0 {
                    prop_assert_eq!(tokens, tokenizer.encode_plain(&text).unwrap(), "{}", kind);
                }
            }
            Ok(())
        })?;
    }
}

fn pieces_of(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let tokens = tokenizer.encode_plain(text).unwrap();
    tokens.iter().map(|token| String::from_utf8_lossy(tokenizer.bytes(*token)).into_owned()).collect()
}

#[rstest]
#[case("gpt-2", "hello the 123", &["hello", " the", " ", "123"])]
#[case("smollm", "hello 123", &["hello", " ", "1", "2", "3"])]
#[case("qwen2", "hello123", &["hello", "1", "2", "3"])]
#[case("llama-bpe", "hello12345", &["hello", "123", "4", "5"])]
#[case("llama-bpe", "e\u{301}é", &["e", "\u{fffd}", "\u{fffd}", "é"])]
#[case("qwen2", "e\u{301}", &["é"])]
fn byte_level_merges_apply_within_the_cuts_of_the_pre_tokenizer(
    #[case] pre: &str,
    #[case] text: &str,
    #[case] pieces: &[&str],
) {
    assert_eq!(pieces_of(&tokenizer(byte_level(pre)), text), pieces);
}

#[rstest]
#[case("hello the", &["hello", " the"])]
#[case("  hot", &["  ", "h", "o", "t"])]
#[case("h\u{e9}\u{f1}", &["h", "é", "\u{fffd}", "\u{fffd}"])]
#[case("</s>", &["</", "s>"])]
fn pieces_merge_by_their_scores_and_bytes_stand_in(#[case] text: &str, #[case] pieces: &[&str]) {
    assert_eq!(pieces_of(&tokenizer(sentencepiece(false)), text), pieces);
}

/// `None` leaves the key out: SentencePiece models and Llama 3's want a begin token by custom.
#[rstest]
#[case(byte_level("gpt-2"), None, false)]
#[case(byte_level("qwen2"), None, false)]
#[case(byte_level("qwen2"), Some(true), true)]
#[case(byte_level("llama-bpe"), None, true)]
#[case(byte_level("llama-bpe"), Some(false), false)]
#[case(sentencepiece(true), None, true)]
#[case(sentencepiece(true), Some(false), false)]
fn a_begin_token_leads_where_the_file_or_custom_wants_it(
    #[case] mut metadata: Metadata,
    #[case] key: Option<bool>,
    #[case] leads: bool,
) {
    let Some(Value::U32(bos)) = metadata.get("tokenizer.ggml.bos_token_id").cloned() else { panic!() };
    metadata.extend(key.map(|add| ("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(add))));
    let leading = tokenizer(metadata.clone()).leading_bos();
    assert_eq!(leading, leads.then_some(TokenId(bos)));
    metadata.remove("tokenizer.ggml.bos_token_id");
    assert_eq!(tokenizer(metadata).leading_bos(), None);
}

#[test]
fn turns_end_at_the_named_token_and_at_those_of_known_names() {
    let tokenizer = tokenizer(byte_level("qwen2"));
    let ids = tokenizer.encode("<|im_end|><|endoftext|><|im_start|>h").unwrap();
    let ends: Vec<bool> = ids.iter().map(|id| tokenizer.is_end(*id)).collect();
    assert_eq!(ends, [true, true, false, false]);
}

#[rstest]
#[case("tokenizer.ggml.tokens", None, "tokenizer.ggml.tokens")]
#[case("tokenizer.ggml.model", None, "tokenizer.ggml.model")]
#[case("tokenizer.ggml.model", Some("t5"), "`t5`")]
#[case("tokenizer.ggml.pre", Some("klingon"), "`klingon`")]
#[case("tokenizer.ggml.merges", None, "tokenizer.ggml.merges")]
fn an_unusable_tokenizer_says_what_it_lacks(
    #[case] key: &str,
    #[case] value: Option<&str>,
    #[case] word: &str,
) {
    let mut metadata = byte_level("gpt-2");
    metadata.remove(key);
    metadata.extend(value.map(|value| (key.to_owned(), Value::String(value.to_owned()))));
    let error: ModelError = Tokenizer::from_gguf(&open(metadata)).unwrap_err();
    assert!(error.to_string().contains(word), "{error}");
}
