//! Activations as the products want them.

use std::ops::Range;

use super::{
    CHUNK, DenseType,
    element::{round_to_bf16, to_bf16},
    path::Path,
};
use crate::{
    cpu::vectorised,
    pool::{self, SharedMut},
};

/// Rows of a tile, at most: with two registers of weights a row, what the widest register file holds.
pub(super) const MAX_TILE_ROWS: usize = 12;
/// Values that a task converts: below it, handing out costs more than it saves.
const VALUES_PER_TASK: usize = 16 << 10;
/// 32-bit words of a line.
const LINE_WORDS: usize = 16;

/// How the values of rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RowFormat {
    /// bf16, two in a word: the even input in the low half.
    #[default]
    Pairs,
    /// f32, rounded to bf16.
    Rounded,
    /// f32.
    Exact,
}

impl RowFormat {
    /// Cache lines of a chunk of inputs.
    pub(super) fn chunk_lines(self) -> usize {
        match self {
            Self::Pairs => CHUNK / 2 / LINE_WORDS,
            Self::Rounded | Self::Exact => CHUNK / LINE_WORDS,
        }
    }
}

/// A cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; LINE_WORDS]);

/// Activation rows, `[n_rows, n_in]`, laid out for products with dense weights. Keep one and fill it
/// again: it keeps its memory.
///
/// Rows are cut into tiles of nearly equal size; a tile lies chunk by chunk of 32 inputs, in a chunk
/// row by row.
#[derive(Debug, Default)]
pub struct DenseRows {
    format: RowFormat,
    n_rows: usize,
    n_in: usize,
    lines: Vec<Line>,
}

/// One tile of rows.
pub(super) struct Tile<'a> {
    pub(super) rows: Range<usize>,
    /// `[chunk][row][line of the chunk]`.
    pub(super) lines: &'a [Line],
}

impl DenseRows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows of `x`, `[n_rows, n_in]`, for products with weights of this type: rounded to bf16 for
    /// [`DenseType::Bf16`], exact for [`DenseType::F16`].
    ///
    /// # Panics
    /// When `n_in` is zero, or `x` is not whole rows.
    pub fn fill(&mut self, x: &[f32], n_in: usize, weights: DenseType) {
        self.fill_as(Path::chosen().format(weights), x, n_in);
    }

    /// [`DenseRows::fill`] in a given format.
    pub(super) fn fill_as(&mut self, format: RowFormat, x: &[f32], n_in: usize) {
        assert!(n_in > 0 && x.len().is_multiple_of(n_in), "x must be whole rows of {n_in}");
        self.reset(format, x.len() / n_in, n_in);
        let tiles_per_task = VALUES_PER_TASK.div_ceil(MAX_TILE_ROWS * n_in);
        let n_tiles = self.n_tiles();
        let writer = self.writer();
        pool::global().run(n_tiles.div_ceil(tiles_per_task), &|task| {
            for tile in task * tiles_per_task..((task + 1) * tiles_per_task).min(n_tiles) {
                // SAFETY: each tile belongs to one task.
                unsafe { writer.write_tile(tile, &x[writer.rows(tile).start * n_in..]) };
            }
        });
    }

    /// Makes room for rows in this format, whose chunks are still to be written.
    pub(super) fn reset(&mut self, format: RowFormat, n_rows: usize, n_in: usize) {
        (self.format, self.n_rows, self.n_in) = (format, n_rows, n_in);
        self.lines.resize(n_rows * self.row_lines(), Line::default());
    }

    /// Rows that it holds.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values in a row.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    pub(super) fn format(&self) -> RowFormat {
        self.format
    }

    /// Tiles that the rows are cut into.
    pub(super) fn n_tiles(&self) -> usize {
        n_tiles(self.n_rows)
    }

    pub(super) fn tile(&self, tile: usize) -> Tile<'_> {
        let rows = tile_rows(self.n_rows, tile);
        let n = self.row_lines();
        Tile { lines: &self.lines[rows.start * n..rows.end * n], rows }
    }

    /// What several threads write the rows through.
    pub(super) fn writer(&mut self) -> RowsWriter {
        RowsWriter {
            format: self.format,
            n_rows: self.n_rows,
            n_in: self.n_in,
            lines: SharedMut(self.lines.as_mut_ptr()),
        }
    }

    fn row_lines(&self) -> usize {
        self.n_in.div_ceil(CHUNK) * self.format.chunk_lines()
    }
}

