//! The kernels in registers, written once for all instruction sets.

use std::{marker::PhantomData, ops::Range};

use super::{blocks::Context, kernel::Kernel};
use crate::{simd::Simd, vector::KvElement};

/// How far ahead of their use values are fetched. Keys are fetched one step of the kernel ahead. Both go
/// to the second cache: the first can wait for too few lines at once to keep the memory busy.
const BLOCKS_AHEAD: usize = 4;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Several registers of sums for each pair: one factor read serves all of them, and there are enough
/// sums under way to keep the multipliers busy.
pub(super) struct Registers<S>(PhantomData<S>);

impl<S: Simd> Kernel for Registers<S> {
    #[inline(always)]
    unsafe fn score<T: KvElement, const PAIRS: usize>(
        q: [*const f32; PAIRS],
        context: &Context<'_, T>,
        range: Range<usize>,
        scores: [*mut f32; PAIRS],
    ) {
        let Range { start: mut at, end } = range;
        let each = registers_each::<S>(PAIRS);
        // SAFETY: as this function; the last register begins before `end`.
        unsafe {
            while each >= 4 && at + 3 * S::ROWS < end {
                score::<S, T, PAIRS, 4>(q, context, at, scores);
                at += 4 * S::ROWS;
            }
            while each >= 3 && at + 2 * S::ROWS < end {
                score::<S, T, PAIRS, 3>(q, context, at, scores);
                at += 3 * S::ROWS;
            }
            while each >= 2 && at + S::ROWS < end {
                score::<S, T, PAIRS, 2>(q, context, at, scores);
                at += 2 * S::ROWS;
            }
            while at < end {
                score::<S, T, PAIRS, 1>(q, context, at, scores);
                at += S::ROWS;
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch_values<T: KvElement>(context: &Context<'_, T>) {
        let Context { block_size, value_len, n_keys, .. } = *context;
        let part = block_size * value_len;
        for block in 0..n_keys.div_ceil(block_size).min(BLOCKS_AHEAD) {
            let from = context.values.block(block);
            for at in (0..part).step_by(LINE / size_of::<T>()) {
                // SAFETY: as this function.
                unsafe { S::prefetch_to_second_cache(from.wrapping_add(at).cast()) };
            }
        }
    }

    #[inline(always)]
    unsafe fn add_values<T: KvElement, const PAIRS: usize>(
        weights: [*const f32; PAIRS],
        context: &Context<'_, T>,
        range: Range<usize>,
        sums: [*mut f32; PAIRS],
    ) {
        let (mut at, end) = (0, context.value_len);
        let each = registers_each::<S>(PAIRS);
        // SAFETY: as this function; the elements are inside a value.
        unsafe {
            while each >= 4 && at + 4 * S::ROWS <= end {
                add_values::<S, T, PAIRS, 4>(weights, context, &range, sums, at);
                at += 4 * S::ROWS;
            }
            while each >= 2 && at + 2 * S::ROWS <= end {
                add_values::<S, T, PAIRS, 2>(weights, context, &range, sums, at);
                at += 2 * S::ROWS;
            }
            while at < end {
                add_values::<S, T, PAIRS, 1>(weights, context, &range, sums, at);
                at += S::ROWS;
            }
        }
    }
}

/// Registers of sums for each of some pairs: three quarters of all registers, the rest being for what
/// is multiplied.
#[inline(always)]
const fn registers_each<S: Simd>(n_pairs: usize) -> usize {
    S::N_REGISTERS * 3 / 4 / n_pairs
}

/// [`Kernel::score`] for `N` registers of keys at once.
///
/// # Safety
/// As there; `N` registers from `at` on begin before `end`.
#[inline(always)]
unsafe fn score<S: Simd, T: KvElement, const PAIRS: usize, const N: usize>(
    q: [*const f32; PAIRS],
    context: &Context<'_, T>,
    at: usize,
    scores: [*mut f32; PAIRS],
) {
    let Context { block_size, head_dim, .. } = *context;
    // What is fetched ahead ends with the last keys that there are.
    let last = (context.n_keys - 1) / S::ROWS * S::ROWS;
    let keys = |from: usize| -> [*const T; N] {
        std::array::from_fn(|i| {
            let key = (from + i * S::ROWS).min(last);
            context.keys.block(key / block_size).wrapping_add(key % block_size)
        })
    };
    let (from, ahead) = (keys(at), keys(at + N * S::ROWS));
    // SAFETY: whole registers of keys inside a block, as their number is a multiple of `ROWS`; `q`
    // and `scores` by the caller.
    unsafe {
        let mut sums = [[S::zero(); N]; PAIRS];
        for d in 0..head_dim {
            let mut key = [S::zero(); N];
            for (key, from) in key.iter_mut().zip(from) {
                *key = load::<S, T>(from.add(d * block_size));
            }
            if (d * block_size * size_of::<T>()).is_multiple_of(LINE) {
                for ahead in ahead {
                    S::prefetch_to_second_cache(ahead.wrapping_add(d * block_size).cast());
                }
            }
            mul_add::<S, PAIRS, N>(q, d, key, &mut sums);
        }
        store::<S, PAIRS, N>(sums, scores, at);
    }
}

/// [`Kernel::add_values`] for `N` registers of elements from `start` on.
///
/// # Safety
/// As there; the elements are inside a value.
#[inline(always)]
unsafe fn add_values<S: Simd, T: KvElement, const PAIRS: usize, const N: usize>(
    weights: [*const f32; PAIRS],
    context: &Context<'_, T>,
    range: &Range<usize>,
    sums: [*mut f32; PAIRS],
    start: usize,
) {
    let Context { block_size, value_len, .. } = *context;
    // SAFETY: whole registers inside values and sums, by the caller; keys are in the range.
    unsafe {
        let mut lanes = [[S::zero(); N]; PAIRS];
        for (lanes, sums) in lanes.iter_mut().zip(sums) {
            for (i, lanes) in lanes.iter_mut().enumerate() {
                *lanes = S::load_f32(sums.add(start + i * S::ROWS));
            }
        }
        let mut key = range.start;
        while key < range.end {
            let (block, slot) = (key / block_size, key % block_size);
            let end = range.end.min(key - slot + block_size);
            let mut from = context.values.block(block).add(slot * value_len + start);
            let ahead = context.values.block((block + BLOCKS_AHEAD).min((context.n_keys - 1) / block_size));
            let mut ahead = ahead.wrapping_add(slot * value_len + start);
            while key < end {
                let mut value = [S::zero(); N];
                for (i, value) in value.iter_mut().enumerate() {
                    *value = load::<S, T>(from.add(i * S::ROWS));
                    if (i * S::ROWS * size_of::<T>()).is_multiple_of(LINE) {
                        S::prefetch_to_second_cache(ahead.wrapping_add(i * S::ROWS).cast());
                    }
                }
                mul_add::<S, PAIRS, N>(weights, key, value, &mut lanes);
                from = from.add(value_len);
                ahead = ahead.wrapping_add(value_len);
                key += 1;
            }
        }
        store::<S, PAIRS, N>(lanes, sums, start);
    }
}

/// `sums[pair] += factors[pair][at]·vector`.
///
/// # Safety
/// As for [`Simd`]; there are such factors.
#[inline(always)]
unsafe fn mul_add<S: Simd, const PAIRS: usize, const N: usize>(
    factors: [*const f32; PAIRS],
    at: usize,
    vector: [S::Float; N],
    sums: &mut [[S::Float; N]; PAIRS],
) {
    for (sums, factors) in sums.iter_mut().zip(factors) {
        // SAFETY: as this function.
        unsafe {
            let factor = S::splat(factors.add(at).cast());
            for (sum, lanes) in sums.iter_mut().zip(vector) {
                *sum = S::mul_add(factor, lanes, *sum);
            }
        }
    }
}

/// Writes the sums of each pair from `at` on.
///
/// # Safety
/// As for [`Simd`]; there is room for them.
#[inline(always)]
unsafe fn store<S: Simd, const PAIRS: usize, const N: usize>(
    sums: [[S::Float; N]; PAIRS],
    to: [*mut f32; PAIRS],
    at: usize,
) {
    for (sums, to) in sums.into_iter().zip(to) {
        for (i, lanes) in sums.into_iter().enumerate() {
            // SAFETY: as this function.
            unsafe { S::store(to.add(at + i * S::ROWS), lanes) };
        }
    }
}

/// A register of elements as f32.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn load<S: Simd, T: KvElement>(from: *const T) -> S::Float {
    // SAFETY: as this function. Of the two types there are, bf16 has two bytes.
    unsafe { if size_of::<T>() == 2 { S::load_bf16(from.cast()) } else { S::load_f32(from.cast()) } }
}
