//! Rows of activations, quantised once for all products that take them.

use std::{cell::RefCell, ops::Range};

use super::{
    BLOCK, SUPER_BLOCK,
    record::{self, OfBlock, OfSuperBlock, Plain, Quantise, Record, Registers},
};
use crate::{
    cpu::InstructionSet,
    pool::{Pool, SharedMut},
    source::{RowSource, for_row_tasks},
};

/// Rows that one pass over the weights serves at most: their sums fill the registers.
pub(crate) const MAX_TILE_ROWS: usize = 16;
/// Up to so many rows, weights come from memory and the passes over them count: tiles are large, where
/// the instruction set has large ones. For more, they come from the cache, and tiles of this many are
/// fastest, as measured on Zen 4.
const FEW_ROWS: usize = 32;
const USUAL_TILE_ROWS: usize = 8;

thread_local! {
    /// A row between what is done to it and its quantisation, kept for its memory.
    static SCRATCH: RefCell<Vec<f32>> = RefCell::default();
}

/// Rows of activations, `[n_rows, n_in]`, as signed bytes with a scale for each block, which has the
/// length of the weights' blocks: `x ≈ scale·q`, `scale` the block's largest magnitude over 127.
///
/// They lie as the products read them: in tiles of a few rows, block by block, `[tile][block][row]`
/// records. How many rows a tile has depends on `n_rows` and the processor; what a record holds
/// only on its row.
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
    /// Their records, `[block][row]`.
    pub(crate) records: &'a [u32],
}

impl QuantisedRows {
    /// No rows; [`QuantisedRows::fill`] reuses the memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Quantises rows of `n_in`, in blocks of 32 or 256, in place of what was there.
    ///
    /// # Panics
    /// When blocks have another length, `n_in` is zero or not a multiple of theirs, or the source is
    /// not whole rows of it.
    pub fn fill(&mut self, source: RowSource<'_>, n_in: usize, block_len: usize) {
        self.fill_on(crate::pool::global(), source, n_in, block_len);
    }

    /// [`QuantisedRows::fill`] on the threads of `pool`.
    ///
    /// # Panics
    /// As [`QuantisedRows::fill`].
    pub fn fill_on(&mut self, pool: &Pool, source: RowSource<'_>, n_in: usize, block_len: usize) {
        self.fill_with(InstructionSet::chosen(), pool, source, [n_in, block_len]);
    }

