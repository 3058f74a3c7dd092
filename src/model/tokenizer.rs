//! The tokenizer that a GGUF file carries: text to token ids, and token ids to bytes.
//!
//! Two kinds are supported: byte-level BPE with a pre-tokenizer named by the file (`gpt2`), and
//! SentencePiece BPE, whose merges follow from the scores of its pieces (`llama`).

use std::collections::{HashMap, HashSet};

use candle_core::quantized::gguf_file::Value;
use tokenizers::{
    AddedToken, SplitDelimiterBehavior, Tokenizer as HfTokenizer,
    models::bpe::BPE,
    normalizers::{NFC, Prepend, Replace, Sequence as NormalizerSequence},
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use super::{Gguf, ModelError, TokenId};

/// GGUF's token types (`tokenizer.ggml.token_type`).
const TYPE_UNKNOWN: u64 = 2;
const TYPE_CONTROL: u64 = 3;
const TYPE_USER_DEFINED: u64 = 4;
const TYPE_BYTE: u64 = 6;

/// Names of tokens that end a turn or a text, beside the one that the metadata names.
const END_NAMES: [&str; 8] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|end|>",
    "</s>",
];

/// Names of Llama 3's pre-tokenizer.
const LLAMA3: [&str; 3] = ["llama-bpe", "llama3", "llama-v3"];

/// The space of SentencePiece vocabularies.
const METASPACE: char = '▁';

/// Converts text to token ids and back, as the model was trained.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: HfTokenizer,
    /// The same, except that it treats the names of special tokens as ordinary text.
    plain: HfTokenizer,
    /// Text of every token as bytes; empty for control tokens.
    bytes: Vec<Box<[u8]>>,
    control: HashSet<String>,
    end: HashSet<TokenId>,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    add_bos: bool,
    names: Vec<String>,
}

impl Tokenizer {
    /// Builds the tokenizer from a file's metadata.
    ///
    /// # Errors
    /// When the file has no tokenizer, or an unsupported one.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ModelError> {
        let names = strings(gguf, "tokenizer.ggml.tokens")?;
        let types = counts(gguf, "tokenizer.ggml.token_type").unwrap_or_else(|| vec![1; names.len()]);
        let kind = gguf.string("tokenizer.ggml.model")?;
        let mut inner = match kind {
            "gpt2" => byte_level_bpe(gguf, &names)?,
            "llama" => sentencepiece_bpe(gguf, &names, &types)?,
            other => {
                let known = "tier0 knows gpt2 (byte-level BPE) and llama (SentencePiece BPE)";
                return Err(ModelError::Tokenizer(format!("its model `{other}` is not supported; {known}")));
            }
        };
        let of_type =
            |wanted: u64| names.iter().zip(&types).filter(move |(_, t)| **t == wanted).map(|(n, _)| n);
        let added = |name: &String, special| AddedToken::from(name.clone(), special).normalized(false);
        inner.add_special_tokens(of_type(TYPE_CONTROL).map(|n| added(n, true))).map_err(failed)?;
        inner.add_tokens(of_type(TYPE_USER_DEFINED).map(|n| added(n, false))).map_err(failed)?;
        let mut plain = inner.clone();
        plain.set_encode_special_tokens(true);
        let bytes =
            names.iter().zip(&types).map(|(name, t)| token_bytes(name, *t, kind == "llama")).collect();
        let id = |key: &str| gguf.value(key).and_then(|v| v.to_u64().ok()).map(|id| TokenId(id as u32));
        let bos = id("tokenizer.ggml.bos_token_id");
        let eos = id("tokenizer.ggml.eos_token_id");
        let named = END_NAMES.iter().filter_map(|name| inner.token_to_id(name)).map(TokenId);
        let end = named.chain(eos).chain(id("tokenizer.ggml.eot_token_id")).collect();
        let add_bos = gguf.value("tokenizer.ggml.add_bos_token").and_then(|v| v.to_bool().ok());
        Ok(Self {
            control: of_type(TYPE_CONTROL).cloned().collect(),
            inner,
            plain,
            bytes,
            end,
            bos,
            eos,
            add_bos: add_bos.unwrap_or_else(|| kind == "llama" || LLAMA3.contains(&pre_tokenizer_name(gguf))),
            names,
        })
    }

    /// Ids of a text in which the names of special tokens become these tokens.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        ids(&self.inner, text)
    }

    /// Ids of a text in which the names of special tokens are ordinary text.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<TokenId>, ModelError> {
        ids(&self.plain, text)
    }

    /// The token that opens a text, if the model needs one.
    pub fn leading_bos(&self) -> Option<TokenId> {
        self.bos.filter(|_| self.add_bos)
    }

    /// Whether the token ends the model's turn.
    pub fn is_end(&self, token: TokenId) -> bool {
        self.end.contains(&token)
    }

    /// The tokens that end the model's turn, in no order.
    pub fn end_tokens(&self) -> impl Iterator<Item = TokenId> {
        self.end.iter().copied()
    }

    /// Size of the vocabulary; ids are smaller.
    pub fn n_tokens(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of a token's text; empty for control tokens and ids outside the vocabulary.
    pub fn bytes(&self, token: TokenId) -> &[u8] {
        self.bytes.get(token.0 as usize).map_or(&[], AsRef::as_ref)
    }

    /// The name in the vocabulary of a token that templates mention.
    pub(super) fn name(&self, which: SpecialToken) -> Option<&str> {
        let id = match which {
            SpecialToken::Bos => self.bos,
            SpecialToken::Eos => self.eos,
        }?;
        self.names.get(id.0 as usize).map(String::as_str)
    }

    /// Names of the control tokens, such as `<|im_end|>`.
    pub(super) fn control_names(&self) -> impl Iterator<Item = &str> {
        self.control.iter().map(String::as_str)
    }

    /// A decoder for one generation's tokens.
    pub fn decoder(&self) -> TextDecoder {
        TextDecoder::default()
    }
}

