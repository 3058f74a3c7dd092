//! Products of activations with dense weights, on all threads.

use std::{cell::RefCell, ops::Range};

use super::{
    CHUNK, DenseRows, DenseType, DenseWeight,
    finish::{self, Place, Sums},
    kernel::{self, MAX_GROUPS, MAX_SUMS, Panel},
    path::Path,
    rows::{Block, RowsWriter},
};
use crate::{
    pool::{self, Pool, SharedMut},
    quant::GROUP,
};

/// Bytes of weights that a task holds in the second cache while the rows pass.
const TASK_BYTES: usize = 256 << 10;
/// Multiplications below which a task is not worth handing out.
const MIN_TASK_PRODUCTS: usize = 256 << 10;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 8;

thread_local! {
    /// The rows of [`linear_dense`], kept for their memory.
    static ROWS: RefCell<DenseRows> = RefCell::default();
}

/// `out = x·wᵀ + bias`: `x` is `[n_rows, n_in]`, `bias` `[n_out]`, `out` `[n_rows, n_out]`. Lays `x` out
/// first; where several products share it, use [`DenseRows`] and [`DenseProduct`].
///
/// # Panics
/// When a slice's length does not fit.
pub fn linear_dense(x: &[f32], w: &DenseWeight, bias: Option<&[f32]>, out: &mut [f32]) {
    ROWS.with_borrow_mut(|rows| {
        rows.fill(x, w.n_in(), w.dense_type());
        DenseProduct { x: rows, w, bias }.write(out);
    });
}

/// `x·wᵀ + bias`, on all threads. An element has the same bits whatever the other rows, the threads and
/// the processor are.
#[derive(Debug, Clone, Copy)]
pub struct DenseProduct<'a> {
    /// `[n_rows, n_in]`, filled for weights of this type.
    pub x: &'a DenseRows,
    /// `[n_out, n_in]`.
    pub w: &'a DenseWeight,
    /// `[n_out]`.
    pub bias: Option<&'a [f32]>,
}

/// What becomes of the elements.
#[derive(Debug)]
enum Sink {
    /// Written over `[n_rows, n_out]`.
    Write(SharedMut<f32>),
    /// Added to `[n_rows, n_out]`.
    Add(SharedMut<f32>),
    /// Their GELU is the rows of the next product.
    GeluRows(RowsWriter),
}

