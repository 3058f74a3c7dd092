//! The engine's handle: checks requests and sends them to the worker.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Instant,
};

use candle_core::{DType, Device};
use futures::stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{
    Generate, ModelInfo,
    constraint::{Constraint, ConstraintFactory, VocabularyError},
    error::EngineError,
    event::{Event, EventStream, FinishReason, Usage},
    generation::Job,
    observe::Observe,
    request::{Grammar, Request},
    scheduler::{Scheduler, SchedulerConfig, Stats},
    worker::Worker,
};
use crate::model::{
    CausalLm, ChatTemplate, Decoder, Forward, Gguf, KvCacheSpec, Logits, ModelError, TokenId, Tokenizer,
    chat::Message,
};

/// Tokens in a block of the KV cache.
const BLOCK_SIZE: usize = 16;
/// Most sequences that run at the same time (vLLM's `max_num_seqs`).
const MAX_RUNNING: usize = 64;
/// Most requests that run or wait; the next one is refused.
const MAX_REQUESTS: usize = 512;
/// Most tokens of one step (vLLM's `max_num_batched_tokens`).
const MAX_BATCH_TOKENS: usize = 512;
/// Most prefill tokens in a step that also decodes: they delay the decoding sequences' next token.
const PREFILL_CHUNK: usize = 128;
/// Steps after which a batch request counts as interactive.
const BATCH_AGING_STEPS: u64 = 2000;

/// Which model to load, and how.
#[derive(Clone)]
pub struct LoadSpec {
    /// The name under which it is served.
    pub id: String,
    /// Path of the GGUF file.
    pub path: PathBuf,
    /// The device that runs it.
    pub device: Device,
    /// Most tokens of prompt and completion together; the model's own limit and the KV cache cap it.
    pub context_length: usize,
    /// Memory of the KV cache.
    pub kv_memory_bytes: usize,
    /// Element type of the KV cache: bf16, or f32 for comparisons.
    pub kv_type: DType,
    /// Receives the engine's load and latencies.
    pub observer: Arc<dyn Observe>,
}

/// A running model. Clones share it; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    info: Arc<ModelInfo>,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    constraints: Arc<OnceLock<Result<ConstraintFactory, VocabularyError>>>,
    capacity: usize,
    permits: Arc<Semaphore>,
    jobs: mpsc::UnboundedSender<Job>,
    stats: watch::Receiver<Stats>,
}

/// A model in memory, with its tokenizer and chat template.
pub struct LoadedModel<M> {
    /// The model and its cache.
    pub model: M,
    /// Text to token ids and back.
    pub tokenizer: Tokenizer,
    /// Messages to a prompt.
    pub template: ChatTemplate,
    /// The model's name and its limit.
    pub info: ModelInfo,
}

impl Engine {
    /// Loads a model and starts its worker. Blocks until the weights are in memory.
    ///
    /// # Errors
    /// When the file cannot be used, or the device has no room.
    pub fn load(spec: &LoadSpec) -> Result<Self, ModelError> {
        let gguf = Gguf::open(&spec.path)?;
        let tokenizer = Tokenizer::from_gguf(&gguf)?;
        let template = ChatTemplate::from_gguf(&gguf, &tokenizer)?;
        let decoder = Decoder::load(&gguf, spec.context_length, &spec.device)?;
        let cache =
            KvCacheSpec::for_memory(decoder.config(), spec.kv_memory_bytes, spec.kv_type, BLOCK_SIZE)?;
        let limits = [spec.context_length, decoder.config().context_length, cache.n_tokens()];
        let context_length = limits.into_iter().min().unwrap_or_default();
        let cache = decoder.new_cache(cache, spec.kv_type)?;
        let info = ModelInfo { id: spec.id.clone(), context_length };
        let model = LoadedModel { model: CausalLm::new(decoder, cache), tokenizer, template, info };
        Self::start(model, Arc::clone(&spec.observer))
    }

