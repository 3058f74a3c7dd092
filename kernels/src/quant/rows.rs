//! Rows of activations, quantised once for all products that take them.

use std::ops::Range;

use super::BLOCK;
use crate::{cpu::vectorised, pool::Pool};

/// 32-bit words of a record: eight with the 32 quantised values, the scale, the scaled sum, and the
/// negated sums of the two halves.
pub(crate) const RECORD_WORDS: usize = 12;
/// Rows that one pass over the weights serves at most: their sums fill the registers.
pub(crate) const MAX_TILE_ROWS: usize = 16;
/// Up to so many rows, weights come from memory and the passes over them count: tiles are large. For
/// more, they come from the cache, and tiles of this many are fastest, as measured on Zen 4.
const FEW_ROWS: usize = 32;
const USUAL_TILE_ROWS: usize = 8;
/// Rows from which quantising is shared among the threads.
const ROWS_WORTH_SHARING: usize = 16;

/// 1.5·2²³: adding it rounds a small float to the nearest integer, ties to even, and leaves that
/// integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// Largest magnitude below which a block counts as all zeros: the inverse of its scale would overflow.
const SMALLEST: f32 = 1e-30;
/// Largest quantised magnitude.
const LARGEST_QUANT: f32 = 127.0;

/// Rows of activations, `[n_rows, n_in]`, as signed bytes with a scale for each block of 32:
/// `x ≈ scale·q`, `scale` the block's largest magnitude over 127.
///
/// They lie as the products read them: in tiles of a few rows, block by block, `[tile][block][row]`
/// records. How many rows a tile has depends on `n_rows`; what a record holds only on its row.
#[derive(Debug, Clone, Default)]
pub struct QuantisedRows {
    n_rows: usize,
    n_in: usize,
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

    /// Quantises `x`, `[n_rows, n_in]`.
    ///
    /// # Panics
    /// When `n_in` is zero or not a multiple of 32, or `x` is not whole rows.
    pub fn quantise(x: &[f32], n_in: usize) -> Self {
        let mut rows = Self::new();
        rows.fill(x, n_in);
        rows
    }

    /// Quantises `x`, `[n_rows, n_in]`, in place of what was there.
    ///
    /// # Panics
    /// As [`QuantisedRows::quantise`].
    pub fn fill(&mut self, x: &[f32], n_in: usize) {
        self.fill_on(crate::pool::global(), x, n_in);
    }

    /// [`QuantisedRows::fill`] on the threads of `pool`.
    ///
    /// # Panics
    /// As [`QuantisedRows::quantise`].
    pub fn fill_on(&mut self, pool: &Pool, x: &[f32], n_in: usize) {
        assert!(n_in > 0 && n_in.is_multiple_of(BLOCK), "rows of {n_in} are not whole blocks of {BLOCK}");
        assert!(x.len().is_multiple_of(n_in), "x must be whole rows of {n_in}, not {} values", x.len());
        self.n_rows = x.len() / n_in;
        self.n_in = n_in;
        let row_words = self.row_words();
        self.words.resize(self.n_rows * row_words, 0);
        let (large, small) = (self.tile_rows(0).len(), self.n_rows / self.n_tiles().max(1));
        let n_large = if large > small { self.n_rows % self.n_tiles() } else { 0 };
        let (first, rest) = self.words.split_at_mut(n_large * large * row_words);
        let (x_first, x_rest) = x.split_at(n_large * large * n_in);
        for (words, x, rows) in [(first, x_first, large), (rest, x_rest, small)] {
            let quantise = |tile: usize, records: &mut [u32]| {
                quantise_tile(&x[tile * rows * n_in..][..rows * n_in], rows, records);
            };
            if x.len() < ROWS_WORTH_SHARING * n_in {
                let tiles = words.chunks_mut((rows * row_words).max(1));
                tiles.enumerate().for_each(|(tile, records)| quantise(tile, records));
            } else {
                pool.run_chunks(words, rows * row_words, &quantise);
            }
        }
    }

    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Values in a row.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Tiles of at most [`MAX_TILE_ROWS`], as equal as can be.
    pub(crate) fn n_tiles(&self) -> usize {
        let most = if self.n_rows <= FEW_ROWS { MAX_TILE_ROWS } else { USUAL_TILE_ROWS };
        self.n_rows.div_ceil(most)
    }

    /// The tile number `tile`.
    pub(crate) fn tile(&self, tile: usize) -> RowTile<'_> {
        let rows = self.tile_rows(tile);
        let words = self.row_words();
        RowTile { records: &self.words[rows.start * words..rows.end * words], rows }
    }

    /// The rows of a tile: the first ones have one more where they do not come out even.
    fn tile_rows(&self, tile: usize) -> Range<usize> {
        let n_tiles = self.n_tiles().max(1);
        let (size, n_large) = (self.n_rows / n_tiles, self.n_rows % n_tiles);
        let start = |tile: usize| tile * size + tile.min(n_large);
        start(tile)..start(tile + 1)
    }

    /// Words that the records of one row take.
    fn row_words(&self) -> usize {
        self.n_in / BLOCK * RECORD_WORDS
    }
}

vectorised! {
    /// Quantises the rows of a tile.
    fn quantise_tile(x: &[f32], n_rows: usize, records: &mut [u32]) = quantise_tile_plain;
}

#[inline(always)]
fn quantise_tile_plain(x: &[f32], n_rows: usize, records: &mut [u32]) {
    if n_rows == 0 {
        return;
    }
    let (records, _) = records.as_chunks_mut::<RECORD_WORDS>();
    for (row, x) in x.chunks_exact(x.len() / n_rows).enumerate() {
        let (blocks, _) = x.as_chunks::<BLOCK>();
        for (block, x) in blocks.iter().enumerate() {
            quantise_block(x, &mut records[block * n_rows + row]);
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
            let rows = QuantisedRows::quantise(&x, n_in);
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
                let alone = QuantisedRows::quantise(x, n_in);
                prop_assert_eq!(read(&alone, 0), (values, sums, half_sums));
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1f32; BLOCK];
            x[7] = bad;
            let rows = QuantisedRows::quantise(&x, BLOCK);
            assert!(!f32::from_bits(rows.words[8]).is_finite());
        }
    }

    #[test]
    fn tiny_values_are_zeros() {
        let (values, ..) = read(&QuantisedRows::quantise(&[1e-38; BLOCK], BLOCK), 0);
        assert_eq!(values, [0.0; BLOCK]);
    }

    #[test]
    fn memory_is_used_again() {
        let mut rows = QuantisedRows::quantise(&[1.0; 20 * BLOCK], BLOCK);
        rows.fill(&[2.0; 3 * BLOCK], BLOCK);
        assert_eq!((rows.n_rows(), rows.tile(0).rows), (3, 0..3));
        assert_eq!(read(&rows, 2).0, [2.0; BLOCK]);
    }
}
