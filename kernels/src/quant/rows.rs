//! Rows of activations, quantised once for all products that take them.

use std::{cell::RefCell, ops::Range};

use super::BLOCK;
use crate::{
    cpu::vectorised,
    pool::{Pool, SharedMut},
    source::{RowSource, for_row_tasks},
};

/// 32-bit words of a record: eight with the 32 quantised values, the scale, the scaled sum, and the
/// negated sums of the two halves.
pub(crate) const RECORD_WORDS: usize = 12;
/// Rows that one pass over the weights serves at most: their sums fill the registers.
pub(crate) const MAX_TILE_ROWS: usize = 16;
/// Up to so many rows, weights come from memory and the passes over them count: tiles are large. For
/// more, they come from the cache, and tiles of this many are fastest, as measured on Zen 4.
const FEW_ROWS: usize = 32;
const USUAL_TILE_ROWS: usize = 8;
/// 1.5·2²³: adding it rounds a small float to the nearest integer, ties to even, and leaves that
/// integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// Largest magnitude below which a block counts as all zeros: the inverse of its scale would overflow.
const SMALLEST: f32 = 1e-30;
/// Largest quantised magnitude.
const LARGEST_QUANT: f32 = 127.0;

thread_local! {
    /// A row between what is done to it and its quantisation, kept for its memory.
    static SCRATCH: RefCell<Vec<f32>> = RefCell::default();
}

/// Rows of activations, `[n_rows, n_in]`, as signed bytes with a scale for each block of 32:
/// `x ≈ scale·q`, `scale` the block's largest magnitude over 127.
///
/// They lie as the products read them: in tiles of a few rows, block by block, `[tile][block][row]`
/// records. How many rows a tile has depends on `n_rows`; what a record holds only on its row.
#[derive(Debug, Clone, Default)]
pub struct QuantisedRows {
    layout: Layout,
    words: Vec<u32>,
}

/// A few rows that go through the weights together.
#[derive(Debug, Clone)]
pub(crate) struct RowTile<'a> {
    /// Which rows.
    pub(crate) rows: Range<usize>,
    /// Their records, `[block][row][RECORD_WORDS]`.
    pub(crate) records: &'a [u32],
}

impl QuantisedRows {
    /// No rows; [`QuantisedRows::fill`] reuses the memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Quantises rows of `n_in` in place of what was there.
    ///
    /// # Panics
    /// When `n_in` is zero or not a multiple of 32, or the source is not whole rows of it.
    pub fn fill(&mut self, source: RowSource<'_>, n_in: usize) {
        self.fill_on(crate::pool::global(), source, n_in);
    }

    /// [`QuantisedRows::fill`] on the threads of `pool`.
    ///
    /// # Panics
    /// As [`QuantisedRows::fill`].
    pub fn fill_on(&mut self, pool: &Pool, source: RowSource<'_>, n_in: usize) {
        assert!(n_in > 0 && n_in.is_multiple_of(BLOCK), "rows of {n_in} are not whole blocks of {BLOCK}");
        self.layout = Layout { n_rows: source.n_rows(n_in), n_in };
        self.words.resize(self.layout.n_rows * self.layout.row_words(), 0);
        let target = Target { layout: self.layout, words: SharedMut(self.words.as_mut_ptr()) };
        for_row_tasks(pool, self.layout.n_rows, n_in, &|rows| {
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(n_in, 0.0);
                quantise_rows(source, rows, scratch, &target);
            });
        });
    }

    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.layout.n_rows
    }

    /// Values in a row.
    pub fn n_in(&self) -> usize {
        self.layout.n_in
    }

    /// Tiles of at most [`MAX_TILE_ROWS`], as equal as can be.
    pub(crate) fn n_tiles(&self) -> usize {
        self.layout.n_tiles()
    }

    /// The tile number `tile`.
    pub(crate) fn tile(&self, tile: usize) -> RowTile<'_> {
        let rows = self.layout.tile_rows(tile);
        let words = self.layout.row_words();
        RowTile { records: &self.words[rows.start * words..rows.end * words], rows }
    }
}

/// How rows are cut into tiles.
#[derive(Debug, Clone, Copy, Default)]
struct Layout {
    n_rows: usize,
    n_in: usize,
}

impl Layout {
    fn n_tiles(self) -> usize {
        let most = if self.n_rows <= FEW_ROWS { MAX_TILE_ROWS } else { USUAL_TILE_ROWS };
        self.n_rows.div_ceil(most)
    }

    /// The rows of a tile: the first ones have one more where they do not come out even.
    fn tile_rows(self, tile: usize) -> Range<usize> {
        let n_tiles = self.n_tiles().max(1);
        let (size, n_large) = (self.n_rows / n_tiles, self.n_rows % n_tiles);
        let start = |tile: usize| tile * size + tile.min(n_large);
        start(tile)..start(tile + 1)
    }

    /// The rows of the tile that `row` is in.
    fn tile_around(self, row: usize) -> Range<usize> {
        let (size, n_large) = (self.n_rows / self.n_tiles(), self.n_rows % self.n_tiles());
        let in_large = n_large * (size + 1);
        self.tile_rows(if row < in_large { row / (size + 1) } else { n_large + (row - in_large) / size })
    }

    /// Words that the records of one row take.
    fn row_words(self) -> usize {
        self.n_in / BLOCK * RECORD_WORDS
    }
}

/// The records that the tasks of one call write, each those of its rows.
struct Target {
    layout: Layout,
    words: SharedMut<u32>,
}

