//! The model room over tiny GGUF files that the tests write themselves: random weights of every
//! architecture against plain loops, batches against solo runs.

mod agreement;
mod batching;
mod files;
mod reference;
