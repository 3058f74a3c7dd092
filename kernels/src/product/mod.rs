//! Products of quantised rows with packed weights.
//!
//! A product is cut into tasks of some groups of sixteen weight rows and some tiles of activation rows.
//! Within a task every tile goes through all groups before the next: a tile stays in the first cache
//! and the groups in the second. [`kernel`] and [`super_block`] compute one tile with one group.

mod kernel;
mod quants;
mod scalar;
mod scaling;
mod super_block;
mod task;
mod tiles;

use std::cell::RefCell;

use crate::{
    cpu::InstructionSet,
    elementwise::Gate,
    pool::{self, Pool, SharedMut},
    quant::{PackedWeight, QuantisedRows},
    source::RowSource,
};
use task::{PartTasks, Target};

thread_local! {
    /// The rows of [`linear`], kept for their memory.
    static ROWS: RefCell<QuantisedRows> = RefCell::default();
}

/// A weight, and what is done to its product.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// `[n_out, n_in]`.
    pub w: &'a PackedWeight,
    /// What is added, `[n_out]`.
    pub bias: Option<&'a [f32]>,
    /// What it gates: the product `y` then becomes `act(y)·(x·upᵀ)`. `up` has the shape of `w`.
    pub gates: Option<(Gate, &'a PackedWeight)>,
}

/// Products of the same rows with several weights, their outputs side by side:
/// `[x·w₀ᵀ + bias₀, x·w₁ᵀ + bias₁, …] + residual`, `[n_rows, Σ n_out]`.
///
/// An element has the same bits whatever the other rows and parts, the threads and the processor are.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    /// `[n_rows, n_in]`.
    pub x: &'a QuantisedRows,
    /// The weights.
    pub parts: &'a [Part<'a>],
    /// `[n_rows, Σ n_out]`.
    pub residual: Option<&'a [f32]>,
}

/// [`Product`] with rows that are quantised for it.
///
/// # Panics
/// When a slice's length does not fit, or the blocks of the parts differ in length.
pub fn linear(source: RowSource<'_>, parts: &[Part<'_>], residual: Option<&[f32]>) -> Vec<f32> {
    let mut out = Vec::new();
    linear_into(source, parts, residual, &mut out);
    out
}

/// [`linear`] in place of what was in `out`, whose memory is used again.
///
/// # Panics
/// As [`linear`].
pub fn linear_into(source: RowSource<'_>, parts: &[Part<'_>], residual: Option<&[f32]>, out: &mut Vec<f32>) {
    out.clear();
    let Some(first) = parts.first() else { return };
    ROWS.with_borrow_mut(|rows| {
        rows.fill(source, first.w.n_in(), first.w.block_type().block_len());
        Product { x: rows, parts, residual }.write_to(pool::global(), InstructionSet::chosen(), out);
    });
}

impl Product<'_> {
    /// The product, computed on all threads.
    ///
    /// # Panics
    /// When a slice's length does not fit.
    pub fn run(&self) -> Vec<f32> {
        self.run_on(pool::global(), InstructionSet::chosen())
    }

    /// [`Product::run`] on the threads of `pool`, with an instruction set that this machine has.
    ///
    /// # Panics
    /// When a slice's length does not fit, or the machine lacks the instruction set.
    pub fn run_on(&self, pool: &Pool, set: InstructionSet) -> Vec<f32> {
        let mut out = Vec::new();
        self.write_to(pool, set, &mut out);
        out
    }

    /// [`Product::run_on`] in place of what was in `out`.
    fn write_to(&self, pool: &Pool, set: InstructionSet, out: &mut Vec<f32>) {
        let Self { x, parts, residual } = *self;
        let has_set = set == InstructionSet::chosen() || InstructionSet::available().contains(&set);
        assert!(has_set, "this machine has no {}", set.name());
        let row_len = parts.iter().map(|part| part.w.n_out()).sum();
        let len = x.n_rows() * row_len;
        assert!(residual.is_none_or(|residual| residual.len() == len), "the residual must be n_rows × n_out");
        for Part { w, bias, gates } in parts {
            let shape = |w: &PackedWeight| [w.n_out(), w.n_in(), w.block_type().block_len()];
            assert_eq!(x.n_in(), w.n_in(), "rows and weights differ in length");
            assert_eq!(x.block_len(), w.block_type().block_len(), "rows and weights differ in blocks");
            assert!(
                gates.is_none_or(|(_, up)| shape(up) == shape(w)),
                "a gate has the shape of what it gates"
            );
            assert!(bias.is_none_or(|bias| bias.len() == w.n_out()), "bias must be n_out long");
        }
        out.clear();
        out.reserve_exact(len);
        if len > 0 {
            let target = Target { out: SharedMut(out.as_mut_ptr()), row_len, residual };
            run_parts(pool, set, x, parts, &target);
        }
        // SAFETY: the tasks have written every element: each part's groups cover its columns, the
        // tiles all rows; and `run_parts` does not return before they have.
        unsafe { out.set_len(len) };
    }
}

/// Runs the tasks of all parts together.
fn run_parts(pool: &Pool, set: InstructionSet, x: &QuantisedRows, parts: &[Part<'_>], target: &Target<'_>) {
    let mut n_tasks = 0;
    let mut column = 0;
    let parts: Vec<PartTasks<'_>> = parts
        .iter()
        .map(|part| {
            let tasks = PartTasks::new(set, x, *part, column, n_tasks, pool.n_threads());
            n_tasks = tasks.end();
            column += part.w.n_out();
            tasks
        })
        .collect();
    pool.run(n_tasks, &|task| {
        if let Some(part) = parts.iter().find(|part| task < part.end()) {
            part.run(task, target);
        }
    });
}

#[cfg(test)]
mod tests;