vectorised! {
    /// Quantises some rows; `scratch` has room for one.
    fn quantise_rows(source: RowSource<'_>, rows: Range<usize>, scratch: &mut [f32], target: &Target) = quantise_rows_plain;
}

#[inline(always)]
fn quantise_rows_plain(source: RowSource<'_>, rows: Range<usize>, scratch: &mut [f32], target: &Target) {
    for row in rows {
        let (blocks, _) = source.row(row, scratch).as_chunks::<BLOCK>();
        let tile = target.layout.tile_around(row);
        let first = tile.start * target.layout.row_words() + (row - tile.start) * RECORD_WORDS;
        for (i, block) in blocks.iter().enumerate() {
            let word = first + i * tile.len() * RECORD_WORDS;
            // SAFETY: inside the words, of which the tile has `row_words` for each of its rows; this
            // task alone has this row, and each row its own records.
            let record = unsafe { &mut *target.words.get().add(word).cast::<[u32; RECORD_WORDS]>() };
            quantise_block(block, record);
        }
    }
}

/// Quantises one block. Written in loops of fixed length without branches, so that it vectorises.
#[inline(always)]
fn quantise_block(x: &[f32; BLOCK], record: &mut [u32; RECORD_WORDS]) {
    // The bits of magnitudes order as the magnitudes do, and NaN lies above infinity: what is not
    // finite makes the scale so, and the products with it.
    let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & !(1 << 31)));
    let largest = f32::from_bits(largest);
    let scale = if largest < SMALLEST { 0.0 } else { largest / LARGEST_QUANT };
    let inverse = if largest < SMALLEST { 0.0 } else { LARGEST_QUANT / largest };
    let mut quants = [0i8; BLOCK];
    for (q, x) in quants.iter_mut().zip(x) {
        *q = (x * inverse + ROUNDER).to_bits() as i8;
    }
    let (halves, _) = quants.as_chunks::<{ BLOCK / 2 }>();
    let sum = |half: &[i8; BLOCK / 2]| half.iter().map(|q| i32::from(*q)).sum::<i32>();
    let sums = [sum(&halves[0]), sum(&halves[1])];
    let (quads, _) = quants.as_chunks::<4>();
    for (word, quad) in record.iter_mut().zip(quads) {
        *word = u32::from_le_bytes(quad.map(i8::cast_unsigned));
    }
    record[8] = scale.to_bits();
    record[9] = (scale * (sums[0] + sums[1]) as f32).to_bits();
    record[10] = (-sums[0]).cast_unsigned();
    record[11] = (-sums[1]).cast_unsigned();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn quantised(x: &[f32], n_in: usize) -> QuantisedRows {
        let mut rows = QuantisedRows::new();
        rows.fill(RowSource::Plain(x), n_in);
        rows
    }

    /// Row `row` as the records have it: values, and the sums that they carry.
    fn read(rows: &QuantisedRows, row: usize) -> (Vec<f32>, Vec<f32>, Vec<i32>) {
        let tile = (0..rows.n_tiles()).map(|t| rows.tile(t)).find(|t| t.rows.contains(&row)).unwrap();
        let (mut values, mut sums, mut half_sums) = (vec![], vec![], vec![]);
        let records: Vec<&[u32]> = tile.records.chunks_exact(RECORD_WORDS).collect();
        for record in records.iter().skip(row - tile.rows.start).step_by(tile.rows.len()) {
            let scale = f32::from_bits(record[8]);
            let quants = record[..8].iter().flat_map(|word| word.to_le_bytes());
            values.extend(quants.map(|q| f32::from(q.cast_signed()) * scale));
            sums.push(f32::from_bits(record[9]));
            half_sums.extend(record[10..].iter().map(|word| -word.cast_signed()));
        }
        (values, sums, half_sums)
    }

    proptest! {
        #[test]
        fn values_come_back_within_half_a_step(
            (x, n_in) in (1usize..5, 0usize..40).prop_flat_map(|(blocks, rows)| (
                proptest::collection::vec(prop_oneof![8 => -3f32..3.0, 1 => Just(0.0), 1 => -1e4f32..1e4], blocks * BLOCK * rows),
                Just(blocks * BLOCK),
            )),
        ) {
            let rows = quantised(&x, n_in);
            prop_assert_eq!(rows.n_rows(), x.len() / n_in);
            for (row, x) in x.chunks_exact(n_in).enumerate() {
                let (values, sums, half_sums) = read(&rows, row);
                for (i, (x, got)) in x.chunks_exact(BLOCK).zip(values.chunks_exact(BLOCK)).enumerate() {
                    let step = x.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
                    for (x, got) in x.iter().zip(got) {
                        prop_assert!((x - got).abs() <= step * 0.5001);
                    }
                    let sum: f32 = got.iter().sum();
                    prop_assert!((sum - sums[i]).abs() <= step * 1e-2);
                    let quants: i32 = half_sums[2 * i] + half_sums[2 * i + 1];
                    prop_assert!((quants as f32 * step - sum).abs() <= step * 1e-2);
                }
                let alone = quantised(x, n_in);
                prop_assert_eq!(read(&alone, 0), (values, sums, half_sums));
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1f32; BLOCK];
            x[7] = bad;
            let rows = quantised(&x, BLOCK);
            assert!(!f32::from_bits(rows.words[8]).is_finite());
        }
    }

    #[test]
    fn tiny_values_are_zeros() {
        let (values, ..) = read(&quantised(&[1e-38; BLOCK], BLOCK), 0);
        assert_eq!(values, [0.0; BLOCK]);
    }

    #[test]
    fn memory_is_used_again() {
        let mut rows = quantised(&[1.0; 20 * BLOCK], BLOCK);
        rows.fill(RowSource::Plain(&[2.0; 3 * BLOCK]), BLOCK);
        assert_eq!((rows.n_rows(), rows.tile(0).rows), (3, 0..3));
        assert_eq!(read(&rows, 2).0, [2.0; BLOCK]);
    }
}
