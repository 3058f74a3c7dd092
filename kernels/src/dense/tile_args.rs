//! What one call of a tile function multiplies.

use super::format::Line;

/// What is multiplied by a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileArgs<'a> {
    /// Whole panels, see [`super::DenseWeight`].
    pub(super) weights: &'a [u8],
    pub(super) panel_bytes: usize,
    pub(super) n_rows: usize,
    /// A tile: `[chunk][row][line]`.
    pub(super) lines: &'a [Line],
}

impl TileArgs<'_> {
    pub(super) fn n_panels(&self) -> usize {
        self.weights.len() / self.panel_bytes
    }
}
