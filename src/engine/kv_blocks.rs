//! The blocks of the KV cache and the sequences' block tables. A table starts with the blocks of the
//! cached prefix, grows with its sequence, and leaves its blocks to the prefix cache.
//!
//! This joins the block pool and the prefix cache: a sequence that needs a block gets a free one, else
//! one that the cache can evict.

use super::{
    blocks::BlockPool,
    radix::{Inserted, Lease, Match, RadixCache},
};
use crate::model::{BlockCopy, BlockId, TokenId};

/// The blocks of one running sequence, in order. It holds a reference to each, and a lease on the part
/// of its tokens that the prefix cache holds.
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

/// All blocks of the KV cache: the pool, and the prefix cache over it.
#[derive(Debug)]
pub(super) struct KvBlocks {
    block_size: usize,
    pool: BlockPool,
    cache: RadixCache,
}

impl KvBlocks {
    pub(super) fn new(n_blocks: usize, block_size: usize) -> Self {
        Self { block_size, pool: BlockPool::new(n_blocks), cache: RadixCache::new(block_size) }
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.pool.n_blocks()
    }

    pub(super) fn n_free(&self) -> usize {
        self.pool.n_free()
    }

    /// The longest cached prefix of `tokens`. The caller gives it to [`Self::open`] or to
    /// [`Self::release_match`].
    pub(super) fn match_prefix(&mut self, tokens: &[TokenId]) -> Match {
        self.cache.match_prefix(tokens)
    }

    /// Releases a match that is not used.
    pub(super) fn release_match(&mut self, found: Match) {
        self.cache.release(found.lease);
    }

    /// A table for `n_tokens` tokens that begins with the cached prefix `found`, and the block copy that
    /// this requires. Where fewer than `n_spare` blocks would stay free, it releases the match and
    /// returns `None`.
    pub(super) fn open(
        &mut self,
        found: Match,
        n_tokens: usize,
        n_spare: usize,
    ) -> Option<(BlockTable, Option<BlockCopy>)> {
        let n_fresh = n_tokens.div_ceil(self.block_size) - found.blocks.len();
        if !self.free_up(n_fresh + n_spare) {
            self.release_match(found);
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

    /// Grows a table to `n_tokens` tokens. Returns `false` where there are not enough blocks; the table then
    /// has what there was.
    pub(super) fn grow(&mut self, table: &mut BlockTable, n_tokens: usize) -> bool {
        let n_missing = n_tokens.div_ceil(self.block_size).saturating_sub(table.blocks.len());
        let fits = self.free_up(n_missing);
        table.blocks.extend((0..n_missing).map_while(|_| self.pool.allocate()));
        fits
    }

    /// Caches the computed `tokens` of a table. The table stays in use, perhaps with other blocks of the
    /// same content.
    pub(super) fn share(&mut self, table: &mut BlockTable, tokens: &[TokenId]) {
        let own = std::mem::take(&mut table.blocks);
        let Inserted { blocks, lease } = self.cache.insert(tokens, own, &mut self.pool);
        table.blocks = blocks;
        if let Some(former) = table.lease.replace(lease) {
            self.cache.release(former);
        }
    }

    /// Caches the computed `tokens` of a table and releases its references.
    pub(super) fn close(&mut self, mut table: BlockTable, tokens: &[TokenId]) {
        self.share(&mut table, tokens);
        self.discard(table);
    }

    /// Releases a table's references without caching anything.
    pub(super) fn discard(&mut self, table: BlockTable) {
        if let Some(lease) = table.lease {
            self.cache.release(lease);
        }
        for block in table.blocks {
            self.pool.release(block);
        }
    }

    /// Evicts everything from the prefix cache that no table leases.
    pub(super) fn clear_cache(&mut self) {
        self.cache.evict(usize::MAX, &mut self.pool);
    }

    /// Empties the prefix cache for the only table there is, and drops its lease: the lease may pin blocks
    /// that the table does not hold, because it copied them to continue in mid-block.
    pub(super) fn drop_prefix_cache(&mut self, only: &mut BlockTable) {
        if let Some(lease) = only.lease.take() {
            self.cache.release(lease);
        }
        self.clear_cache();
    }

    /// Evicts from the cache until `n_blocks` blocks are free. Returns whether they are.
    fn free_up(&mut self, n_blocks: usize) -> bool {
        let n_missing = n_blocks.saturating_sub(self.pool.n_free());
        self.cache.evict(n_missing, &mut self.pool) == n_missing
    }
}

#[cfg(test)]
impl KvBlocks {
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