/// Tokens that chat templates name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpecialToken {
    /// Begin of sequence.
    Bos,
    /// End of sequence.
    Eos,
}

/// Joins tokens' bytes to whole characters.
#[derive(Debug, Default, Clone)]
pub struct TextDecoder {
    pending: Vec<u8>,
}

impl TextDecoder {
    /// Adds a token's bytes and returns the text that is complete now (it may be empty).
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.pending.clear();
                    return text;
                }
                Err(error) => {
                    let (valid, bad) = (error.valid_up_to(), error.error_len());
                    text.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                    // A character cut short may still be completed; a wrong one is replaced.
                    let Some(bad) = bad else {
                        self.pending.drain(..valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.pending.drain(..valid + bad);
                }
            }
        }
    }

    /// The rest at the end: a replacement character if a character was cut short.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// An error of `tokenizers`, as text.
fn failed(error: impl std::fmt::Display) -> ModelError {
    ModelError::Tokenizer(error.to_string())
}

fn ids(tokenizer: &HfTokenizer, text: &str) -> Result<Vec<TokenId>, ModelError> {
    let encoding = tokenizer.encode_fast(text, false).map_err(failed)?;
    Ok(encoding.get_ids().iter().map(|id| TokenId(*id)).collect())
}

fn array<'a>(gguf: &'a Gguf, key: &str) -> Option<&'a Vec<Value>> {
    gguf.value(key).and_then(|value| value.to_vec().ok())
}

fn strings(gguf: &Gguf, key: &str) -> Result<Vec<String>, ModelError> {
    let fail = |reason: &str| ModelError::Metadata { key: key.to_owned(), reason: reason.to_owned() };
    let values = array(gguf, key).ok_or_else(|| fail("it is missing or no list"))?;
    values
        .iter()
        .map(|v| v.to_string().cloned().map_err(|_| fail("it holds something else than text")))
        .collect()
}

fn counts(gguf: &Gguf, key: &str) -> Option<Vec<u64>> {
    let number = |v: &Value| v.to_u64().ok().or_else(|| v.to_i32().ok().and_then(|n| u64::try_from(n).ok()));
    array(gguf, key)?.iter().map(number).collect()
}

fn vocabulary<C: FromIterator<(String, u32)>>(names: &[String]) -> C {
    names.iter().enumerate().map(|(id, name)| (name.clone(), id as u32)).collect()
}

