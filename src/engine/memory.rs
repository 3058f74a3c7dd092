//! The KV cache as one sequence sees it: a table of blocks that is opened on what is cached already,
//! grows, and leaves what it computed behind for others.
//!
//! Here the pool and the prefix cache meet: whoever needs a block gets a free one, else one that
//! the cache can spare.

use super::{
    blocks::BlockPool,
    radix::{Inserted, Lease, Match, RadixCache},
};
use crate::model::{BlockCopy, BlockId, TokenId};

/// The blocks of one running sequence, in order. It holds a reference to each, and a lease on as
/// much of its path as the prefix cache knows.
#[derive(Debug, Default)]
pub(super) struct BlockTable {
    blocks: Vec<BlockId>,
    lease: Option<Lease>,
}

impl BlockTable {
    pub(super) fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }
}

/// All blocks of the KV cache: the pool and what is cached in it.
#[derive(Debug)]
pub(super) struct KvMemory {
    block_size: usize,
    pool: BlockPool,
    cache: RadixCache,
}

impl KvMemory {
    pub(super) fn new(n_blocks: usize, block_size: usize) -> Self {
        Self { block_size, pool: BlockPool::new(n_blocks), cache: RadixCache::new(block_size) }
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.pool.n_blocks()
    }

    pub(super) fn n_free(&self) -> usize {
        self.pool.n_free()
    }

    /// The longest cached prefix of `tokens`. Goes to [`Self::open`] or to [`Self::decline`].
    pub(super) fn match_prefix(&mut self, tokens: &[TokenId]) -> Match {
        self.cache.match_prefix(tokens)
    }

    /// Gives a match back unused.
    pub(super) fn decline(&mut self, found: Match) {
        self.cache.release(found.lease);
    }

    /// A table for `n_tokens` that begins with what was found, and the copy this takes. `None`,
    /// and the match given back, where this would leave fewer than `n_spare` blocks for others.
    pub(super) fn open(
        &mut self,
        found: Match,
        n_tokens: usize,
        n_spare: usize,
    ) -> Option<(BlockTable, Option<BlockCopy>)> {
        let n_fresh = n_tokens.div_ceil(self.block_size) - found.blocks.len();
        if !self.free_up(n_fresh + n_spare) {
            self.decline(found);
            return None;
        }
        for &block in &found.blocks {
            self.pool.retain(block);
        }
        let n_full = found.blocks.len();
        let mut table = BlockTable { blocks: found.blocks, lease: Some(found.lease) };
        self.grow(&mut table, n_tokens);
        let copy = found.partial.map(|partial| BlockCopy {
            from: partial.block,
            to: table.blocks[n_full],
            n_tokens: partial.n_tokens,
        });
        Some((table, copy))
    }

    /// Lets a table reach `n_tokens`; `false` where blocks ran out before.
    pub(super) fn grow(&mut self, table: &mut BlockTable, n_tokens: usize) -> bool {
        let n_missing = n_tokens.div_ceil(self.block_size).saturating_sub(table.blocks.len());
        let fits = self.free_up(n_missing);
        table.blocks.extend((0..n_missing).map_while(|_| self.pool.allocate()));
        fits
    }

    /// Caches what a table holds: `tokens`, computed. The table goes on, perhaps with other blocks
    /// of the same content.
    pub(super) fn share(&mut self, table: &mut BlockTable, tokens: &[TokenId]) {
        let own = std::mem::take(&mut table.blocks);
        let Inserted { blocks, lease } = self.cache.insert(tokens, own, &mut self.pool);
        table.blocks = blocks;
        if let Some(former) = table.lease.replace(lease) {
            self.cache.release(former);
        }
    }

    /// Caches what a table holds and gives its references back.
    pub(super) fn close(&mut self, mut table: BlockTable, tokens: &[TokenId]) {
        self.share(&mut table, tokens);
        self.discard(table);
    }

    /// Gives a table's references back, with nothing cached that is not already.
    pub(super) fn discard(&mut self, table: BlockTable) {
        if let Some(lease) = table.lease {
            self.cache.release(lease);
        }
        for block in table.blocks {
            self.pool.release(block);
        }
    }

    /// Drops what no table leases from the prefix cache.
    pub(super) fn clear_cache(&mut self) {
        self.cache.evict(usize::MAX, &mut self.pool);
    }

    /// Empties the prefix cache for the only table there is. Its lease may pin more than the table
    /// holds, namely blocks that it copied to go on in mid-block: the last that can be had.
    pub(super) fn sacrifice_cache(&mut self, only: &mut BlockTable) {
        if let Some(lease) = only.lease.take() {
            self.cache.release(lease);
        }
        self.clear_cache();
    }

    /// Whether `n_blocks` are free now, what the cache could spare included.
    fn free_up(&mut self, n_blocks: usize) -> bool {
        let n_missing = n_blocks.saturating_sub(self.pool.n_free());
        self.cache.evict(n_missing, &mut self.pool) == n_missing
    }
}

#[cfg(test)]
impl KvMemory {
    /// Every path in the cache, with the blocks that should hold it.
    pub(super) fn cached_paths(&self) -> Vec<(Vec<TokenId>, Vec<BlockId>)> {
        self.cache.paths()
    }

    /// Checks that references and leases are exactly those of `tables` and of the cache.
    pub(super) fn audit<'a>(&self, tables: impl Iterator<Item = &'a BlockTable>) {
        let mut expected = vec![0; self.n_blocks()];
        let mut n_leases = 0;
        for block in self.cache.references() {
            expected[block.0 as usize] += 1;
        }
        for table in tables {
            n_leases += usize::from(table.lease.is_some());
            for block in &table.blocks {
                expected[block.0 as usize] += 1;
            }
        }
        assert_eq!(self.pool.n_references(), expected, "references held");
        assert_eq!(self.cache.n_leases(), n_leases, "leases held");
        assert_eq!(self.n_free(), expected.iter().filter(|&&count| count == 0).count(), "free blocks");
    }
}
