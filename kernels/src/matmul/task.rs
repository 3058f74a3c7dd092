//! How one weight's product is cut into tasks, and one task's work.

use std::{cell::RefCell, ops::Range};

use super::{Part, kernel::WeightPanel, scalar, super_block::UNPACKED_BYTES, tiles::Tiles};
use crate::{
    cpu::InstructionSet,
    elementwise::gate_values,
    pages::AlignedBytes,
    pool::SharedMut,
    quant::{BlockType, MAX_TILE_ROWS, NR, PackedWeight, QuantizedActivations, RowTile},
};

/// Bytes of weights that a task holds in L2 while the rows pass.
const TASK_BYTES: usize = 256 << 10;
/// Bytes of weights below which a task is not worth handing out, when one tile passes over them.
const MIN_TASK_BYTES: usize = 16 << 10;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 8;

thread_local! {
    /// The unpacked panels of a task, kept for their memory.
    static UNPACKED: RefCell<AlignedBytes> = RefCell::new(AlignedBytes::zeroed(0));
}

/// Where the tasks of all parts write.
pub(super) struct Target<'a> {
    /// `[n_rows, row_len]`, maybe not yet written.
    pub(super) out: SharedMut<f32>,
    pub(super) row_len: usize,
    /// What is added, of the same shape.
    pub(super) residual: Option<&'a [f32]>,
}

/// Some panels of a weight, as tiles read them.
#[derive(Clone, Copy)]
struct Panels<'p> {
    block_type: BlockType,
    /// Whether they are the unpacked bytes.
    is_unpacked: bool,
    bytes: &'p [u8],
    /// Bytes of each.
    n: usize,
}

impl<'p> Panels<'p> {
    /// Group `i` and those behind it; the index one past the end gives an empty slice, whose
    /// address is used for prefetching.
    fn from(&self, i: usize) -> &'p [u8] {
        &self.bytes[i * self.n..]
    }
}

/// The tasks of one part.
pub(super) struct PartTasks<'a> {
    /// The kernels; none for plain Rust.
    kernels: Option<Tiles>,
    x: &'a QuantizedActivations,
    part: Part<'a>,
    /// The first of its columns in a row of the output.
    column: usize,
    /// The number of its first task.
    first_task: usize,
    /// Panels and tiles of a task.
    panels: usize,
    tiles: usize,
}

impl<'a> PartTasks<'a> {
    pub(super) fn new(
        set: InstructionSet,
        x: &'a QuantizedActivations,
        part: Part<'a>,
        column: usize,
        first_task: usize,
        n_threads: usize,
    ) -> Self {
        let (n_panels, n_tiles) = (part.w.n_panels(), x.n_tiles());
        let panel_bytes = part.w.panel_bytes() + part.gates.map_or(0, |(_, up)| up.panel_bytes());
        let most = (TASK_BYTES / panel_bytes).max(1);
        let (panels, tiles) = if n_threads == 1 {
            (most.min(n_panels.max(1)), n_tiles)
        } else {
            let n_tasks = n_threads * TASKS_PER_THREAD;
            let least = (MIN_TASK_BYTES / n_tiles / panel_bytes).max(1);
            let panels = n_panels.div_ceil(n_tasks).clamp(least.min(most), most);
            let parts = (n_tasks / n_panels.div_ceil(panels).max(1)).clamp(1, n_tiles.div_ceil(4));
            (panels, n_tiles.div_ceil(parts))
        };
        Self { kernels: Tiles::of(set), x, part, column, first_task, panels, tiles }
    }

    /// One past the number of its last task.
    pub(super) fn end(&self) -> usize {
        self.first_task + self.part.w.n_panels().div_ceil(self.panels) * self.tile_parts()
    }

    fn tile_parts(&self) -> usize {
        self.x.n_tiles().div_ceil(self.tiles)
    }

    /// The product of the panels and tiles of one task.
    pub(super) fn run(&self, task: usize, target: &Target<'_>) {
        let task = task - self.first_task;
        let within = |i: usize, size: usize, n: usize| i * size..((i + 1) * size).min(n);
        let panels = within(task / self.tile_parts(), self.panels, self.part.w.n_panels());
        let tiles = within(task % self.tile_parts(), self.tiles, self.x.n_tiles());
        UNPACKED.with_borrow_mut(|memory| {
            let up = self.part.gates.map(|(_, up)| up);
            let n_rows = tiles.clone().map(|tile| self.x.tile(tile).rows.len()).sum();
            let len = |w: &PackedWeight| self.unpacked_len(w, panels.len(), n_rows);
            let (len_w, len_up) = (len(self.part.w), up.map_or(0, len));
            if memory.len() < len_w + len_up {
                *memory = AlignedBytes::zeroed(len_w + len_up);
            }
            let (for_w, rest) = memory.split_at_mut(len_w);
            let w = self.panels(self.part.w, panels.clone(), for_w);
            let up = up.map(|up| self.panels(up, panels.clone(), &mut rest[..len_up]));
            for tile in tiles {
                self.run_tile(&self.x.tile(tile), panels.clone(), w, up, target);
            }
        });
    }

    /// Bytes that panels take unpacked; 0 where they are better unpacked on the way: for few rows.
    fn unpacked_len(&self, w: &PackedWeight, n_panels: usize, n_rows: usize) -> usize {
        let has_bytes = self.kernels.is_some_and(|kernels| {
            n_rows > kernels.max_rows_in_registers && (kernels.unpack)(w.block_type()).is_some()
        });
        let spans = w.n_in() / w.block_type().block_len();
        if has_bytes { n_panels * spans * UNPACKED_BYTES } else { 0 }
    }