/// Byte-level BPE (GPT-2 and its heirs).
fn byte_level_bpe(gguf: &Gguf, names: &[String]) -> Result<HfTokenizer, ModelError> {
    let merges = strings(gguf, "tokenizer.ggml.merges")?;
    let pair = |merge: &String| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    let merges: Option<Vec<_>> = merges.iter().map(pair).collect();
    let merges = merges.ok_or_else(|| ModelError::Tokenizer("a merge is not a pair".to_owned()))?;
    let scheme = PreTokenization::named(pre_tokenizer_name(gguf))?;
    let bpe = BPE::builder().vocab_and_merges(vocabulary::<HashMapOf>(names), merges);
    let bpe = bpe.ignore_merges(scheme.ignore_merges).build().map_err(failed)?;
    let mut tokenizer = HfTokenizer::new(bpe);
    if scheme.nfc {
        tokenizer.with_normalizer(Some(NFC)).map_err(failed)?;
    }
    tokenizer.with_pre_tokenizer(Some(scheme.pre_tokenizer()?));
    Ok(tokenizer)
}

/// The name of a byte-level BPE's pre-tokenizer.
fn pre_tokenizer_name(gguf: &Gguf) -> &str {
    gguf.string("tokenizer.ggml.pre").unwrap_or("gpt-2")
}

/// The map type of `tokenizers` for a vocabulary.
type HashMapOf = tokenizers::models::bpe::Vocab;

/// How a byte-level BPE splits text before merging; `tokenizer.ggml.pre` names it.
struct PreTokenization {
    /// Splits by this regular expression; `None` is GPT-2's own.
    pattern: Option<&'static str>,
    /// Whether every digit is split off.
    single_digits: bool,
    /// Whether text is normalised to NFC first.
    nfc: bool,
    /// Whether a word that is in the vocabulary becomes one token without merging.
    ignore_merges: bool,
}

const QWEN2_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl PreTokenization {
    fn named(pre: &str) -> Result<Self, ModelError> {
        let gpt2 = Self { pattern: None, single_digits: false, nfc: false, ignore_merges: false };
        match pre {
            "gpt-2" | "gpt2" => Ok(gpt2),
            "smollm" => Ok(Self { single_digits: true, ..gpt2 }),
            "qwen2" | "deepseek-r1-qwen" => Ok(Self { pattern: Some(QWEN2_PATTERN), nfc: true, ..gpt2 }),
            "smaug-bpe" => Ok(Self { pattern: Some(LLAMA3_PATTERN), ..gpt2 }),
            llama3 if LLAMA3.contains(&llama3) => {
                Ok(Self { pattern: Some(LLAMA3_PATTERN), ignore_merges: true, ..gpt2 })
            }
            other => Err(ModelError::Tokenizer(format!(
                "its pre-tokenizer `{other}` is not supported; tier0 knows gpt-2, smollm, qwen2, llama-bpe and smaug-bpe"
            ))),
        }
    }

    fn pre_tokenizer(&self) -> Result<PreTokenizerWrapper, ModelError> {
        let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
        if self.single_digits {
            steps.push(Digits::new(true).into());
        }
        if let Some(pattern) = self.pattern {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?.into());
        }
        steps.push(ByteLevel::new(false, false, self.pattern.is_none()).into());
        Ok(Sequence::new(steps).into())
    }
}

/// SentencePiece BPE: pieces with scores; the better the score, the earlier a pair merges.
fn sentencepiece_bpe(gguf: &Gguf, names: &[String], types: &[u64]) -> Result<HfTokenizer, ModelError> {
    let scores: Option<Vec<f32>> =
        array(gguf, "tokenizer.ggml.scores").and_then(|v| v.iter().map(|s| s.to_f32().ok()).collect());
    let scores = scores.filter(|s| s.len() == names.len());
    let scores = scores
        .ok_or_else(|| ModelError::Tokenizer("tokenizer.ggml.scores do not fit its pieces".to_owned()))?;
    let merges = merges_by_score(names, types, &scores);
    let bpe = BPE::builder().vocab_and_merges(vocabulary::<HashMapOf>(names), merges).byte_fallback(true);
    let unknown = gguf.value("tokenizer.ggml.unknown_token_id").and_then(|v| v.to_u64().ok());
    let unknown = unknown.and_then(|id| names.get(id as usize));
    let bpe = match unknown {
        Some(name) => bpe.unk_token(name.clone()).fuse_unk(true),
        None => bpe,
    };
    let mut tokenizer = HfTokenizer::new(bpe.build().map_err(failed)?);
    let prefix = gguf.value("tokenizer.ggml.add_space_prefix").and_then(|v| v.to_bool().ok()).unwrap_or(true);
    let metaspace = METASPACE.to_string();
    let replace = Replace::new(" ", metaspace.clone()).map_err(failed)?;
    let mut steps = vec![replace.into()];
    if prefix {
        steps.insert(0, Prepend::new(metaspace).into());
    }
    tokenizer.with_normalizer(Some(NormalizerSequence::new(steps))).map_err(failed)?;
    Ok(tokenizer)
}