impl DenseProduct<'_> {
    /// Writes the product to `out`, `[n_rows, n_out]`.
    ///
    /// # Panics
    /// When a length does not fit, or `x` was filled for weights of another type.
    pub fn write(&self, out: &mut [f32]) {
        self.write_on(pool::global(), Path::chosen(), out);
    }

    /// Adds the product to `out`, `[n_rows, n_out]`: the residual of a layer.
    ///
    /// # Panics
    /// As [`DenseProduct::write`].
    pub fn add_to(&self, out: &mut [f32]) {
        self.check_out(out);
        self.run(pool::global(), Path::chosen(), &Sink::Add(SharedMut(out.as_mut_ptr())));
    }

    /// Makes `out` the GELU of the product, `[n_rows, n_out]`, for a product with weights of the type
    /// `next`. The same as [`DenseProduct::write`], [`crate::gelu`] and [`DenseRows::fill`], without the
    /// way through memory.
    ///
    /// # Panics
    /// As [`DenseProduct::write`].
    pub fn gelu_rows(&self, out: &mut DenseRows, next: DenseType) {
        let path = Path::chosen();
        out.reset(path.format(next), self.x.n_rows(), self.w.n_out());
        self.run(pool::global(), path, &Sink::GeluRows(out.writer()));
    }

    /// [`DenseProduct::write`] on the threads of `pool`, by a path that this machine has.
    pub(super) fn write_on(&self, pool: &Pool, path: Path, out: &mut [f32]) {
        self.check_out(out);
        self.run(pool, path, &Sink::Write(SharedMut(out.as_mut_ptr())));
    }

    fn check_out(&self, out: &[f32]) {
        assert_eq!(out.len(), self.x.n_rows() * self.w.n_out(), "out must be n_rows × n_out");
    }

    /// `sink` must have room for `[n_rows, n_out]`.
    fn run(&self, pool: &Pool, path: Path, sink: &Sink) {
        let Self { x, w, bias } = *self;
        assert_eq!(x.n_in(), w.n_in(), "rows and weights differ in length");
        assert_eq!(x.format(), path.format(w.dense_type()), "rows must be filled for {:?}", w.dense_type());
        assert!(bias.is_none_or(|bias| bias.len() == w.n_out()), "bias must be n_out long");
        if x.n_rows() == 0 || w.n_out() == 0 {
            return;
        }
        let (groups, tiles) = self.task_shape(pool.n_threads());
        let (n_groups, n_tiles) = (w.n_groups(), x.n_tiles());
        let tile_parts = n_tiles.div_ceil(tiles);
        pool.run(n_groups.div_ceil(groups) * tile_parts, &|task| {
            let (g, t) = (task / tile_parts * groups, task % tile_parts * tiles);
            self.run_task(path, sink, g..(g + groups).min(n_groups), t..(t + tiles).min(n_tiles));
        });
    }

    /// Groups and tiles of a task. Groups are whole panels, so that no two tasks write the same chunk.
    fn task_shape(&self, n_threads: usize) -> (usize, usize) {
        let (n_groups, n_tiles) = (self.w.n_groups(), self.x.n_tiles());
        let most = (TASK_BYTES / self.w.group_bytes()).next_multiple_of(MAX_GROUPS).max(MAX_GROUPS);
        if n_threads == 1 {
            return (most, n_tiles);
        }
        let n_tasks = n_threads * TASKS_PER_THREAD;
        let group_products = self.x.n_rows() * self.w.group_bytes() / 2;
        let least = MIN_TASK_PRODUCTS.div_ceil(group_products).next_multiple_of(MAX_GROUPS);
        let wanted = n_groups.div_ceil(n_tasks).next_multiple_of(MAX_GROUPS);
        let groups = wanted.max(least).min(most);
        let parts = (n_tasks / n_groups.div_ceil(groups)).clamp(1, n_tiles.div_ceil(4));
        (groups, n_tiles.div_ceil(parts))
    }

    /// The product of some groups with some tiles: every tile goes through all groups before the next.
    fn run_task(&self, path: Path, sink: &Sink, groups: Range<usize>, tiles: Range<usize>) {
        let mut sums = [0f32; MAX_SUMS];
        for index in tiles {
            let tile = self.x.tile(index);
            let n_rows = tile.rows.len();
            let step = kernel::groups_at_once(n_rows);
            for first in groups.clone().step_by(step) {
                let n_groups = step.min(groups.end - first);
                let panel = Panel {
                    weights: self.w.groups(first, n_groups),
                    group_bytes: self.w.group_bytes(),
                    n_rows,
                    lines: tile.lines,
                };
                let stride = n_groups * GROUP;
                let sums = &mut sums[..n_rows * stride];
                kernel::multiply(path, self.w.dense_type(), &panel, sums);
                let columns = first * GROUP..(first * GROUP + stride).min(self.w.n_out());
                let bias = self.bias.map_or(&[][..], |bias| &bias[columns.clone()]);
                self.finish(sink, index, columns, &mut Sums { sums, stride, bias });
            }
        }
    }

    /// Hands the sums of a tile of rows with the weight rows `columns` to the sink. No other task has
    /// both this tile and any of these columns.
    fn finish(&self, sink: &Sink, tile: usize, columns: Range<usize>, sums: &mut Sums<'_>) {
        let place = |out: &SharedMut<f32>| {
            let first = self.x.tile(tile).rows.start * self.w.n_out() + columns.start;
            // SAFETY: the rows of the tile and the columns are inside `out`, which the caller of the
            // product lends for its length, and this task's alone.
            unsafe { Place::new(out.get().add(first), self.w.n_out(), columns.len()) }
        };
        match sink {
            Sink::Write(out) => finish::write(sums, place(out)),
            Sink::Add(out) => finish::add(sums, place(out)),
            Sink::GeluRows(writer) => {
                finish::gelu(sums);
                for at in (0..columns.len()).step_by(CHUNK) {
                    let n = CHUNK.min(columns.len() - at);
                    let block = Block { x: &sums.sums[at..], stride: sums.stride, n };
                    // SAFETY: the rows stand while the product runs, and the chunk is this task's
                    // alone: panels are whole chunks, up to the last of all.
                    unsafe { writer.write_chunk(tile, (columns.start + at) / CHUNK, block) };
                }
            }
        }
    }
}
