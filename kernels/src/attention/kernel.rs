//! What the way over the cache needs of a kernel.

use std::ops::Range;

use super::blocks::Context;
use crate::vector::KvElement;

/// The sums that attention is made of, for `PAIRS` pairs of a row and a head at once.
pub(super) trait Kernel {
    /// `scores[pair][key] = Σ q[pair][d]·keys[d][key]` for the keys in `range`, in the order of `d`.
    ///
    /// # Safety
    /// The processor has what the kernel needs. `head_dim` elements lie at each of `q`; `range` begins
    /// at a multiple of [`LANES`](super::blocks::LANES); at each of `scores` there is room for the keys up to its end,
    /// rounded up to a multiple of [`LANES`].
    unsafe fn score<T: KvElement, const PAIRS: usize>(
        q: [*const f32; PAIRS],
        context: &Context<'_, T>,
        range: Range<usize>,
        scores: [*mut f32; PAIRS],
    );

    /// Fetches the values with which [`Kernel::add_values`] begins.
    ///
    /// # Safety
    /// The processor has what the kernel needs.
    unsafe fn prefetch_values<T: KvElement>(context: &Context<'_, T>);

    /// `sums[pair] += Σ weights[pair][key]·values[key]` over the keys in `range`, in their order.
    ///
    /// # Safety
    /// The processor has what the kernel needs. At each of `weights` lie those of the keys up to the
    /// end of `range`, at each of `sums` `value_len` elements.
    unsafe fn add_values<T: KvElement, const PAIRS: usize>(
        weights: [*const f32; PAIRS],
        context: &Context<'_, T>,
        range: Range<usize>,
        sums: [*mut f32; PAIRS],
    );
}
