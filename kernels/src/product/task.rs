//! How one weight's product is cut into tasks, and one task's work.

use std::{cell::RefCell, ops::Range};

use super::{Part, kernel::Stream, scalar, super_block::UNPACKED_BYTES, tiles::Tiles};
use crate::{
    cpu::InstructionSet,
    elementwise::gate_values,
    pages::AlignedBytes,
    pool::SharedMut,
    quant::{BlockType, GROUP, MAX_TILE_ROWS, PackedWeight, QuantisedRows, RowTile},
};

/// Bytes of weights that a task holds in the second cache while the rows pass.
const TASK_BYTES: usize = 256 << 10;
/// Bytes of weights below which a task is not worth handing out, when one tile passes over them.
const MIN_TASK_BYTES: usize = 16 << 10;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 8;

thread_local! {
    /// The unpacked groups of a task, kept for their memory.
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

/// Some groups of a weight, as tiles read them.
#[derive(Clone, Copy)]
struct Groups<'g> {
    block_type: BlockType,
    /// Whether they are the unpacked bytes.
    is_unpacked: bool,
    bytes: &'g [u8],
    /// Bytes of each.
    n: usize,
}

impl<'g> Groups<'g> {
    /// Group `i` and those behind it; what is behind the last one has no bytes but a place.
    fn from(&self, i: usize) -> &'g [u8] {
        &self.bytes[i * self.n..]
    }
}

/// The tasks of one part.
pub(super) struct PartTasks<'a> {
    /// The kernels; none for plain Rust.
    kernels: Option<Tiles>,
    x: &'a QuantisedRows,
    part: Part<'a>,
    /// The first of its columns in a row of the output.
    column: usize,
    /// The number of its first task.
    first_task: usize,
    /// Groups and tiles of a task.
    groups: usize,
    tiles: usize,
}

impl<'a> PartTasks<'a> {
    pub(super) fn new(
        set: InstructionSet,
        x: &'a QuantisedRows,
        part: Part<'a>,
        column: usize,
        first_task: usize,
        n_threads: usize,
    ) -> Self {
        let (n_groups, n_tiles) = (part.w.n_groups(), x.n_tiles());
        let group_bytes = part.w.group_bytes() + part.gates.map_or(0, |(_, up)| up.group_bytes());
        let most = (TASK_BYTES / group_bytes).max(1);
        let (groups, tiles) = if n_threads == 1 {
            (most.min(n_groups.max(1)), n_tiles)
        } else {
            let n_tasks = n_threads * TASKS_PER_THREAD;
            let least = (MIN_TASK_BYTES / n_tiles / group_bytes).max(1);
            let groups = n_groups.div_ceil(n_tasks).clamp(least.min(most), most);
            let parts = (n_tasks / n_groups.div_ceil(groups).max(1)).clamp(1, n_tiles.div_ceil(4));
            (groups, n_tiles.div_ceil(parts))
        };
        Self { kernels: Tiles::of(set), x, part, column, first_task, groups, tiles }
    }

    /// One past the number of its last task.
    pub(super) fn end(&self) -> usize {
        self.first_task + self.part.w.n_groups().div_ceil(self.groups) * self.tile_parts()
    }

    fn tile_parts(&self) -> usize {
        self.x.n_tiles().div_ceil(self.tiles)
    }

    /// The product of the groups and tiles of one task.
    pub(super) fn run(&self, task: usize, target: &Target<'_>) {
        let task = task - self.first_task;
        let within = |i: usize, size: usize, n: usize| i * size..((i + 1) * size).min(n);
        let groups = within(task / self.tile_parts(), self.groups, self.part.w.n_groups());
        let tiles = within(task % self.tile_parts(), self.tiles, self.x.n_tiles());
        UNPACKED.with_borrow_mut(|memory| {
            let up = self.part.gates.map(|(_, up)| up);
            let n_rows = tiles.clone().map(|tile| self.x.tile(tile).rows.len()).sum();
            let len = |w: &PackedWeight| self.unpacked_len(w, groups.len(), n_rows);
            let (len_w, len_up) = (len(self.part.w), up.map_or(0, len));
            if memory.len() < len_w + len_up {
                *memory = AlignedBytes::zeroed(len_w + len_up);
            }
            let (for_w, rest) = memory.split_at_mut(len_w);
            let w = self.groups(self.part.w, groups.clone(), for_w);
            let up = up.map(|up| self.groups(up, groups.clone(), &mut rest[..len_up]));
            for tile in tiles {
                self.run_tile(&self.x.tile(tile), groups.clone(), w, up, target);
            }
        });
    }

    /// Bytes that groups take unpacked; 0 where they are better unpacked on the way: for few rows.
    fn unpacked_len(&self, w: &PackedWeight, n_groups: usize, n_rows: usize) -> usize {
        let has_bytes = self
            .kernels
            .is_some_and(|kernels| n_rows > kernels.few_rows && (kernels.unpack)(w.block_type()).is_some());
        let spans = w.n_in() / w.block_type().block_len();
        if has_bytes { n_groups * spans * UNPACKED_BYTES } else { 0 }
    }

