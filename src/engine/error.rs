//! Why a generation could not start, or broke off.

use super::scheduler::AdmissionError;

/// Why a generation could not start, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The prompt alone fills the context.
    #[error("the prompt has {prompt_tokens} tokens, but the model's context holds {context_length}")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens that the context holds.
        context_length: usize,
    },
    /// The prompt holds no token.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The model's chat template refused the messages.
    #[error("the model's chat template refused the messages: {reason}")]
    Template {
        /// The template's message.
        reason: String,
    },
    /// Prompt and completion could never fit into the KV cache.
    #[error(
        "prompt and max_tokens come to {n_tokens} tokens, but the KV cache holds {capacity}; lower max_tokens, \
         or give the server more --kv-memory"
    )]
    ExceedsCapacity {
        /// Tokens of prompt and completion.
        n_tokens: usize,
        /// Tokens that the cache holds.
        capacity: usize,
    },
    /// The grammar cannot be compiled.
    #[error("the grammar cannot be used: {reason}")]
    Grammar {
        /// What is wrong with it.
        reason: String,
    },
    /// The queue is full.
    #[error("the queue is full ({waiting} requests wait); try again shortly")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
    },
    /// The worker is gone: the server is shutting down.
    #[error("the engine has stopped")]
    Stopped,
    /// The model's forward pass failed.
    #[error("the model failed: {0}")]
    Model(String),
}

impl From<AdmissionError> for EngineError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::EmptyPrompt => Self::EmptyPrompt,
            AdmissionError::ExceedsCapacity { n_tokens, capacity } => {
                Self::ExceedsCapacity { n_tokens, capacity }
            }
            AdmissionError::QueueFull { n_waiting } => Self::QueueFull { waiting: n_waiting },
            other @ (AdmissionError::NothingToGenerate | AdmissionError::Duplicate { .. }) => {
                Self::Model(other.to_string())
            }
        }
    }
}
