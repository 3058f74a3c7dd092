//! The numeric kernels of tier0: plain slices in, plain slices out, no tensor library.
//!
//! Every floating-point reduction runs in an order that depends on the row alone, never on how
//! many rows there are or which thread takes them: a sequence gives the same bits alone and in
//! any batch.

pub mod attention;
mod linear;
mod vector;

pub use attention::{AttentionParams, AttentionRow, paged_attention};
pub use linear::linear_f32;
pub use vector::KvElement;
