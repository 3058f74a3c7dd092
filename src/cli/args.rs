//! The flags, as clap reads them.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};

use crate::config::Device;

/// Answers support tickets with a local language model, from your own orders and policies.
///
/// Without a command it serves: the models are fetched on the first start, a demo store is made
/// where no data has been imported, and the OpenAI-compatible API listens on 127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(name = "tier0", version)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    /// Configuration file [default: ./tier0.toml, then tier0/tier0.toml in your configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Folder of everything that the server keeps: database, index, keys [default: tier0 in your data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Never fetch anything: a missing model is an error
    #[arg(long, global = true)]
    pub(super) offline: bool,
}

impl Args {
    /// Reads the program's arguments; ends the program where they cannot be used.
    pub(super) fn read() -> Self {
        let args = Self::parse();
        // In front of another command the flags of `serve` would be read and do nothing.
        if args.command.is_some() && args.serve != ServeArgs::default() {
            let message =
                "--host, --port, --model, --device and --kv-memory go behind the command that they are for";
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        args
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve the API (what happens without a command)
    Serve(ServeArgs),
    /// Answer one message on the command line, and show what the answer rests on
    Ask(AskArgs),
    /// Bring in customers, orders, products and articles
    #[command(subcommand)]
    Store(StoreCommand),
    /// List, fetch and check models
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Train and measure the recognition of intents
    #[command(subcommand)]
    Intents(IntentsCommand),
    /// Check, try out and install the store's rules
    #[command(subcommand)]
    Playbook(PlaybookCommand),
    /// Measure speed, and how many tickets are resolved safely
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Measure the engine alone: prompt and generated tokens a second, at several batch sizes
    Engine {
        #[command(flatten)]
        model: ModelArgs,
        /// Tokens of each prompt
        #[arg(long, default_value_t = 512)]
        prompt_tokens: usize,
        /// Tokens to generate behind each prompt
        #[arg(long, default_value_t = 64)]
        gen_tokens: usize,
        /// Requests at the same time
        #[arg(long, value_delimiter = ',', default_value = "1,4,8,16")]
        batch: Vec<usize>,
        /// Measurements of each; the median counts
        #[arg(long, default_value_t = 3)]
        repeat: usize,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure the embedding model alone: sentences a second, at several batch sizes
    Embed {
        /// Sentences to embed
        #[arg(long, default_value_t = 640)]
        sentences: usize,
        /// Tokens of each sentence
        #[arg(long, default_value_t = 12)]
        tokens: usize,
        /// Sentences at a time
        #[arg(long, value_delimiter = ',', default_value = "1,32")]
        batch: Vec<usize>,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure what prompt lookup gains on replies to questions about the demo store's orders
    Lookup {
        #[command(flatten)]
        model: ModelArgs,
        /// Questions to ask
        #[arg(long, default_value_t = 16)]
        replies: usize,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure any OpenAI-compatible server under load: times to the first token, between tokens and to the end
    Serve(LoadArgs),
    /// Measure how many tickets are resolved safely
    Deflection(DeflectionArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct DeflectionArgs {
    /// Tickets with what a right answer needs, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(super) tickets: PathBuf,
    /// Ask the server that listens here [default: answer in this process, from --data]
    #[arg(long)]
    pub(super) url: Option<String>,
    /// Bearer token of the server
    #[arg(long, value_name = "KEY", env = "TIER0_BENCH_API_KEY", hide_env_values = true, requires = "url")]
    pub(super) api_key: Option<String>,
    /// Seconds that the server has for an answer
    #[arg(long, value_name = "S", default_value_t = 600)]
    pub(super) timeout_s: u64,
    /// Tickets that are asked at the same time
    #[arg(long, value_name = "N", default_value = "4")]
    pub(super) concurrency: NonZeroUsize,
    /// Write the whole report here. A run that breaks off goes on where it stopped
    #[arg(long, value_name = "OUT")]
    pub(super) json: Option<PathBuf>,
    #[command(flatten)]
    pub(super) model: ModelArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct LoadArgs {
    /// Where the server listens, with or without /v1
    #[arg(long)]
    pub(super) url: String,
    /// The model to ask for [default: the first that the server lists, other than "support"]
    #[arg(long, value_name = "ID")]
    pub(super) model: Option<String>,
    /// Bearer token of the server
    #[arg(long, value_name = "KEY", env = "TIER0_BENCH_API_KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
    /// Requests that are open at the same time
    #[arg(long, default_value_t = 8)]
    pub(super) concurrency: usize,
    /// Requests in all
    #[arg(long, default_value_t = 64)]
    pub(super) requests: usize,
    /// Words that all prompts begin with
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) shared_words: usize,
    /// Words of each prompt's own, on average
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(super) prompt_words: usize,
    /// Most tokens of an answer
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(super) max_tokens: usize,
    /// Print the figures as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(super) struct ServeArgs {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long)]
    pub(super) host: Option<String>,
    /// Port to listen on [default: 8080]
    #[arg(long)]
    pub(super) port: Option<u16>,
    #[command(flatten)]
    pub(super) model: ModelArgs,
}

/// Which language model, and where it runs.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(super) struct ModelArgs {
    /// A model's id (see `tier0 models list`) or the path of a GGUF file
    #[arg(long, value_name = "ID|PATH")]
    pub(super) model: Option<String>,
    /// What the model runs on: auto, cpu or cuda:N
    #[arg(long)]
    pub(super) device: Option<Device>,
    /// Memory of the KV cache [default: 1024]
    #[arg(long, value_name = "MIB")]
    pub(super) kv_memory: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(super) struct AskArgs {
    /// The customer's message
    pub(super) message: String,
    /// The customer's e-mail address, taken as verified
    #[arg(long = "as", value_name = "EMAIL")]
    pub(super) customer: Option<String>,
    /// Treat the address as one that nobody has verified
    #[arg(long, requires = "customer")]
    pub(super) unverified: bool,
    /// Answer in the form of an e-mail, to a message with this subject
    #[arg(long)]
    pub(super) subject: Option<String>,
    /// Show the facts that the playbook's rules looked at, and the rules that did not fit
    #[arg(long)]
    pub(super) explain: bool,
    /// Print the answer and its report as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: ModelArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Import customers.jsonl, orders.jsonl, products.jsonl, *.md and playbook.toml from a folder
    Import {
        /// The folder's format
        #[arg(long, value_enum, default_value_t = ImportFormat::Native)]
        from: ImportFormat,
        /// The folder
        dir: PathBuf,
    },
    /// Write the demo store into a folder, in the native import format
    Demo {
        /// The folder; it is created
        dir: PathBuf,
    },
    /// Say what the store holds
    Info,
}

/// What an import is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ImportFormat {
    /// JSON lines and Markdown files
    Native,
}

#[derive(Debug, Subcommand)]
pub(super) enum PlaybookCommand {
    /// Find unreachable rules, missing cases and unknown fields
    Check {
        /// The playbook [default: the one in use]
        file: Option<PathBuf>,
    },
    /// Run the playbook's examples, and tell how well its choices are read
    Test {
        /// The playbook [default: the one in use]
        file: Option<PathBuf>,
    },
    /// Put a playbook into the data folder, for the store there
    Install {
        /// The playbook
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// List the models that tier0 knows
    List,
    /// Fetch a model into the models folder
    Pull {
        /// The model's id
        id: String,
    },
    /// Check the files of fetched models against their hashes
    Verify {
        /// The model's id [default: every model that is here]
        id: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum IntentsCommand {
    /// Train a head from labelled examples
    Train {
        /// CSV with the columns text,label; the label oos is for what is out of scope
        #[arg(long, value_name = "CSV")]
        data: PathBuf,
        /// Where to write the head
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Measure a head on labelled examples: accuracy, F1, calibration, out-of-scope detection
    Eval {
        /// The head [default: the one that comes with tier0]
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// CSV with the columns text,label
        #[arg(long, value_name = "CSV")]
        data: PathBuf,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
    },
}