    /// Starts a worker for a model that is in memory.
    ///
    /// # Errors
    /// When the model's cache has no blocks.
    pub fn start(
        loaded: LoadedModel<impl Forward + 'static>,
        observer: Arc<dyn Observe>,
    ) -> Result<Self, ModelError> {
        let LoadedModel { model, tokenizer, template, info } = loaded;
        let cache = model.cache_spec();
        let scheduler = Scheduler::new(SchedulerConfig {
            n_blocks: cache.n_blocks,
            block_size: cache.block_size,
            max_batch_tokens: MAX_BATCH_TOKENS,
            max_running: MAX_RUNNING,
            prefill_chunk: PREFILL_CHUNK,
            max_waiting: MAX_REQUESTS,
            batch_aging_steps: BATCH_AGING_STEPS,
        })
        .map_err(|e| ModelError::Cache(e.to_string()))?;
        let (jobs, receiver) = mpsc::unbounded_channel();
        let (stats, watched) = watch::channel(scheduler.stats());
        let tokenizer = Arc::new(tokenizer);
        let worker = Worker {
            model,
            logits: Logits::default(),
            tokenizer: Arc::clone(&tokenizer),
            scheduler,
            observer,
            stats,
            running: BTreeMap::new(),
            next_id: 0,
        };
        std::thread::spawn(move || worker.run(receiver));
        Ok(Self {
            info: Arc::new(info),
            tokenizer,
            template: Arc::new(template),
            constraints: Arc::default(),
            capacity: cache.n_tokens(),
            permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
            jobs,
            stats: watched,
        })
    }

    /// The scheduler's numbers after the last step.
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// Most tokens to generate: the request's `max_tokens`, capped at what the context leaves.
    fn max_tokens(&self, request: &Request) -> Result<usize, EngineError> {
        let (prompt_tokens, context_length) = (request.prompt.len(), self.info.context_length);
        if prompt_tokens == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        if prompt_tokens >= context_length {
            return Err(EngineError::PromptTooLong { prompt_tokens, context_length });
        }
        let room = context_length - prompt_tokens;
        let max_tokens = request.max_tokens.map_or(room, |max| max.min(room));
        let n_tokens = prompt_tokens + max_tokens;
        if n_tokens > self.capacity {
            return Err(EngineError::ExceedsCapacity { n_tokens, capacity: self.capacity });
        }
        Ok(max_tokens)
    }

    /// Compiles a grammar. The first call prepares the vocabulary, which takes most of a second.
    fn compile(&self, grammar: &Grammar) -> Result<Constraint, EngineError> {
        let factory = self.constraints.get_or_init(|| ConstraintFactory::for_tokenizer(&self.tokenizer));
        let factory = factory.as_ref().map_err(|e| EngineError::Grammar { reason: e.to_string() })?;
        factory.compile(grammar).map_err(|e| EngineError::Grammar { reason: e.to_string() })
    }
}

impl Generate for Engine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<TokenId>, EngineError> {
        self.template.prompt(messages, &self.tokenizer).map_err(|error| match error {
            ModelError::Template(reason) => EngineError::Template { reason },
            other => EngineError::Model(other.to_string()),
        })
    }

    fn text_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError> {
        let tokens = self.tokenizer.encode_plain(text).map_err(|e| EngineError::Model(e.to_string()))?;
        Ok(self.tokenizer.leading_bos().into_iter().chain(tokens).collect())
    }

    fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        let arrived = Instant::now();
        let max_tokens = self.max_tokens(&request)?;
        if max_tokens == 0 {
            let usage = Usage { prompt_tokens: request.prompt.len(), ..Usage::default() };
            let nothing = Event::Finished { reason: FinishReason::Length, usage };
            return Ok(Box::pin(stream::iter([Ok(nothing)])));
        }
        let full = |_| EngineError::QueueFull { waiting: self.stats().n_waiting };
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(full)?;
        let constraint = request.grammar.as_ref().map(|grammar| self.compile(grammar)).transpose()?;
        let (events, stream) = mpsc::unbounded_channel();
        let job = Job { request, max_tokens, constraint, events, arrived, permit };
        self.jobs.send(job).map_err(|_| EngineError::Stopped)?;
        Ok(Box::pin(UnboundedReceiverStream::new(stream)))
    }
}
