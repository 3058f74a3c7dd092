//! Products of quantised rows with packed weights.
//!
//! A product is cut into tasks of some groups of sixteen weight rows and some tiles of activation rows.
//! Within a task every tile goes through all groups before the next: a tile stays in the first cache
//! and the groups in the second. [`kernel`] computes one tile with one group.

mod kernel;
mod scalar;
mod tiles;

use std::{cell::RefCell, ops::Range};

use crate::{
    cpu::InstructionSet,
    pool::{self, Pool, SharedMut},
    quant::{GROUP, MAX_TILE_ROWS, PackedWeight, QuantisedRows},
};

/// Bytes of weights that a task holds in the second cache while the rows pass.
const TASK_BYTES: usize = 256 << 10;
/// Bytes of weights below which a task is not worth handing out, when one tile passes over them.
const MIN_TASK_BYTES: usize = 16 << 10;
/// Tasks for each thread, so that a slow one does not keep the others waiting for long.
const TASKS_PER_THREAD: usize = 8;

thread_local! {
    /// The rows of [`linear`], kept for their memory.
    static ROWS: RefCell<QuantisedRows> = RefCell::default();
}

/// `out = x·wᵀ + bias`: `x` is `[n_rows, n_in]`, `bias` `[n_out]`, `out` `[n_rows, n_out]`. Quantises
/// `x` first; where several products share it, use [`QuantisedRows`] and [`multiply`].
///
/// # Panics
/// When a slice's length does not fit.
pub fn linear(x: &[f32], w: &PackedWeight, bias: Option<&[f32]>, out: &mut [f32]) {
    ROWS.with_borrow_mut(|rows| {
        rows.fill(x, w.n_in());
        multiply(rows, w, bias, out);
    });
}

/// `out = x·wᵀ + bias`: `x` is `[n_rows, n_in]`, `bias` `[n_out]`, `out` `[n_rows, n_out]`, on all
/// threads. An element has the same bits whatever the other rows, the threads and the processor are.
///
/// # Panics
/// When a slice's length does not fit.
pub fn multiply(x: &QuantisedRows, w: &PackedWeight, bias: Option<&[f32]>, out: &mut [f32]) {
    multiply_on(pool::global(), InstructionSet::chosen(), &Operands { x, w, bias }, out);
}

/// What a product takes.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    /// `[n_rows, n_in]`.
    pub x: &'a QuantisedRows,
    /// `[n_out, n_in]`.
    pub w: &'a PackedWeight,
    /// `[n_out]`.
    pub bias: Option<&'a [f32]>,
}

/// [`multiply`] on the threads of `pool`, with an instruction set that this machine has.
///
/// # Panics
/// When a slice's length does not fit, or the machine lacks the instruction set.
pub fn multiply_on(pool: &Pool, set: InstructionSet, operands: &Operands<'_>, out: &mut [f32]) {
    let Operands { x, w, bias } = *operands;
    let has_set = set == InstructionSet::chosen() || InstructionSet::available().contains(&set);
    assert!(has_set, "this machine has no {}", set.name());
    assert_eq!(x.n_in(), w.n_in(), "rows and weights differ in length");
    assert_eq!(out.len(), x.n_rows() * w.n_out(), "out must be n_rows × n_out");
    assert!(bias.is_none_or(|bias| bias.len() == w.n_out()), "bias must be n_out long");
    if out.is_empty() {
        return;
    }
    let product = Product { set, operands, out: SharedMut(out.as_mut_ptr()) };
    let (groups, tiles) = product.task_shape(pool.n_threads());
    let (n_groups, n_tiles) = (w.n_groups(), x.n_tiles());
    let tile_parts = n_tiles.div_ceil(tiles);
    pool.run(n_groups.div_ceil(groups) * tile_parts, &|task| {
        let (g, t) = (task / tile_parts * groups, task % tile_parts * tiles);
        product.run(g..(g + groups).min(n_groups), t..(t + tiles).min(n_tiles));
    });
}

/// A product under way.
struct Product<'a> {
    set: InstructionSet,
    operands: &'a Operands<'a>,
    /// `[n_rows, n_out]`.
    out: SharedMut<f32>,
}

impl Product<'_> {
    /// Groups and tiles of a task.
    fn task_shape(&self, n_threads: usize) -> (usize, usize) {
        let Operands { x, w, .. } = *self.operands;
        let (n_groups, n_tiles) = (w.n_groups(), x.n_tiles());
        if n_threads == 1 {
            return ((TASK_BYTES / w.group_bytes()).clamp(1, n_groups), n_tiles);
        }
        let n_tasks = n_threads * TASKS_PER_THREAD;
        let least = (MIN_TASK_BYTES / n_tiles / w.group_bytes()).max(1);
        let most = (TASK_BYTES / w.group_bytes()).max(1);
        let groups = n_groups.div_ceil(n_tasks).clamp(least.min(most), most);
        let parts = (n_tasks / n_groups.div_ceil(groups)).clamp(1, n_tiles.div_ceil(4));
        (groups, n_tiles.div_ceil(parts))
    }

    /// The product of some groups with some tiles.
    fn run(&self, groups: Range<usize>, tiles: Range<usize>) {
        let Operands { x, w, bias } = *self.operands;
        let mut sums = [[0f32; GROUP]; MAX_TILE_ROWS];
        for tile in tiles {
            let tile = x.tile(tile);
            let sums = &mut sums[..tile.rows.len()];
            for group in groups.clone() {
                self.tile(w.group(group), tile.records, sums);
                let first = group * GROUP;
                let n = GROUP.min(w.n_out() - first);
                for (row, sums) in tile.rows.clone().zip(sums.iter_mut()) {
                    for (sum, bias) in
                        sums.iter_mut().zip(bias.map_or(&[][..], |bias| &bias[first..first + n]))
                    {
                        *sum += bias;
                    }
                    // SAFETY: inside `out`, as row < n_rows and first + n ≤ n_out; no other task has
                    // this tile with this group, so the elements are written by this thread alone.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(self.out.get().add(row * w.n_out() + first), n)
                    };
                    out.copy_from_slice(&sums[..n]);
                }
            }
        }
    }

    /// One group with one tile: `sums` is `[row of the tile][weight row]`.
    fn tile(&self, group: &[u8], records: &[u32], sums: &mut [[f32; GROUP]]) {
        let block_type = self.operands.w.block_type();
        match self.set {
            InstructionSet::Scalar => scalar::tile(block_type, group, records, sums),
            // SAFETY: `multiply_on` made sure that the machine has the set.
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

#[cfg(test)]
mod tests;
