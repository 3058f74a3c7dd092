//! Writing the keys and values of new tokens into the cache.

use std::ops::Range;

use crate::{
    cpu::vectorised,
    pool::{self, Pool, SharedMut},
    vector::KvElement,
};

/// Elements of a head that a task writes.
const CHUNK: usize = 16;
/// Elements below which one thread writes all.
const MIN_PARALLEL: usize = 16 << 10;

/// The shape of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Length of one head's vectors.
    pub head_dim: usize,
    /// Tokens in a block.
    pub block_size: usize,
}

/// New keys, or values, of some tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenRows<'a> {
    /// Of each token `[n_kv_heads, head_dim]`, maybe with something else between one token and the next.
    pub rows: &'a [f32],
    /// Elements from one token to the next.
    pub stride: usize,
    /// Where each token goes: `block · block_size + offset in the block`. Of two tokens with the same
    /// slot the later one stays.
    pub slots: &'a [u32],
}

/// How the part of one KV head lies in a block.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// `[head_dim, block_size]`.
    Keys,
    /// `[block_size, head_dim]`.
    Values,
}

impl TokenRows<'_> {
    /// Writes keys into `cache [n_blocks, n_kv_heads, head_dim, block_size]`, on all threads where that
    /// is worth it.
    ///
    /// # Panics
    /// When the rows are too short for the slots, or the cache lacks one of these.
    pub fn write_keys<T: KvElement>(&self, shape: &CacheShape, cache: &mut [T]) {
        self.write_on(pool::global(), Part::Keys, shape, cache);
    }

    /// Writes values into `cache [n_blocks, n_kv_heads, block_size, head_dim]`, as
    /// [`TokenRows::write_keys`].
    ///
    /// # Panics
    /// As [`TokenRows::write_keys`].
    pub fn write_values<T: KvElement>(&self, shape: &CacheShape, cache: &mut [T]) {
        self.write_on(pool::global(), Part::Values, shape, cache);
    }

    fn write_on<T: KvElement>(&self, pool: &Pool, part: Part, shape: &CacheShape, cache: &mut [T]) {
        let Self { rows, stride, slots } = *self;
        let CacheShape { n_kv_heads, head_dim, block_size } = *shape;
        let row_len = n_kv_heads * head_dim;
        let Some(last) = slots.len().checked_sub(1) else { return };
        assert!(row_len > 0 && block_size > 0, "blocks and heads must not be empty");
        assert!(last * stride + row_len <= rows.len(), "rows do not fit slots × stride");
        let n_slots = cache.len() / (row_len * block_size) * block_size;
        let known = |slot: &u32| (*slot as usize) < n_slots;
        assert!(slots.iter().all(known), "a slot is beyond the {n_slots} of the cache");
        let target = Target { cache: SharedMut(cache.as_mut_ptr()), part, shape: *shape };
        let chunks_a_head = head_dim.div_ceil(CHUNK);
        let n_tasks = n_kv_heads * chunks_a_head;
        // A task has some elements of every token, so that tokens may share a slot.
        let write = |task: usize| {
            let start = task % chunks_a_head * CHUNK;
            write_chunk(self, &target, task / chunks_a_head, start..head_dim.min(start + CHUNK));
        };
        if slots.len() * row_len < MIN_PARALLEL {
            (0..n_tasks).for_each(write);
        } else {
            pool.run(n_tasks, &write);
        }
    }
}

/// The cache that is written to.
struct Target<T> {
    cache: SharedMut<T>,
    part: Part,
    shape: CacheShape,
}

