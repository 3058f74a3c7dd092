//! Measures speed: the engine's and the embedding model's alone, and that of a server over HTTP.
//!
//! Place in the path: beside `api`, above `engine` and `embed`; `tier0 bench` prints what it finds. The
//! measurement of a server knows nothing of this one: it works against any OpenAI-compatible one.

mod embed;
mod engine;
mod load;
mod lookup;
mod percentiles;

pub use embed::{EmbedBench, EmbedRate};
pub use engine::{BatchRates, EngineBench};
pub use load::{LoadReport, ServeBench};
pub use lookup::{LookupGain, Recorder, lookup_gain};
pub use percentiles::Percentiles;