    /// [`QuantisedRows::fill_on`] with an instruction set that the processor has.
    fn fill_with(
        &mut self,
        set: InstructionSet,
        pool: &Pool,
        source: RowSource<'_>,
        [n_in, block_len]: [usize; 2],
    ) {
        assert!([BLOCK, SUPER_BLOCK].contains(&block_len), "there are no blocks of {block_len}");
        assert!(
            n_in > 0 && n_in.is_multiple_of(block_len),
            "rows of {n_in} are not whole blocks of {block_len}"
        );
        self.layout = Layout::new(set, source.n_rows(n_in), n_in, block_len);
        self.words.resize(self.layout.n_rows * self.layout.row_words(), 0);
        let target = Target { layout: self.layout, words: SharedMut(self.words.as_mut_ptr()) };
        for_row_tasks(pool, self.layout.n_rows, n_in, &|rows| {
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.resize(n_in, 0.0);
                // SAFETY: the processor has the set.
                unsafe { quantise_rows(set, source, rows, scratch, &target) };
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

    /// Values that share a scale.
    pub fn block_len(&self) -> usize {
        self.layout.block_len
    }

    /// Tiles of at most [`MAX_TILE_ROWS`], as equal as can be.
    pub(crate) fn n_tiles(&self) -> usize {
        self.layout.n_tiles
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
    block_len: usize,
    n_tiles: usize,
}

impl Layout {
    fn new(set: InstructionSet, n_rows: usize, n_in: usize, block_len: usize) -> Self {
        let large = n_rows <= FEW_ROWS && set.has_large_tiles();
        let n_tiles = n_rows.div_ceil(if large { MAX_TILE_ROWS } else { USUAL_TILE_ROWS });
        Self { n_rows, n_in, block_len, n_tiles }
    }

    /// The rows of a tile: the first ones have one more where they do not come out even.
    fn tile_rows(self, tile: usize) -> Range<usize> {
        let n_tiles = self.n_tiles.max(1);
        let (size, n_large) = (self.n_rows / n_tiles, self.n_rows % n_tiles);
        let start = |tile: usize| tile * size + tile.min(n_large);
        start(tile)..start(tile + 1)
    }

    /// The rows of the tile that `row` is in.
    fn tile_around(self, row: usize) -> Range<usize> {
        let (size, n_large) = (self.n_rows / self.n_tiles, self.n_rows % self.n_tiles);
        let in_large = n_large * (size + 1);
        self.tile_rows(if row < in_large { row / (size + 1) } else { n_large + (row - in_large) / size })
    }

    /// Words that the records of one row take.
    fn row_words(self) -> usize {
        self.n_in / self.block_len * record::words(self.block_len)
    }
}

/// The records that the tasks of one call write, each those of its rows.
struct Target {
    layout: Layout,
    words: SharedMut<u32>,
}

/// Quantises some rows; `scratch` has room for one.
///
/// # Safety
/// The processor has `set`.
unsafe fn quantise_rows(
    set: InstructionSet,
    source: RowSource<'_>,
    rows: Range<usize>,
    scratch: &mut [f32],
    target: &Target,
) {
    // SAFETY: as this function.
    unsafe {
        match set {
            InstructionSet::Scalar => quantise_rows_on::<Plain>(source, rows, scratch, target),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 | InstructionSet::AvxVnni => avx2(source, rows, scratch, target),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => avx512(source, rows, scratch, target),
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => {
                quantise_rows_on::<Registers<crate::simd::Neon>>(source, rows, scratch, target);
            }
        }
    }
}

/// # Safety
/// The processor has these features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn avx512(source: RowSource<'_>, rows: Range<usize>, scratch: &mut [f32], target: &Target) {
    // SAFETY: as this function.
    unsafe { quantise_rows_on::<Registers<crate::simd::Avx512>>(source, rows, scratch, target) }
}

/// # Safety
/// The processor has these features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(source: RowSource<'_>, rows: Range<usize>, scratch: &mut [f32], target: &Target) {
    // SAFETY: as this function.
    unsafe { quantise_rows_on::<Registers<crate::simd::Avx2>>(source, rows, scratch, target) }
}

/// # Safety
/// As [`Quantise::quantise`].
#[inline(always)]
unsafe fn quantise_rows_on<Q: Quantise>(
    source: RowSource<'_>,
    rows: Range<usize>,
    scratch: &mut [f32],
    target: &Target,
) {
    for row in rows {
        let x = source.row(row, scratch);
        // SAFETY: as this function.
        unsafe {
            if target.layout.block_len == SUPER_BLOCK {
                write_row::<Q, OfSuperBlock, _, _>(x, row, target);
            } else {
                write_row::<Q, OfBlock, _, _>(x, row, target);
            }
        }
    }
}

/// Writes the records of one row, `N` values and `W` words each.
///
/// # Safety
/// As [`Quantise::quantise`].
#[inline(always)]
unsafe fn write_row<Q: Quantise, R: Record<N, W>, const N: usize, const W: usize>(
    x: &[f32],
    row: usize,
    target: &Target,
) {
    debug_assert_eq!([N, W], [target.layout.block_len, record::words(N)]);
    let tile = target.layout.tile_around(row);
    let first = tile.start * target.layout.row_words() + (row - tile.start) * W;
    for (i, x) in x.as_chunks::<N>().0.iter().enumerate() {
        // SAFETY: inside the words, of which the tile has `row_words` for each of its rows; this
        // task alone has this row, and each row its own records.
        let record = unsafe { &mut *target.words.get().add(first + i * tile.len() * W).cast::<[u32; W]>() };
        // SAFETY: as this function.
        unsafe { R::write::<Q>(x, record) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quant::record::{block, super_block};

    fn quantised(x: &[f32], n_in: usize, block_len: usize) -> QuantisedRows {
        let mut rows = QuantisedRows::new();
        rows.fill(RowSource::Plain(x), n_in, block_len);
        rows
    }

    /// A row as its records have it.
    #[derive(Debug, Default, PartialEq)]
    struct Read {
        values: Vec<f32>,
        /// For each value.
        scales: Vec<f32>,
        quants: Vec<i32>,
        /// `Σ scale·q` over each block of 32, where records have it.
        scaled_sums: Vec<f32>,
        /// `Σ q` over each record.
        sums: Vec<i32>,
    }

    /// The records of a row.
    fn records(rows: &QuantisedRows, row: usize) -> impl Iterator<Item = &[u32]> {
        let tile = (0..rows.n_tiles()).map(|t| rows.tile(t)).find(|t| t.rows.contains(&row)).unwrap();
        let records = tile.records.chunks_exact(record::words(rows.block_len()));
        records.skip(row - tile.rows.start).step_by(tile.rows.len())
    }

    fn read(rows: &QuantisedRows, row: usize) -> Read {
        let block_len = rows.block_len();
        let mut read = Read::default();
        for record in records(rows, row) {
            let scale = f32::from_bits(record[block_len / 4]);
            let quants = record[..block_len / 4].iter().flat_map(|word| word.to_le_bytes());
            let quants: Vec<i32> = quants.map(|q| i32::from(q.cast_signed())).collect();
            read.values.extend(quants.iter().map(|q| *q as f32 * scale));
            read.quants.extend(quants);
            read.scales.extend(vec![scale; block_len]);
            if block_len == SUPER_BLOCK {
                read.sums.push(record[super_block::START].cast_signed() / -128);
            } else {
                read.scaled_sums.push(f32::from_bits(record[block::SCALED_SUM]));
                read.sums.push(-record[block::NEGATED_SUM].cast_signed());
                assert_eq!(
                    record[block::START].cast_signed(),
                    record[block::NEGATED_SUM].cast_signed() * 128
                );
            }
        }
        read
    }

    fn case() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
        let value = prop_oneof![8 => -3f32..3.0, 1 => Just(0.0), 1 => -1e4f32..1e4, 4 => Just(2.5)];
        (prop::sample::select(vec![BLOCK, SUPER_BLOCK]), 1usize..5, 0usize..40).prop_flat_map(
            move |(block_len, blocks, rows)| {
                let n_in = blocks * block_len;
                let rows = if block_len == SUPER_BLOCK { rows / 8 } else { rows };
                (Just(block_len), Just(n_in), prop::collection::vec(value.clone(), n_in * rows))
            },
        )
    }

    proptest! {
        #[test]
        fn values_come_back_within_half_a_step((block_len, n_in, x) in case()) {
            let rows = quantised(&x, n_in, block_len);
            prop_assert_eq!(rows.n_rows(), x.len() / n_in);
            for (row, x) in x.chunks_exact(n_in).enumerate() {
                let read_row = read(&rows, row);
                for ((x, got), scale) in x.iter().zip(&read_row.values).zip(&read_row.scales) {
                    prop_assert!((x - got).abs() <= scale * 0.5001);
                }
                let scales = read_row.scales.iter().step_by(BLOCK);
                let values = read_row.values.chunks_exact(BLOCK);
                for ((values, sum), scale) in values.zip(&read_row.scaled_sums).zip(scales) {
                    prop_assert!((values.iter().sum::<f32>() - sum).abs() <= scale * 1e-2);
                }
                for (quants, sum) in read_row.quants.chunks_exact(block_len).zip(&read_row.sums) {
                    prop_assert_eq!(quants.iter().sum::<i32>(), *sum);
                }
                prop_assert_eq!(read(&quantised(x, n_in, block_len), 0), read_row);
            }
        }

        #[test]
        fn every_instruction_set_writes_the_same((block_len, n_in, x) in case()) {
            let want = quantised(&x, n_in, block_len);
            for set in InstructionSet::available() {
                let mut rows = QuantisedRows::new();
                rows.fill_with(set, crate::pool::global(), RowSource::Plain(&x), [n_in, block_len]);
                for row in 0..want.n_rows() {
                    prop_assert!(records(&rows, row).eq(records(&want, row)), "{:?} differs", set);
                }
            }
        }

        #[test]
        fn the_largest_of_a_block_is_127_steps((block_len, n_in, x) in case()) {
            let rows = quantised(&x, n_in, block_len);
            for (row, x) in x.chunks_exact(n_in).enumerate() {
                let scales = read(&rows, row).scales;
                for (x, scale) in x.chunks_exact(block_len).zip(scales.iter().step_by(block_len)) {
                    prop_assert_eq!(*scale, x.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for (bad, block_len) in
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().zip([BLOCK, SUPER_BLOCK, SUPER_BLOCK])
        {
            let mut x = vec![1f32; block_len];
            x[7] = bad;
            assert!(!read(&quantised(&x, block_len, block_len), 0).scales[0].is_finite());
        }
    }

    #[test]
    fn tiny_values_are_zeros() {
        for block_len in [BLOCK, SUPER_BLOCK] {
            let read = read(&quantised(&vec![1e-38; block_len], block_len, block_len), 0);
            assert_eq!(read.values, vec![0.0; block_len]);
        }
    }

    #[test]
    fn memory_is_used_again() {
        let mut rows = quantised(&[1.0; 20 * BLOCK], BLOCK, BLOCK);
        rows.fill(RowSource::Plain(&[2.0; 3 * BLOCK]), BLOCK, BLOCK);
        assert_eq!((rows.n_rows(), rows.tile(0).rows), (3, 0..3));
        assert_eq!(read(&rows, 2).values, [2.0; BLOCK]);
    }
}