vectorised! {
    /// Writes some elements of one head of all tokens.
    fn write_chunk<T: KvElement>(tokens: &TokenRows<'_>, target: &Target<T>, head: usize, elements: Range<usize>) = write_chunk_plain;
}

#[inline(always)]
fn write_chunk_plain<T: KvElement>(
    tokens: &TokenRows<'_>,
    target: &Target<T>,
    head: usize,
    elements: Range<usize>,
) {
    let CacheShape { n_kv_heads, head_dim, block_size } = target.shape;
    for (i, slot) in tokens.slots.iter().enumerate() {
        let (block, offset) = (*slot as usize / block_size, *slot as usize % block_size);
        let part = (block * n_kv_heads + head) * head_dim * block_size;
        let from = &tokens.rows[i * tokens.stride + head * head_dim..][elements.clone()];
        // SAFETY: inside the cache, as `write_on` made sure of the slots; no other task has these
        // elements of this head.
        unsafe {
            let to = target.cache.get().add(part);
            match target.part {
                Part::Keys => {
                    for (x, d) in from.iter().zip(elements.clone()) {
                        to.add(d * block_size + offset).write(T::from_f32(*x));
                    }
                }
                Part::Values => {
                    let to = to.add(offset * head_dim + elements.start);
                    for (d, x) in from.iter().enumerate() {
                        to.add(d).write(T::from_f32(*x));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;

    /// The same, one element at a time.
    fn write_by_definition(tokens: &TokenRows<'_>, part: Part, shape: &CacheShape, cache: &mut [bf16]) {
        let CacheShape { n_kv_heads, head_dim, block_size } = *shape;
        for (i, slot) in tokens.slots.iter().enumerate() {
            let (block, offset) = (*slot as usize / block_size, *slot as usize % block_size);
            for head in 0..n_kv_heads {
                for d in 0..head_dim {
                    let at = match part {
                        Part::Keys => ((block * n_kv_heads + head) * head_dim + d) * block_size + offset,
                        Part::Values => ((block * n_kv_heads + head) * block_size + offset) * head_dim + d,
                    };
                    cache[at] = bf16::from_f32(tokens.rows[i * tokens.stride + head * head_dim + d]);
                }
            }
        }
    }

    fn bits(cache: &[bf16]) -> Vec<u16> {
        cache.iter().map(|x| x.to_bits()).collect()
    }

    #[derive(Debug)]
    struct Case {
        shape: CacheShape,
        rows: Vec<f32>,
        stride: usize,
        slots: Vec<u32>,
    }

    const N_BLOCKS: usize = 5;

    fn case() -> impl Strategy<Value = Case> {
        let head_dims = prop_oneof![Just(1usize), Just(16), Just(20), Just(64)];
        (1usize..4, head_dims, 1usize..20, 0usize..40, 0usize..9).prop_flat_map(
            |(n_kv_heads, head_dim, block_size, n_tokens, gap)| {
                let shape = CacheShape { n_kv_heads, head_dim, block_size };
                let stride = n_kv_heads * head_dim + gap;
                let slot = 0..(N_BLOCKS * block_size) as u32;
                let bits = proptest::collection::vec(any::<u32>(), n_tokens * stride);
                (bits, proptest::collection::vec(slot, n_tokens)).prop_map(move |(bits, slots)| {
                    let rows = bits.into_iter().map(f32::from_bits).collect();
                    Case { shape, rows, stride, slots }
                })
            },
        )
    }

    proptest! {
        #[test]
        fn tokens_go_to_their_slots(case in case()) {
            let Case { shape, rows, stride, slots } = &case;
            let tokens = TokenRows { rows, stride: *stride, slots };
            let len = N_BLOCKS * shape.n_kv_heads * shape.head_dim * shape.block_size;
            for part in [Part::Keys, Part::Values] {
                for n_threads in [1, 3] {
                    let (mut got, mut want) = (vec![bf16::NAN; len], vec![bf16::NAN; len]);
                    tokens.write_on(&Pool::new(n_threads), part, shape, &mut got);
                    write_by_definition(&tokens, part, shape, &mut want);
                    prop_assert_eq!(bits(&got), bits(&want));
                }
            }
        }

        #[test]
        fn bf16_is_rounded_as_its_crate_does(bits in any::<u32>()) {
            let x = f32::from_bits(bits);
            prop_assert_eq!(<bf16 as KvElement>::from_f32(x).to_bits(), bf16::from_f32(x).to_bits());
        }
    }

    #[test]
    #[should_panic(expected = "a slot is beyond the 4 of the cache")]
    fn a_slot_that_is_not_there_is_refused() {
        let shape = CacheShape { n_kv_heads: 1, head_dim: 2, block_size: 2 };
        let tokens = TokenRows { rows: &[1.0, 2.0], stride: 2, slots: &[4] };
        tokens.write_keys(&shape, &mut [0f32; 8]);
    }
}