/// Every split of a piece into two others, best piece first. Control, unknown and byte tokens are not
/// pieces: text that spells the name of one must not merge into it.
fn merges_by_score(names: &[String], types: &[u64], scores: &[f32]) -> Vec<(String, String)> {
    let is_piece = |t: &u64| !matches!(*t, TYPE_UNKNOWN | TYPE_CONTROL | TYPE_BYTE);
    let pieces = || names.iter().zip(types).enumerate().filter(|(_, (_, t))| is_piece(t));
    let known: HashMap<&str, usize> = pieces().map(|(id, (name, _))| (name.as_str(), id)).collect();
    let mut merges: Vec<(usize, usize, usize)> = Vec::new();
    for (id, (name, _)) in pieces() {
        for (cut, _) in name.char_indices().skip(1) {
            let (left, right) = name.split_at(cut);
            if let (Some(left), Some(right)) = (known.get(left), known.get(right)) {
                merges.push((id, *left, *right));
            }
        }
    }
    merges.sort_by(|a, b| scores[b.0].total_cmp(&scores[a.0]).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    merges.into_iter().map(|(_, left, right)| (names[left].clone(), names[right].clone())).collect()
}

/// The bytes that a token stands for.
fn token_bytes(name: &str, token_type: u64, sentencepiece: bool) -> Box<[u8]> {
    if token_type == TYPE_CONTROL {
        return Box::default();
    }
    if token_type == TYPE_USER_DEFINED {
        return name.as_bytes().into();
    }
    if sentencepiece {
        let byte = name.strip_prefix("<0x").and_then(|s| s.strip_suffix('>'));
        let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| token_type == TYPE_BYTE);
        return byte.map_or_else(|| name.replace(METASPACE, " ").into_bytes().into(), |b| [b].into());
    }
    let bytes: Option<Vec<u8>> = name.chars().map(byte_of_char).collect();
    bytes.unwrap_or_else(|| name.as_bytes().to_vec()).into()
}

/// GPT-2's table of printable stand-ins for bytes, backwards: printable Latin-1 stands for itself,
/// the 68 other bytes are the characters from U+0100 on, in order.
fn byte_of_char(c: char) -> Option<u8> {
    let printable = |b: u32| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = c as u32;
    match code {
        0..=0xFF => printable(code).then_some(code as u8),
        0x100..=0x143 => (0..=255u8).filter(|b| !printable(u32::from(*b))).nth((code - 0x100) as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stand_ins_cover_every_byte_once() {
        let mut bytes: Vec<u8> = (0..=0x143).filter_map(char::from_u32).filter_map(byte_of_char).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of_char('Ġ'), Some(b' '));
        assert_eq!(byte_of_char('Ċ'), Some(b'\n'));
    }

    proptest! {
        #[test]
        fn text_cut_anywhere_comes_out_whole(text in ".{0,40}", cuts in proptest::collection::vec(0usize..160, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut decoder = TextDecoder::default();
            let mut out: String = cuts.windows(2).map(|w| decoder.push(&bytes[w[0]..w[1]])).collect();
            out.push_str(&decoder.finish());
            prop_assert_eq!(out, text);
        }

        #[test]
        fn any_bytes_become_text_as_the_standard_library_has_it(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut decoder = TextDecoder::default();
            let mut out: String = bytes.iter().map(|b| decoder.push(&[*b])).collect();
            out.push_str(&decoder.finish());
            prop_assert_eq!(out, String::from_utf8_lossy(&bytes).into_owned());
        }
    }

    #[test]
    fn merges_follow_the_scores() {
        let names: Vec<String> = ["a", "b", "c", "ab", "bc", "abc", "cab"].map(str::to_owned).to_vec();
        let types = [1, 1, 1, 1, 1, 1, TYPE_CONTROL];
        let merges = merges_by_score(&names, &types, &[0.0, 0.0, 0.0, -2.0, -1.0, -3.0, 0.0]);
        let pairs: Vec<(&str, &str)> = merges.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(pairs, [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")]);
    }
}
