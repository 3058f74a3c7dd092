//! The way over the cache, compiled for each instruction set and number of heads.

use std::cell::RefCell;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::registers::Registers;
use super::{
    blocks::Context,
    plain::Plain,
    tasks::MAX_HEADS,
    walk::{Buffers, Queries, walk},
};
#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::{cpu::InstructionSet, vector::KvElement};

thread_local! {
    /// The working memory of a task, kept for the next.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Attention of all heads of `queries`.
///
/// # Safety
/// The machine has `set`. All heads of all rows lie inside `queries.q`, and behind `queries.out`, where
/// nobody else reads or writes them.
pub(super) unsafe fn attend<T: KvElement>(
    set: InstructionSet,
    queries: &Queries<'_>,
    context: &Context<'_, T>,
) {
    // Few heads go several rows at once, so that a key or value read serves about six of them.
    // SAFETY: as this function.
    unsafe {
        match queries.n_heads {
            1 => attend_on::<T, 1, 6>(set, queries, context),
            2 => attend_on::<T, 2, 6>(set, queries, context),
            3 => attend_on::<T, 3, 6>(set, queries, context),
            4 => attend_on::<T, 4, 4>(set, queries, context),
            5 => attend_on::<T, 5, 5>(set, queries, context),
            6 => attend_on::<T, 6, 6>(set, queries, context),
            7 => attend_on::<T, 7, 7>(set, queries, context),
            8 => attend_on::<T, 8, 8>(set, queries, context),
            n => unreachable!("a task has at most {MAX_HEADS} heads, not {n}"),
        }
    }
}

/// # Safety
/// As [`attend`].
unsafe fn attend_on<T: KvElement, const HEADS: usize, const PAIRS: usize>(
    set: InstructionSet,
    queries: &Queries<'_>,
    context: &Context<'_, T>,
) {
    BUFFERS.with_borrow_mut(|buffers| {
        // SAFETY: as this function.
        unsafe {
            match set {
                InstructionSet::Scalar => walk::<Plain, T, HEADS, PAIRS>(queries, context, buffers),
                #[cfg(target_arch = "x86_64")]
                InstructionSet::Avx2 | InstructionSet::AvxVnni => {
                    avx2::<T, HEADS, PAIRS>(queries, context, buffers);
                }
                #[cfg(target_arch = "x86_64")]
                InstructionSet::Avx512 => avx512::<T, HEADS, PAIRS>(queries, context, buffers),
                #[cfg(target_arch = "aarch64")]
                InstructionSet::Neon => walk::<Registers<Neon>, T, HEADS, PAIRS>(queries, context, buffers),
            }
        }
    });
}

/// # Safety
/// As [`attend`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
unsafe fn avx512<T: KvElement, const HEADS: usize, const PAIRS: usize>(
    queries: &Queries<'_>,
    context: &Context<'_, T>,
    buffers: &mut Buffers,
) {
    // SAFETY: as this function.
    unsafe { walk::<Registers<Avx512>, T, HEADS, PAIRS>(queries, context, buffers) }
}

/// # Safety
/// As [`attend`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<T: KvElement, const HEADS: usize, const PAIRS: usize>(
    queries: &Queries<'_>,
    context: &Context<'_, T>,
    buffers: &mut Buffers,
) {
    // SAFETY: as this function.
    unsafe { walk::<Registers<Avx2>, T, HEADS, PAIRS>(queries, context, buffers) }
}