    /// The panels of `w` as the tiles read them, unpacked into `memory` unless that is empty.
    fn panels<'p>(&self, w: &'p PackedWeight, panels: Range<usize>, memory: &'p mut [u8]) -> Panels<'p> {
        let block_type = w.block_type();
        let unpack = self.kernels.and_then(|kernels| (kernels.unpack)(block_type));
        let Some(unpack) = unpack.filter(|_| !memory.is_empty()) else {
            return Panels { block_type, is_unpacked: false, bytes: w.panels(panels), n: w.panel_bytes() };
        };
        let n = memory.len() / panels.len();
        for (panel, out) in panels.zip(memory.chunks_exact_mut(n)) {
            // SAFETY: the processor has the kernels' set: `Matmul::run_on` made sure.
            unsafe { unpack(w.panels(panel..panel + 1), out) };
        }
        Panels { block_type, is_unpacked: true, bytes: memory, n }
    }

    /// One tile with the panels of a task.
    fn run_tile(
        &self,
        tile: &RowTile<'_>,
        panels: Range<usize>,
        w: Panels<'_>,
        up: Option<Panels<'_>>,
        target: &Target<'_>,
    ) {
        let (mut sums, mut gated) = ([[0f32; NR]; MAX_TILE_ROWS], [[0f32; NR]; MAX_TILE_ROWS]);
        let (sums, gated) = (&mut sums[..tile.rows.len()], &mut gated[..tile.rows.len()]);
        for (i, panel) in panels.enumerate() {
            let next = up.map_or(w.from(i + 1), |up| up.from(i));
            self.multiply(w, i, next, tile.q8_blocks, sums);
            if let Some(bias) = self.part.bias {
                let bias = &bias[panel * NR..self.part.w.n_out().min((panel + 1) * NR)];
                sums.iter_mut().for_each(|sums| add(sums, bias));
            }
            if let (Some((activation, _)), Some(up)) = (self.part.gates, up) {
                self.multiply(up, i, w.from(i + 1), tile.q8_blocks, gated);
                gate_values(activation, sums.as_flattened_mut(), gated.as_flattened());
            }
            self.epilogue(panel, tile.rows.clone(), sums, target);
        }
    }

    /// Adds the residual to the values of one panel with some rows, and writes them.
    fn epilogue(&self, panel: usize, rows: Range<usize>, sums: &mut [[f32; NR]], target: &Target<'_>) {
        let first = panel * NR;
        let n = NR.min(self.part.w.n_out() - first);
        let at = |row: usize| row * target.row_len + self.column + first;
        if let Some(residual) = target.residual {
            add_rows(sums, n, &residual[at(rows.start)..], target.row_len);
        }
        // SAFETY: the rows from here on lie inside the output, as row < n_rows and the part's columns
        // lie inside a row; no other task has this tile with this panel of this part, so this thread
        // alone writes these elements, and nobody reads them.
        unsafe {
            let out = target.out.get().add(at(rows.start));
            if n == NR {
                write_panels(sums, out, target.row_len);
            } else {
                write_part(sums, n, out, target.row_len);
            }
        }
    }

    /// Group `i` of `panels` with one tile: `sums` is `[row of the tile][weight row]`. Afterwards the
    /// thread goes on with the weights at `next`.
    fn multiply(&self, panels: Panels<'_>, i: usize, next: &[u8], q8_blocks: &[u32], sums: &mut [[f32; NR]]) {
        let panel = &panels.from(i)[..panels.n];
        let tile = match self.kernels {
            None => return scalar::tile(panels.block_type, panel, q8_blocks, sums),
            Some(kernels) if panels.is_unpacked => (kernels.of_bytes)(sums.len()),
            Some(kernels) => (kernels.packed)(panels.block_type, sums.len()),
        };
        // SAFETY: the processor has the kernels' set: `Matmul::run_on` made sure.
        unsafe { tile(WeightPanel { panel, next }, q8_blocks, sums) }
    }
}

/// Adds `values` to the first of the sums.
#[inline]
fn add(sums: &mut [f32; NR], values: &[f32]) {
    match <&[f32; NR]>::try_from(values) {
        Ok(values) => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
        Err(_) => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    }
}

/// Adds the first `n` of the values at every `stride`. By itself, so that sixteen are added at once,
/// and not value by value of all rows together.
#[inline(never)]
fn add_rows(sums: &mut [[f32; NR]], n: usize, values: &[f32], stride: usize) {
    for (row, sums) in sums.iter_mut().enumerate() {
        add(sums, &values[row * stride..][..n]);
    }
}

/// Writes whole panels, `stride` apart. By itself, so that the length is known and no call is made
/// for each.
///
/// # Safety
/// The panels lie inside memory that this thread alone uses.
#[inline(never)]
unsafe fn write_panels(sums: &[[f32; NR]], out: *mut f32, stride: usize) {
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: as this function.
        unsafe { out.add(row * stride).cast::<[f32; NR]>().write_unaligned(*sums) };
    }
}

/// Writes the first `n` of each, `stride` apart.
///
/// # Safety
/// They lie inside memory that this thread alone uses.
#[inline(never)]
unsafe fn write_part(sums: &[[f32; NR]], n: usize, out: *mut f32, stride: usize) {
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: as this function; n is at most the length of a panel.
        unsafe { out.add(row * stride).copy_from_nonoverlapping(sums.as_ptr(), n) };
    }
}
