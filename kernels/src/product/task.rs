//! How one weight's product is cut into tasks, and one task's work.

use std::ops::Range;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::tiles;
use super::{Part, scalar};
use crate::{
    cpu::InstructionSet,
    elementwise::gate,
    pool::SharedMut,
    quant::{GROUP, MAX_TILE_ROWS, PackedWeight, QuantisedRows},
};

/// Bytes of weights that a task holds in the second cache while the rows pass.
const TASK_BYTES: usize = 256 << 10;
/// Bytes of weights below which a task is not worth handing out, when one tile passes over them.
const MIN_TASK_BYTES: usize = 16 << 10;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 8;

/// Where the tasks of all parts write.
pub(super) struct Target<'a> {
    /// `[n_rows, row_len]`, maybe not yet written.
    pub(super) out: SharedMut<f32>,
    pub(super) row_len: usize,
    /// What is added, of the same shape.
    pub(super) residual: Option<&'a [f32]>,
}

/// The tasks of one part.
pub(super) struct PartTasks<'a> {
    set: InstructionSet,
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
        Self { set, x, part, column, first_task, groups, tiles }
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
        let (mut sums, mut gated) = ([[0f32; GROUP]; MAX_TILE_ROWS], [[0f32; GROUP]; MAX_TILE_ROWS]);
        for tile in tiles {
            let tile = self.x.tile(tile);
            let (sums, gated) = (&mut sums[..tile.rows.len()], &mut gated[..tile.rows.len()]);
            for group in groups.clone() {
                self.tile(self.part.w, group, tile.records, sums);
                if let Some(bias) = self.part.bias {
                    let bias = &bias[group * GROUP..self.part.w.n_out().min((group + 1) * GROUP)];
                    sums.iter_mut().for_each(|sums| add(sums, bias));
                }
                if let Some((activation, up)) = self.part.gates {
                    self.tile(up, group, tile.records, gated);
                    gate(activation, sums.as_flattened_mut(), gated.as_flattened());
                }
                self.finish(group, tile.rows.clone(), sums, target);
            }
        }
    }

    /// Adds the residual to the values of one group with some rows, and writes them.
    fn finish(&self, group: usize, rows: Range<usize>, sums: &mut [[f32; GROUP]], target: &Target<'_>) {
        let first = group * GROUP;
        let n = GROUP.min(self.part.w.n_out() - first);
        let at = |row: usize| row * target.row_len + self.column + first;
        if let Some(residual) = target.residual {
            rows.clone().zip(sums.iter_mut()).for_each(|(row, sums)| add(sums, &residual[at(row)..][..n]));
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

    /// One group with one tile: `sums` is `[row of the tile][weight row]`.
    fn tile(&self, w: &PackedWeight, group: usize, records: &[u32], sums: &mut [[f32; GROUP]]) {
        let (block_type, group) = (w.block_type(), w.group(group));
        match self.set {
            InstructionSet::Scalar => scalar::tile(block_type, group, records, sums),
            // SAFETY: `Product::run_on` made sure that the machine has the set.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe {
                tiles::avx2::tile_fn(block_type, sums.len())(group, records, sums);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe {
                tiles::avx512::tile_fn(block_type, sums.len())(group, records, sums);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => unsafe {
                tiles::neon::tile_fn(block_type, sums.len())(group, records, sums);
            },
        }
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
