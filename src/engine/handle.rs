//! The engine's handle: checks requests at the door and hands them to the worker.

use std::{path::PathBuf, sync::Arc};

use candle_core::{DType, Device};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{
    EngineError, EventStream, Generate, ModelInfo, Request,
    worker::{Job, Worker},
};
use crate::model::{
    CausalLm, ChatTemplate, Decoder, Forward, Gguf, KvCacheSpec, ModelError, TokenId, Tokenizer,
    chat::Message,
};

/// Requests that may wait; the next one is refused.
const MAX_WAITING: usize = 256;

/// Tokens in a block of the KV cache.
const BLOCK_SIZE: usize = 32;

/// Which model to load, and how.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// The name under which it is served.
    pub id: String,
    /// The GGUF file.
    pub path: PathBuf,
    /// Where it runs.
    pub device: Device,
    /// Most tokens of prompt and completion together; the model's own limit caps it.
    pub context_length: usize,
}

/// A running model. Clones share it; it ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    info: Arc<ModelInfo>,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    queue: mpsc::Sender<Job>,
}

impl Engine {
    /// Loads a model and starts its worker. Blocks until the weights are in memory.
    ///
    /// # Errors
    /// When the file cannot be used, or the device has no room.
    pub fn load(spec: &LoadSpec) -> Result<Self, ModelError> {
        let mut gguf = Gguf::open(&spec.path)?;
        let tokenizer = Tokenizer::from_gguf(&gguf)?;
        let template = ChatTemplate::from_gguf(&gguf, &tokenizer)?;
        let decoder = Decoder::load(&mut gguf, spec.context_length, &spec.device)?;
        let context_length = spec.context_length.min(decoder.config().context_length);
        let cache = decoder.new_cache(KvCacheSpec::for_tokens(context_length, BLOCK_SIZE), DType::BF16)?;
        let info = ModelInfo { id: spec.id.clone(), context_length };
        Ok(Self::start(CausalLm::new(decoder, cache), tokenizer, template, info))
    }

    /// Starts a worker for a model that is in memory.
    pub fn start(
        model: impl Forward + 'static,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        info: ModelInfo,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(MAX_WAITING);
        let tokenizer = Arc::new(tokenizer);
        let worker = Worker::new(model, Arc::clone(&tokenizer), info.context_length);
        std::thread::spawn(move || worker.run(jobs));
        Self { info: Arc::new(info), tokenizer, template: Arc::new(template), queue }
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
        let (prompt_tokens, context_length) = (request.prompt.len(), self.info.context_length);
        if prompt_tokens == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        if prompt_tokens >= context_length {
            return Err(EngineError::PromptTooLong { prompt_tokens, context_length });
        }
        let (events, stream) = mpsc::unbounded_channel();
        self.queue.try_send(Job { request, events }).map_err(|error| match error {
            TrySendError::Full(_) => EngineError::QueueFull { waiting: MAX_WAITING },
            TrySendError::Closed(_) => EngineError::Stopped,
        })?;
        Ok(Box::pin(UnboundedReceiverStream::new(stream)))
    }
}