    /// The groups of `w` as the tiles read them, unpacked into `memory` unless that is empty.
    fn groups<'g>(&self, w: &'g PackedWeight, groups: Range<usize>, memory: &'g mut [u8]) -> Groups<'g> {
        let block_type = w.block_type();
        let unpack = self.kernels.and_then(|kernels| (kernels.unpack)(block_type));
        let Some(unpack) = unpack.filter(|_| !memory.is_empty()) else {
            return Groups { block_type, is_unpacked: false, bytes: w.groups(groups), n: w.group_bytes() };
        };
        let n = memory.len() / groups.len();
        for (group, out) in groups.zip(memory.chunks_exact_mut(n)) {
            // SAFETY: the processor has the kernels' set: `Product::run_on` made sure.
            unsafe { unpack(w.groups(group..group + 1), out) };
        }
        Groups { block_type, is_unpacked: true, bytes: memory, n }
    }

    /// One tile with the groups of a task.
    fn run_tile(
        &self,
        tile: &RowTile<'_>,
        groups: Range<usize>,
        w: Groups<'_>,
        up: Option<Groups<'_>>,
        target: &Target<'_>,
    ) {
        let (mut sums, mut gated) = ([[0f32; GROUP]; MAX_TILE_ROWS], [[0f32; GROUP]; MAX_TILE_ROWS]);
        let (sums, gated) = (&mut sums[..tile.rows.len()], &mut gated[..tile.rows.len()]);
        for (i, group) in groups.enumerate() {
            let next = up.map_or(w.from(i + 1), |up| up.from(i));
            self.multiply(w, i, next, tile.records, sums);
            if let Some(bias) = self.part.bias {
                let bias = &bias[group * GROUP..self.part.w.n_out().min((group + 1) * GROUP)];
                sums.iter_mut().for_each(|sums| add(sums, bias));
            }
            if let (Some((activation, _)), Some(up)) = (self.part.gates, up) {
                self.multiply(up, i, w.from(i + 1), tile.records, gated);
                gate_values(activation, sums.as_flattened_mut(), gated.as_flattened());
            }
            self.finish(group, tile.rows.clone(), sums, target);
        }
    }

    /// Adds the residual to the values of one group with some rows, and writes them.
    fn finish(&self, group: usize, rows: Range<usize>, sums: &mut [[f32; GROUP]], target: &Target<'_>) {
        let first = group * GROUP;
        let n = GROUP.min(self.part.w.n_out() - first);
        let at = |row: usize| row * target.row_len + self.column + first;
        if let Some(residual) = target.residual {
            add_rows(sums, n, &residual[at(rows.start)..], target.row_len);
        }
        // SAFETY: the rows from here on lie inside the output, as row < n_rows and the part's columns
        // lie inside a row; no other task has this tile with this group of this part, so this thread
        // alone writes these elements, and nobody reads them.
        unsafe {
            let out = target.out.get().add(at(rows.start));
            if n == GROUP {
                write_groups(sums, out, target.row_len);
            } else {
                write_part(sums, n, out, target.row_len);
            }
        }
    }

    /// Group `i` of `groups` with one tile: `sums` is `[row of the tile][weight row]`. Afterwards the
    /// thread goes on with the weights at `next`.
    fn multiply(
        &self,
        groups: Groups<'_>,
        i: usize,
        next: &[u8],
        records: &[u32],
        sums: &mut [[f32; GROUP]],
    ) {
        let group = &groups.from(i)[..groups.n];
        let tile = match self.kernels {
            None => return scalar::tile(groups.block_type, group, records, sums),
            Some(kernels) if groups.is_unpacked => (kernels.of_bytes)(sums.len()),
            Some(kernels) => (kernels.packed)(groups.block_type, sums.len()),
        };
        // SAFETY: the processor has the kernels' set: `Product::run_on` made sure.
        unsafe { tile(Stream { group, next }, records, sums) }
    }
}

/// Adds `values` to the first of the sums.
#[inline]
fn add(sums: &mut [f32; GROUP], values: &[f32]) {
    match <&[f32; GROUP]>::try_from(values) {
        Ok(values) => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
        Err(_) => sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
    }
}

/// Adds the first `n` of the values at every `stride`. By itself, so that sixteen are added at once,
/// and not value by value of all rows together.
#[inline(never)]
fn add_rows(sums: &mut [[f32; GROUP]], n: usize, values: &[f32], stride: usize) {
    for (row, sums) in sums.iter_mut().enumerate() {
        add(sums, &values[row * stride..][..n]);
    }
}

/// Writes whole groups, `stride` apart. By itself, so that the length is known and no call is made
/// for each.
///
/// # Safety
/// The groups lie inside memory that this thread alone uses.
#[inline(never)]
unsafe fn write_groups(sums: &[[f32; GROUP]], out: *mut f32, stride: usize) {
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: as this function.
        unsafe { out.add(row * stride).cast::<[f32; GROUP]>().write_unaligned(*sums) };
    }
}

/// Writes the first `n` of each, `stride` apart.
///
/// # Safety
/// They lie inside memory that this thread alone uses.
#[inline(never)]
unsafe fn write_part(sums: &[[f32; GROUP]], n: usize, out: *mut f32, stride: usize) {
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: as this function; n is at most the length of a group.
        unsafe { out.add(row * stride).copy_from_nonoverlapping(sums.as_ptr(), n) };
    }
}
