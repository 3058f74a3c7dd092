//! Products of activations with dense weights, on all threads.

use std::{cell::RefCell, ops::Range};

use super::{
    CHUNK, DenseActivations, DenseType, DenseWeight,
    activations::{Block, RowsWriter},
    epilogue::{self, Place, Sums},
    kernel::{self, MAX_PANELS, MAX_SUMS},
    path::Path,
    tile_args::TileArgs,
};
use crate::{
    pool::{self, Pool, SharedMut},
    quant::NR,
};

/// Bytes of weights that a task holds in L2 while the rows pass.
const TASK_BYTES: usize = 256 << 10;
/// Multiplications below which a task is not worth handing out.
const MIN_TASK_PRODUCTS: usize = 256 << 10;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 8;

thread_local! {
    /// The rows of [`linear_dense`], kept for their memory.
    static ROWS: RefCell<DenseActivations> = RefCell::default();
}

/// `out = x·wᵀ + bias`: `x` is `[n_rows, n_in]`, `bias` `[n_out]`, `out` `[n_rows, n_out]`. Lays `x` out
/// first; where several products share it, use [`DenseActivations`] and [`DenseMatmul`].
///
/// # Panics
/// When a slice's length does not fit.
pub fn linear_dense(x: &[f32], w: &DenseWeight, bias: Option<&[f32]>, out: &mut [f32]) {
    ROWS.with_borrow_mut(|rows| {
        rows.fill(x, w.n_in(), w.dense_type());
        DenseMatmul { x: rows, w, bias }.write(out);
    });
}

/// `x·wᵀ + bias`, on all threads. An element has the same bits whatever the other rows, the threads and
/// the processor are.
#[derive(Debug, Clone, Copy)]
pub struct DenseMatmul<'a> {
    /// `[n_rows, n_in]`, filled for weights of this type.
    pub x: &'a DenseActivations,
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

impl DenseMatmul<'_> {
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
    /// As [`DenseMatmul::write`].
    pub fn add_to(&self, out: &mut [f32]) {
        self.check_out(out);
        self.run(pool::global(), Path::chosen(), &Sink::Add(SharedMut(out.as_mut_ptr())));
    }

    /// Makes `out` the GELU of the product, `[n_rows, n_out]`, for a product with weights of the type
    /// `next`. The same as [`DenseMatmul::write`], [`crate::gelu`] and [`DenseActivations::fill`], without the
    /// way through memory.
    ///
    /// # Panics
    /// As [`DenseMatmul::write`].
    pub fn gelu_rows(&self, out: &mut DenseActivations, next: DenseType) {
        let path = Path::chosen();
        out.reset(path.format(next), self.x.n_rows(), self.w.n_out());
        self.run(pool::global(), path, &Sink::GeluRows(out.writer()));
    }

    /// [`DenseMatmul::write`] on the threads of `pool`, by a path that this machine has.
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
        let (panels, tiles) = self.task_shape(pool.n_threads());
        let (n_panels, n_tiles) = (w.n_panels(), x.n_tiles());
        let tile_parts = n_tiles.div_ceil(tiles);
        pool.run(n_panels.div_ceil(panels) * tile_parts, &|task| {
            let (g, t) = (task / tile_parts * panels, task % tile_parts * tiles);
            self.run_task(path, sink, g..(g + panels).min(n_panels), t..(t + tiles).min(n_tiles));
        });
    }

    /// Panels and tiles of a task. Panels are whole runs, so that no two tasks write the same chunk.
    fn task_shape(&self, n_threads: usize) -> (usize, usize) {
        let (n_panels, n_tiles) = (self.w.n_panels(), self.x.n_tiles());
        let most = (TASK_BYTES / self.w.panel_bytes()).next_multiple_of(MAX_PANELS).max(MAX_PANELS);
        if n_threads == 1 {
            return (most, n_tiles);
        }
        let n_tasks = n_threads * TASKS_PER_THREAD;
        let panel_products = self.x.n_rows() * self.w.panel_bytes() / 2;
        let least = MIN_TASK_PRODUCTS.div_ceil(panel_products).next_multiple_of(MAX_PANELS);
        let wanted = n_panels.div_ceil(n_tasks).next_multiple_of(MAX_PANELS);
        let panels = wanted.max(least).min(most);
        let parts = (n_tasks / n_panels.div_ceil(panels)).clamp(1, n_tiles.div_ceil(4));
        (panels, n_tiles.div_ceil(parts))
    }

    /// The product of some panels with some tiles: every tile goes through all panels before the next.
    fn run_task(&self, path: Path, sink: &Sink, panels: Range<usize>, tiles: Range<usize>) {
        let mut sums = [0f32; MAX_SUMS];
        for index in tiles {
            let tile = self.x.tile(index);
            let n_rows = tile.rows.len();
            let step = kernel::panels_at_once(n_rows);
            for first in panels.clone().step_by(step) {
                let n_panels = step.min(panels.end - first);
                let args = TileArgs {
                    weights: self.w.panels(first, n_panels),
                    panel_bytes: self.w.panel_bytes(),
                    n_rows,
                    lines: tile.lines,
                };
                let stride = n_panels * NR;
                let sums = &mut sums[..n_rows * stride];
                kernel::multiply(path, self.w.dense_type(), &args, sums);
                let columns = first * NR..(first * NR + stride).min(self.w.n_out());
                let bias = self.bias.map_or(&[][..], |bias| &bias[columns.clone()]);
                self.epilogue(sink, index, columns, &mut Sums { sums, stride, bias });
            }
        }
    }

    /// Hands the sums of a tile of rows with the weight rows `columns` to the sink. No other task has
    /// both this tile and any of these columns.
    fn epilogue(&self, sink: &Sink, tile: usize, columns: Range<usize>, sums: &mut Sums<'_>) {
        let place = |out: &SharedMut<f32>| {
            let first = self.x.tile(tile).rows.start * self.w.n_out() + columns.start;
            // SAFETY: the rows of the tile and the columns are inside `out`, which the caller of the
            // product lends for its length, and this task's alone.
            unsafe { Place::new(out.get().add(first), self.w.n_out(), columns.len()) }
        };
        match sink {
            Sink::Write(out) => epilogue::write(sums, place(out)),
            Sink::Add(out) => epilogue::add(sums, place(out)),
            Sink::GeluRows(writer) => {
                epilogue::gelu(sums);
                for at in (0..columns.len()).step_by(CHUNK) {
                    let n = CHUNK.min(columns.len() - at);
                    let block = Block { x: &sums.sums[at..], stride: sums.stride, n };
                    // SAFETY: the rows stand while the product runs, and the chunk is this task's
                    // alone: runs are whole chunks, up to the last of all.
                    unsafe { writer.write_chunk(tile, (columns.start + at) / CHUNK, block) };
                }
            }
        }
    }
}
