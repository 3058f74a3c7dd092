//! Runs the language model: prompts in, token streams out. One worker thread owns the model; the handle
//! is cheap to clone.
//!
//! Place in the path: `api` and `support` submit a [`Request`] and read [`Event`]s; the engine queues the
//! request, runs the model's forward passes and samples. Dropping the stream cancels the request.
//!
//! A request has another type on each level:
//!
//! | type | made by | lives in | adds |
//! |---|---|---|---|
//! | [`Request`] | the caller | [`Generate::submit`] | prompt, sampling, limits |
//! | `Job` | [`Engine`], after its checks | the worker's channel | grammar, event sender, permit |
//! | `Generation` | the worker, from the job | `Worker::running` | sampler, drafter, text, usage |
//! | [`NewSequence`] | the worker, beside it | [`Scheduler::submit`] | a sequence id |
//! | `Sequence` | the scheduler | its queue, then `Running` | arrival order, generated tokens |
//! | `Running` | the scheduler, at admission | its batch, until preempted or ended | block table |
//! | [`StepEntry`] | the scheduler, for one step | [`StepPlan`] | this step's tokens and blocks |
//! | [`SequenceSlice`] | the worker, from the entry | the making of a [`Batch`] | nothing: it borrows |
//!
//! [`NewSequence`]: scheduler::NewSequence
//! [`Scheduler::submit`]: scheduler::Scheduler::submit
//! [`StepEntry`]: scheduler::StepEntry
//! [`StepPlan`]: scheduler::StepPlan
//! [`SequenceSlice`]: crate::model::SequenceSlice
//! [`Batch`]: crate::model::Batch

mod blocks;
pub mod constraint;
mod drafter;
mod error;
mod event;
mod generation;
mod handle;
mod kv_blocks;
mod observe;
mod radix;
mod request;
mod sampler;
pub mod scheduler;
mod text;
mod worker;

use crate::model::{TokenId, chat::Message};

pub use error::EngineError;
pub use event::{Event, EventStream, FinishReason, TokenLogprob, Usage, read_to_end};
pub use handle::{Engine, LoadSpec, LoadedModel};
pub use observe::{Observe, Unobserved};
pub use request::{Grammar, Request, Sampling, Speculation};
pub use sampler::{Mask, Sampler};
pub use scheduler::Priority;

/// A model's name and its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name under which the API serves it, such as `qwen2.5-coder-1.5b-instruct`.
    pub id: String,
    /// Most tokens of prompt and completion together, as the server runs it.
    pub context_length: usize,
}

/// A language model that generates text. [`Engine`] implements it; tests use fakes.
pub trait Generate: Send + Sync {
    /// Name and context length of the model.
    fn info(&self) -> &ModelInfo;

    /// Applies the model's chat template to `messages`, opens the assistant's turn and tokenises.
    ///
    /// # Errors
    /// [`EngineError::Template`] when the template refuses the messages.
    fn chat_prompt(&self, messages: &[Message]) -> Result<Vec<TokenId>, EngineError>;

    /// Tokenises plain text as it stands (for completions without a chat template).
    ///
    /// # Errors
    /// [`EngineError::Model`] when the tokenizer fails.
    fn text_prompt(&self, text: &str) -> Result<Vec<TokenId>, EngineError>;

    /// Queues a generation. A request that can never fit is refused here.
    ///
    /// # Errors
    /// [`EngineError::PromptTooLong`], [`EngineError::EmptyPrompt`], [`EngineError::ExceedsCapacity`],
    /// [`EngineError::Grammar`], [`EngineError::QueueFull`], [`EngineError::Stopped`].
    fn submit(&self, request: Request) -> Result<EventStream, EngineError>;
}
