//! Chat messages, and the model's chat template, which turns them into a prompt.

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::{Deserialize, Serialize};

use super::{Gguf, ModelError, TokenId, Tokenizer, tokenizer::SpecialToken};

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The customer, or another user of the model.
    User,
    /// The language model.
    Assistant,
}

/// One message of a conversation, as a chat template reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The message's author.
    pub role: Role,
    /// The message as plain text.
    pub content: String,
}

impl Message {
    /// A message of `role`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// Before rendering, a special token's name in a message is replaced by its number between these two
/// characters, so that a template can repeat, move or omit it. They are noncharacters: Unicode reserves
/// them for internal uses like this one.
const MASK_START: char = '\u{FDD0}';
const MASK_END: char = '\u{FDD1}';

/// The template's name inside its environment.
const NAME: &str = "chat";

/// A model's chat template, compiled.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Compiles the file's template; a file without one gets ChatML, the most common form.
    ///
    /// # Errors
    /// When the template is not valid Jinja.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Self, ModelError> {
        let source = gguf.string("tokenizer.chat_template").unwrap_or(CHATML).to_owned();
        let name = |token| tokenizer.name(token).unwrap_or_default().to_owned();
        Self::new(source, name(SpecialToken::Bos), name(SpecialToken::Eos))
    }

    /// Compiles a template; it may use `bos` and `eos`, the names of these tokens.
    ///
    /// # Errors
    /// When the template is not valid Jinja.
    pub fn new(source: String, bos: String, eos: String) -> Result<Self, ModelError> {
        let mut environment = Environment::new();
        // As Hugging Face renders templates: Python's methods, trimmed blocks, its own `tojson`.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| ModelError::Template(e.to_string()))?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment
            .add_function("strftime_now", |format: &str| chrono::Local::now().format(format).to_string());
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, source).map_err(|e| ModelError::Template(e.to_string()))?;
        Ok(Self { environment, bos, eos })
    }

    /// The prompt as text, with the assistant's turn opened.
    ///
    /// # Errors
    /// When the template refuses the messages.
    pub fn render(&self, messages: &[Message]) -> Result<String, ModelError> {
        let refused =
            |error: Error| ModelError::Template(error.detail().unwrap_or(&error.to_string()).to_owned());
        let template = self.environment.get_template(NAME).map_err(refused)?;
        let context = context! {
            messages => Value::from(Serde(messages)),
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        };
        template.render(context).map_err(refused)
    }

    /// The prompt as tokens. The names of special tokens inside a message are text, so that no
    /// message can close its turn or open another.
    ///
    /// # Errors
    /// When the template refuses the messages or the tokenizer fails.
    pub fn prompt(&self, messages: &[Message], tokenizer: &Tokenizer) -> Result<Vec<TokenId>, ModelError> {
        let mut masked = Vec::new();
        let messages: Vec<Message> = messages
            .iter()
            .map(|m| Message::new(m.role, mask_special(&m.content, tokenizer.control_names(), &mut masked)))
            .collect();
        let text = self.render(&messages)?;
        let mut pieces = text.split(MASK_START);
        let mut tokens = tokenizer.encode(pieces.next().unwrap_or_default())?;
        for piece in pieces {
            let (name, rest) = unmask(piece, &masked);
            tokens.extend(tokenizer.encode_plain(name)?);
            tokens.extend(tokenizer.encode(rest)?);
        }
        Ok(tokens)
    }
}

/// The name that a rendered text behind [`MASK_START`] begins with, and what follows it. A template
/// that shortens messages may have cut a mask; then there is no name.
fn unmask<'a>(piece: &'a str, masked: &'a [String]) -> (&'a str, &'a str) {
    let whole = piece.split_once(MASK_END).and_then(|(number, rest)| {
        let name = masked.get(number.parse::<usize>().ok()?)?;
        Some((name.as_str(), rest))
    });
    whole.unwrap_or(("", piece))
}

/// Replaces special tokens' names by masks with their index in `masked`, and appends them there.
fn mask_special<'a>(content: &str, names: impl Iterator<Item = &'a str>, masked: &mut Vec<String>) -> String {
    // Mask characters in the message itself must not be read as masks.
    let content = content.replace([MASK_START, MASK_END], "\u{FFFD}");
    let mut found: Vec<(usize, &str)> =
        names.filter(|n| !n.is_empty()).flat_map(|name| content.match_indices(name)).collect();
    found.sort_by_key(|(at, name)| (*at, std::cmp::Reverse(name.len())));
    let (mut out, mut end) = (String::with_capacity(content.len()), 0);
    for (at, name) in found {
        if at < end {
            continue;
        }
        out.push_str(&content[end..at]);
        out.extend([MASK_START.to_string(), masked.len().to_string(), MASK_END.to_string()]);
        masked.push(name.to_owned());
        end = at + name.len();
    }
    out.push_str(&content[end..]);
    out
}

#[allow(clippy::needless_pass_by_value, reason = "minijinja hands keyword arguments over by value")]
/// `tojson` as `transformers` has it: Python's separators, nothing escaped for HTML.
fn to_json(value: &Value, options: minijinja::value::Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonFormatter)),
    };
    written.map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    String::from_utf8(out)
        .map(Value::from)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))
}

/// `json.dumps`' default layout: `{"a": 1, "b": [2, 3]}`.
struct PythonFormatter;

impl serde_json::ser::Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content \
    + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap()
    }

    #[test]
    fn chatml_opens_the_assistants_turn() {
        let text = template(CHATML).render(&[Message::new(Role::User, "Hi")]).unwrap();
        assert_eq!(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn pythons_methods_and_json_are_there() {
        let source =
            "{{ messages[0].content.strip().split(' ')[0] }} {{ {'a': [1, 'é<'], 'b': none} | tojson }}";
        let text = template(source).render(&[Message::new(Role::User, "  one two ")]).unwrap();
        assert_eq!(text, r#"one {"a": [1, "é<"], "b": null}"#);
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let error = template("{{ raise_exception('roles must alternate') }}").render(&[]).unwrap_err();
        assert!(error.to_string().contains("roles must alternate"), "{error}");
    }

    #[test]
    fn special_names_in_a_message_are_masked_longest_first() {
        let mut masked = Vec::new();
        let names = ["<|im|>", "<|im|>x"];
        let text = mask_special("a<|im|>xb<|im|>\u{FDD0}", names.into_iter(), &mut masked);
        assert_eq!(text, "a\u{FDD0}0\u{FDD1}b\u{FDD0}1\u{FDD1}\u{FFFD}");
        assert_eq!(masked, ["<|im|>x", "<|im|>"]);
    }
}
