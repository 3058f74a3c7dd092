//! The model room over tiny GGUF files that the tests write themselves: random weights of every
//! architecture against plain loops, batches against solo runs, broken files, tokenizers.

mod agreement;
mod bad_files;
mod batching;
mod chat_prompts;
mod files;
mod reference;
mod soak;
mod tokenizers;
