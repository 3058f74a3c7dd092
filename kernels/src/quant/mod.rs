//! Quantised weights and rows: how GGUF stores them, and how the products want them.
//!
//! A weight is `scale·q + minimum` with an unsigned `q` of 4, 5, 6 or 8 bits; scale and minimum are
//! shared by a block of 32 (16 for Q6_K). [`gguf`] reads the blocks of a file, [`steps`] gives those of
//! a super-block one step, [`tile`] interleaves sixteen rows of them, [`PackedWeight`] holds a matrix of such tiles, [`QuantisedRows`] the
//! activations that it is multiplied with. Next on the path: `product`.

mod block_type;
mod gguf;
pub(crate) mod record;
mod rows;
pub(crate) mod steps;
pub(crate) mod tile;
mod weight;

pub use block_type::BlockType;
pub use rows::QuantisedRows;
pub(crate) use rows::{MAX_TILE_ROWS, RowTile};
pub use weight::{PackError, PackedWeight};

/// Weights that a scale is shared by, at least in part, and that are multiplied together.
pub(crate) const BLOCK: usize = 32;
/// Weights whose blocks share a scale of scales.
pub(crate) const SUPER_BLOCK: usize = 256;
/// Weight rows that lie interleaved: as many as the widest register has 32-bit lanes.
pub(crate) const GROUP: usize = 16;
