//! Compiles grammars for one model's vocabulary.

use std::sync::Arc;

use llguidance::{
    JsonCompileOptions, Matcher, ParserFactory,
    api::{GrammarWithLexer, TopLevelGrammar},
    derivre::RegexBuilder,
    earley::{SlicedBiasComputer, lexerspec::LexerSpec},
    toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie},
};
use serde_json::Value;

use super::{
    sequence::Constraint,
    tokens::{Encode, ModelTokens},
};
use crate::{
    engine::request::Grammar,
    model::{TokenId, Tokenizer},
};

/// Longest token that the prefix tree can hold.
const MAX_TOKEN_BYTES: usize = 1_024;

/// Longest source of a grammar.
const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// Stack of the thread that compiles. Compilation recurses along chains of rules and references, which
/// may be as long as the source; stack that is not touched takes no memory.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// The reason after a panic of the grammar engine, and the prefix of such reasons of its own.
const PANICKED: &str = "the grammar engine does not cope with it";
const PANIC_PREFIX: &str = "panic: ";

/// Phrases of the grammar engine that a caller of this server cannot use, and their replacements.
const REWORDED: [(&str, &str); 2] = [
    (". Enable 'coerce_one_of' option to approximate oneOf with anyOf", "; use anyOf"),
    (" without 'referencing' feature", ""),
];

/// Longest reason that the caller gets.
const MAX_REASON_CHARS: usize = 300;

/// Compiles grammars to constraints over one model's vocabulary. Built once per model: it sorts the
/// vocabulary into a prefix tree.
pub struct ConstraintFactory {
    parsers: ParserFactory,
}

/// Why grammars cannot be used with a vocabulary.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// There is no end token, so that no text could ever end.
    #[error("the model has no end token below {n_vocab}, the size of its vocabulary; a grammar needs one")]
    NoEndToken {
        /// Tokens of the vocabulary.
        n_vocab: usize,
    },
    /// A token is longer than the prefix tree can hold.
    #[error("token {} has {n_bytes} bytes; grammars work with tokens of up to {MAX_TOKEN_BYTES}", .token.0)]
    TokenTooLong {
        /// The token that is too long.
        token: TokenId,
        /// Length of the token.
        n_bytes: usize,
    },
    /// The grammar engine refused it.
    #[error("the vocabulary cannot be used for grammars: {reason}")]
    Refused {
        /// The grammar engine's message.
        reason: String,
    },
}

/// Why a grammar cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The grammar is wrong, or uses something that is not supported.
    #[error("the {kind} is not supported: {reason}")]
    Unsupported {
        /// What kind of grammar it is.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The grammar's source is too long.
    #[error("the {kind} has {n_bytes} bytes; at most {MAX_SOURCE_BYTES} are accepted")]
    TooLong {
        /// What kind of grammar it is.
        kind: &'static str,
        /// Length of its source.
        n_bytes: usize,
    },
}

impl ConstraintFactory {
    /// A factory for a vocabulary: `tokens` are the bytes of its tokens in order of their ids, empty
    /// for control tokens, which no grammar allows; `ends` are the tokens that end a text. `encode`
    /// tokenises text as the model was trained; it is used for text that a grammar forces.
    ///
    /// # Errors
    /// When there is no end token, or a token is too long.
    pub fn new<T: AsRef<[u8]>>(
        tokens: impl ExactSizeIterator<Item = T>,
        ends: &[TokenId],
        encode: impl Fn(&str) -> Vec<TokenId> + Send + Sync + 'static,
    ) -> Result<Self, VocabularyError> {
        let trie = trie(tokens, ends)?;
        let encode: Encode = Box::new(encode);
        let tokens: TokEnv = Arc::new(ModelTokens::new(trie, encode));
        let can = InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
        let slices = SlicedBiasComputer::general_slices();
        let mut parsers = ParserFactory::new(&tokens, can, &slices)
            .map_err(|error| VocabularyError::Refused { reason: error.to_string() })?;
        parsers.quiet().limits_mut().verbose_errors = false;
        Ok(Self { parsers })
    }

    /// A factory for a model's tokenizer.
    ///
    /// # Errors
    /// The same as those of [`ConstraintFactory::new`].
    pub fn for_tokenizer(tokenizer: &Arc<Tokenizer>) -> Result<Self, VocabularyError> {
        let tokens = (0..tokenizer.n_tokens()).map(|id| tokenizer.bytes(TokenId(id as u32)));
        let ends: Vec<TokenId> = tokenizer.end_tokens().collect();
        let encoder = Arc::clone(tokenizer);
        // An error counts as a tokenisation that does not fit the text.
        Self::new(tokens, &ends, move |text| encoder.encode_plain(text).unwrap_or_default())
    }

    /// A constraint at the start of its text. JSON is written on one line, with one space after
    /// each comma and colon, whatever the schema says of white space.
    ///
    /// It takes milliseconds, for large grammars up to a second.
    ///
    /// # Errors
    /// When the grammar is wrong, too large, or asks for what is not supported.
    pub fn compile(&self, grammar: &Grammar) -> Result<Constraint, GrammarError> {
        let kind = kind(grammar);
        let n_bytes = source_bytes(grammar);
        if n_bytes > MAX_SOURCE_BYTES {
            return Err(GrammarError::TooLong { kind, n_bytes });
        }
        let compiled = on_a_large_stack(|| self.compile_here(grammar));
        compiled.map_err(|reason| GrammarError::Unsupported { kind, reason: short(&reason) })
    }

