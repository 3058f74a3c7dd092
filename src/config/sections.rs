//! The sections of the configuration, with the default and the range of each key.

use std::{fmt, path::PathBuf};

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Actions;

/// Everything that can be set, by section.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP surface.
    #[garde(dive)]
    pub server: Server,
    /// The language model.
    #[garde(dive)]
    pub model: Model,
    /// Where models are kept.
    #[garde(dive)]
    pub models: Models,
    /// Customers, orders and articles.
    #[garde(dive)]
    pub store: Store,
    /// How tickets are answered.
    #[garde(dive)]
    pub support: Support,
    /// How confirmed actions are carried out.
    #[garde(dive)]
    pub actions: Actions,
    /// What the process writes about itself.
    #[garde(dive)]
    pub log: Log,
}

/// `[server]`: the HTTP surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on; `0.0.0.0` is every interface.
    #[garde(length(min = 1))]
    pub host: String,
    /// Port to listen on; 0 lets the system choose one.
    #[garde(skip)]
    pub port: u16,
    /// Bearer tokens that are let in; with none, everyone is.
    #[garde(dive)]
    pub api_keys: Vec<ApiKey>,
    /// Origins whose web pages may call the API; `*` is any. With none, no page may.
    #[garde(inner(custom(is_origin)))]
    pub cors_origins: Vec<String>,
    /// Longest request body.
    #[garde(range(min = 1024))]
    pub max_body_bytes: usize,
    /// Whether `/metrics` answers without a key.
    #[garde(skip)]
    pub metrics_open: bool,
    /// Seconds between the comments that keep a silent stream open.
    #[garde(range(min = 1))]
    pub keep_alive_s: u64,
    /// Seconds that running requests have left once the server is told to stop.
    #[garde(skip)]
    pub shutdown_grace_s: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            api_keys: Vec::new(),
            cors_origins: Vec::new(),
            max_body_bytes: 1024 * 1024,
            metrics_open: false,
            keep_alive_s: 10,
            shutdown_grace_s: 30,
        }
    }
}

/// A bearer token. Its `Debug` form hides it, so that it reaches no log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(transparent)]
#[garde(transparent)]
pub struct ApiKey(#[garde(custom(is_token))] String);

impl ApiKey {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, to compare with.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

/// `[model]`: the language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// A model's id, or the path of a GGUF file.
    #[garde(length(min = 1))]
    pub id_or_path: String,
    /// What it runs on.
    #[garde(skip)]
    pub device: Device,
    /// Most tokens of prompt and reply together; a model made for fewer keeps its own limit.
    #[garde(range(min = 256))]
    pub context_length: usize,
    /// Memory of the KV cache, in MiB: how many tokens can be under way or be remembered.
    #[garde(range(min = 1))]
    pub kv_memory_mib: usize,
    /// What the KV cache holds.
    #[garde(skip)]
    pub kv_type: KvType,
    /// Threads that compute on the processor; 0 is as many as it runs at once.
    #[garde(skip)]
    pub threads: usize,
    /// Cores that these threads are kept on, in turn; with none, the system chooses.
    #[garde(skip)]
    pub cores: Vec<usize>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            id_or_path: "qwen2.5-coder-1.5b-instruct".to_owned(),
            device: Device::Auto,
            context_length: 8192,
            kv_memory_mib: 1024,
            kv_type: KvType::Bf16,
            threads: 0,
            cores: Vec::new(),
        }
    }
}

/// The numbers of a KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    /// Half the memory; what is rounded away does not matter to the text.
    #[default]
    Bf16,
    /// To compare with.
    F32,
}

/// What a model runs on: `auto`, `cpu` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The first CUDA device that works, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// One CUDA device, by its number.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl std::str::FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let cuda = || text.strip_prefix("cuda:")?.parse().ok().map(Self::Cuda);
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => cuda().ok_or_else(|| UnknownDevice(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = UnknownDevice;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A device that is none of those that [`Device`] knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("device {0:?} is unknown, expected \"auto\", \"cpu\" or \"cuda:N\"")]
pub struct UnknownDevice(String);

/// `[models]`: where models are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// Folder of downloaded models; empty is `tier0/models` in the user's data folder.
    /// Read it through [`Config::models_dir`].
    #[garde(skip)]
    pub dir: PathBuf,
    /// Never download: a model that is missing is an error.
    #[garde(skip)]
    pub offline: bool,
}

/// `[store]`: customers, orders and articles.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Folder of the database and the index; empty is `tier0` in the user's data folder.
    /// Read it through [`Config::data_dir`].
    #[garde(skip)]
    pub data_dir: PathBuf,
}

/// `[support]`: how tickets are answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Support {
    /// Whether replies are sent, or drafted for a person.
    #[garde(skip)]
    pub mode: SupportMode,
    /// Who words replies.
    #[garde(skip)]
    pub wording: Wording,
    /// The store's name, with which replies are signed; empty signs as "Customer support".
    #[garde(skip)]
    pub store_name: String,
    /// Most tokens of a reply.
    #[garde(range(min = 16))]
    pub max_reply_tokens: usize,
    /// Passages of the knowledge articles that are looked at for a reply.
    #[garde(range(min = 1, max = 20))]
    pub passages: usize,
    /// The store's rules; empty is `playbook.toml` in the data folder, if it is there.
    #[garde(skip)]
    pub playbook: PathBuf,
    /// How certain a reply has to be.
    #[garde(dive)]
    pub min_confidence: MinConfidence,
    /// A passage less similar to the question than this does not answer it.
    #[garde(range(min = -1.0, max = 1.0))]
    pub min_similarity: f64,
}

impl Default for Support {
    fn default() -> Self {
        Self {
            mode: SupportMode::default(),
            wording: Wording::default(),
            store_name: String::new(),
            max_reply_tokens: 300,
            passages: 6,
            playbook: PathBuf::new(),
            min_confidence: MinConfidence::default(),
            min_similarity: 0.55,
        }
    }
}

/// What becomes of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SupportMode {
    /// What passes every check is sent.
    #[default]
    Reply,
    /// Nothing is sent: every ticket goes to a person, with the reply as a draft.
    Draft,
}

/// Who words replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wording {
    /// The language model, and templates where its drafts fail.
    #[default]
    Model,
    /// Templates alone.
    Template,
}

/// `[support.min_confidence]`: a reply less certain than this is not sent; a person takes over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct MinConfidence {
    /// Of replies that answer a question.
    #[garde(range(min = 0.0, max = 1.0))]
    pub answer: f64,
    /// Of replies that deny a request.
    #[garde(range(min = 0.0, max = 1.0))]
    pub deny: f64,
    /// Of replies that propose an action.
    #[garde(range(min = 0.0, max = 1.0))]
    pub action: f64,
    /// Of replies that ask for something.
    #[garde(range(min = 0.0, max = 1.0))]
    pub clarify: f64,
}

impl Default for MinConfidence {
    fn default() -> Self {
        Self { answer: 0.5, deny: 0.5, action: 0.6, clarify: 0.4 }
    }
}

/// `[log]`: what the process writes about itself, to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level, or directives such as `info,tier0::engine=debug`.
    #[garde(length(min = 1))]
    pub level: String,
    /// How a line looks.
    #[garde(skip)]
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

fn is_token(token: &str, (): &()) -> garde::Result {
    if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(garde::Error::new("a key must be visible ASCII characters without spaces"))
}

fn is_origin(origin: &str, (): &()) -> garde::Result {
    let host = origin.split_once("://").map(|(_, host)| host);
    if origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "{origin:?} is no origin; write \"*\" or one such as \"https://help.example.com\""
    )))
}
