//! The kernels in plain Rust: the oracle of the others.

use std::ops::Range;

use super::{blocks::Context, kernel::Kernel};
use crate::vector::KvElement;

/// One pair, one key and one element at a time.
pub(super) struct Plain;

impl Kernel for Plain {
    #[inline(always)]
    unsafe fn score<T: KvElement, const PAIRS: usize>(
        q: [*const f32; PAIRS],
        context: &Context<'_, T>,
        range: Range<usize>,
        scores: [*mut f32; PAIRS],
    ) {
        let Context { block_size, head_dim, .. } = *context;
        for (q, scores) in q.into_iter().zip(scores) {
            for key in range.clone() {
                let from = context.keys.block(key / block_size);
                let mut sum = 0f32;
                // SAFETY: elements of the key, of the query and a score, by the caller.
                unsafe {
                    for d in 0..head_dim {
                        let x = from.add(d * block_size + key % block_size).read().to_f32();
                        sum = q.add(d).read().mul_add(x, sum);
                    }
                    scores.add(key).write(sum);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch_values<T: KvElement>(_: &Context<'_, T>) {}

    #[inline(always)]
    unsafe fn add_values<T: KvElement, const PAIRS: usize>(
        weights: [*const f32; PAIRS],
        context: &Context<'_, T>,
        range: Range<usize>,
        sums: [*mut f32; PAIRS],
    ) {
        let Context { block_size, value_len, .. } = *context;
        for (weights, sums) in weights.into_iter().zip(sums) {
            for key in range.clone() {
                let from = context.values.block(key / block_size).wrapping_add(key % block_size * value_len);
                // SAFETY: elements of the value, a weight and the sums, by the caller.
                unsafe {
                    let weight = weights.add(key).read();
                    for d in 0..value_len {
                        let sum = sums.add(d);
                        *sum = weight.mul_add(from.add(d).read().to_f32(), *sum);
                    }
                }
            }
        }
    }
}