fn n_tiles(n_rows: usize) -> usize {
    n_rows.div_ceil(MAX_TILE_ROWS)
}

/// The rows of a tile: all tiles are as large as one another, up to one row.
fn tile_rows(n_rows: usize, tile: usize) -> Range<usize> {
    let n_tiles = n_tiles(n_rows);
    tile * n_rows / n_tiles..(tile + 1) * n_rows / n_tiles
}

/// Writes into [`DenseRows`] from several threads.
#[derive(Debug)]
pub(super) struct RowsWriter {
    format: RowFormat,
    n_rows: usize,
    n_in: usize,
    lines: SharedMut<Line>,
}

impl RowsWriter {
    /// The rows of a tile.
    pub(super) fn rows(&self, tile: usize) -> Range<usize> {
        tile_rows(self.n_rows, tile)
    }

    /// Writes a tile, from the start of `x` on, `[row][n_in]`.
    ///
    /// # Safety
    /// The rows that the writer was made of still stand, and no other thread writes this tile.
    unsafe fn write_tile(&self, tile: usize, x: &[f32]) {
        for first in (0..self.n_in).step_by(CHUNK) {
            let n = CHUNK.min(self.n_in - first);
            // SAFETY: as this function.
            unsafe { self.write_chunk(tile, first / CHUNK, Block { x: &x[first..], stride: self.n_in, n }) };
        }
    }

    /// Writes a chunk of all rows of a tile; what the block does not have of it becomes zero.
    ///
    /// # Panics
    /// When there is no such tile or chunk, or the block has fewer rows than the tile.
    ///
    /// # Safety
    /// The rows that the writer was made of still stand, and no other thread writes this chunk.
    pub(super) unsafe fn write_chunk(&self, tile: usize, chunk: usize, block: Block<'_>) {
        let rows = self.rows(tile);
        let (chunk_lines, n_chunks) = (self.format.chunk_lines(), self.n_in.div_ceil(CHUNK));
        assert!(rows.end <= self.n_rows && chunk < n_chunks, "chunk {chunk} of tile {tile}");
        let start = (rows.start * n_chunks + chunk * rows.len()) * chunk_lines;
        // SAFETY: inside the rows' lines, of which there are `n_chunks · chunk_lines` for each row.
        let lines =
            unsafe { std::slice::from_raw_parts_mut(self.lines.get().add(start), rows.len() * chunk_lines) };
        convert(self.format, block, lines);
    }
}

/// Some values of some rows: value `i` of row `r` is `x[r · stride + i]`, of `n ≤ 32` in each row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) x: &'a [f32],
    pub(super) stride: usize,
    pub(super) n: usize,
}

vectorised! {
    /// A chunk of as many rows as `lines` has room for.
    fn convert(format: RowFormat, block: Block<'_>, lines: &mut [Line]) = convert_plain;
}

#[inline(always)]
fn convert_plain(format: RowFormat, block: Block<'_>, lines: &mut [Line]) {
    for (row, lines) in lines.chunks_exact_mut(format.chunk_lines()).enumerate() {
        let from = &block.x[row * block.stride..][..block.n];
        if let Ok(x) = from.try_into() {
            convert_row(format, x, lines);
        } else {
            let mut x = [0f32; CHUNK];
            x[..block.n].copy_from_slice(from);
            convert_row(format, &x, lines);
        }
    }
}

#[inline(always)]
fn convert_row(format: RowFormat, x: &[f32; CHUNK], lines: &mut [Line]) {
    match (format, lines) {
        (RowFormat::Pairs, [line]) => {
            for (word, pair) in line.0.iter_mut().zip(x.as_chunks::<2>().0) {
                *word = to_bf16(pair[0]) | to_bf16(pair[1]) << 16;
            }
        }
        (RowFormat::Rounded, lines) => store(lines, &x.map(round_to_bf16)),
        (_, lines) => store(lines, x),
    }
}

#[inline(always)]
fn store(lines: &mut [Line], x: &[f32; CHUNK]) {
    for (line, x) in lines.iter_mut().zip(x.as_chunks::<LINE_WORDS>().0) {
        line.0 = x.map(f32::to_bits);
    }
}