    fn compile_here(&self, grammar: &Grammar) -> Result<Constraint, String> {
        let grammar = TopLevelGrammar::from_grammar(translate(grammar)?);
        let parser = self.parsers.create_parser(grammar).map_err(|error| error.to_string())?;
        refuse_options(parser.parser.grammar().lexer_spec())?;
        let tokens = self.parsers.tok_env().clone();
        Constraint::start(Matcher::new(Ok(parser)), tokens).map_err(|error| error.to_string())
    }
}

fn on_a_large_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| error.to_string())?;
        thread.join().unwrap_or_else(|_| Err(PANICKED.to_owned()))
    })
}

fn trie<T: AsRef<[u8]>>(
    tokens: impl ExactSizeIterator<Item = T>,
    ends: &[TokenId],
) -> Result<TokTrie, VocabularyError> {
    let mut words: Vec<Vec<u8>> = tokens.map(|bytes| bytes.as_ref().to_vec()).collect();
    let n_vocab = words.len();
    // Some files have names of end tokens for their text, but no text may contain them.
    for end in ends {
        if let Some(word) = words.get_mut(end.0 as usize) {
            word.clear();
        }
    }
    if let Some((id, word)) = words.iter().enumerate().find(|(_, word)| word.len() > MAX_TOKEN_BYTES) {
        return Err(VocabularyError::TokenTooLong { token: TokenId(id as u32), n_bytes: word.len() });
    }
    let mut ends: Vec<u32> = ends.iter().map(|end| end.0).filter(|end| (*end as usize) < n_vocab).collect();
    ends.sort_unstable();
    let Some(first) = ends.first() else { return Err(VocabularyError::NoEndToken { n_vocab }) };
    let info = TokRxInfo::new(n_vocab as u32, *first);
    Ok(TokTrie::from(&info, &words).with_eos_tokens(&ends))
}

fn kind(grammar: &Grammar) -> &'static str {
    match grammar {
        Grammar::JsonSchema(_) => "JSON schema",
        Grammar::Regex(_) => "regular expression",
        Grammar::Lark(_) => "Lark grammar",
    }
}

fn source_bytes(grammar: &Grammar) -> usize {
    match grammar {
        Grammar::JsonSchema(schema) => schema.to_string().len(),
        Grammar::Regex(source) | Grammar::Lark(source) => source.len(),
    }
}

/// The grammar in `llguidance`'s types.
fn translate(grammar: &Grammar) -> Result<GrammarWithLexer, String> {
    match grammar {
        Grammar::JsonSchema(schema) => json(schema),
        Grammar::Regex(pattern) => regex(pattern),
        Grammar::Lark(source) => Ok(GrammarWithLexer::from_lark(source.clone())),
    }
}

fn json(schema: &Value) -> Result<GrammarWithLexer, String> {
    let mut schema = match schema {
        Value::Object(_) => schema.clone(),
        Value::Bool(true) => Value::Object(serde_json::Map::new()),
        Value::Bool(false) => return Err("`false` allows no value at all".to_owned()),
        _ => return Err("a schema is an object or a boolean".to_owned()),
    };
    // Fixed separators: white space is bounded and needs no sampling. Python's `json.dumps` writes JSON
    // this way, so models have seen this form most often.
    let options = JsonCompileOptions {
        item_separator: ", ".to_owned(),
        key_separator: ": ".to_owned(),
        whitespace_flexible: false,
        lenient: false,
        ..JsonCompileOptions::default()
    };
    // They travel inside the schema; options that the caller put there are overwritten.
    options.apply_to(&mut schema);
    Ok(GrammarWithLexer::from_json_schema(schema))
}

fn regex(pattern: &str) -> Result<GrammarWithLexer, String> {
    if pattern.is_empty() {
        // Two slashes would open a comment.
        return Ok(GrammarWithLexer::from_lark("start: \"\"".to_owned()));
    }
    // It is compiled as part of a Lark grammar; an error there would quote that grammar.
    RegexBuilder::new().mk_regex(pattern).map_err(|error| error.to_string())?;
    Ok(GrammarWithLexer::from_regex(pattern))
}

/// Refuses `llguidance`'s extensions of Lark that are about more than text. With limits on tokens and
/// hidden stops the matcher could not roll back a draft; control tokens must not be in a text.
fn refuse_options(lexer: &LexerSpec) -> Result<(), String> {
    let options = [
        (lexer.has_stop, "stop= (use suffix=)"),
        (lexer.has_max_tokens, "max_tokens="),
        (lexer.special_token_rx.is_some(), "a token by its number or name"),
    ];
    match options.iter().find(|(used, _)| *used) {
        Some((_, option)) => Err(format!("it uses {option}")),
        None => Ok(()),
    }
}

/// A reason on one line, reworded for callers and cut to [`MAX_REASON_CHARS`].
fn short(reason: &str) -> String {
    if reason.starts_with(PANIC_PREFIX) {
        return PANICKED.to_owned();
    }
    let mut words = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    for (theirs, ours) in REWORDED {
        words = words.replace(theirs, ours);
    }
    if let Some((cut, _)) = words.char_indices().nth(MAX_REASON_CHARS) {
        words.truncate(cut);
        words.push('…');
    }
    words
}
