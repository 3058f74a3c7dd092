//! The numeric kernels of tier0: plain slices in, plain slices out, no tensor library.
//!
//! Every floating-point reduction runs in an order that depends on the row alone, never on how
//! many rows there are or which thread takes them: a sequence gives the same bits alone and in
//! any batch.

pub mod attention;
mod bidirectional;
mod cpu;
mod dense;
mod elementwise;
mod file;
mod gelu;
mod layer_norm;
mod linear;
mod pages;
pub mod pool;
mod product;
mod quant;
mod rope;
mod sampling;
mod simd;
mod source;
#[cfg(test)]
mod test_weights;
mod vector;

pub use attention::{AttentionParams, AttentionRow, CacheShape, TokenRows, empty_cache, paged_attention};
pub use bidirectional::{SelfAttention, self_attention};
pub use cpu::InstructionSet;
pub use dense::{DenseProduct, DenseRows, DenseSizeError, DenseType, DenseWeight, linear_dense};
pub use elementwise::{Gate, gate};
pub use file::MappedFile;
pub use gelu::gelu;
pub use layer_norm::{LayerNorm, layer_norm};
pub use linear::linear_f32;
pub use product::{Part, Product, linear, linear_into};
pub use quant::{BlockType, PackError, PackedWeight, QuantisedRows};
pub use rope::{Pairing, RopeTable, rope};
pub use sampling::{argmax, exp_scaled, log_sum_exp, top_k};
pub use source::RowSource;
pub use vector::KvElement;
