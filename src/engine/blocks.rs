//! The block pool of the KV cache: which blocks are free, and the reference counts of the others.

use crate::model::BlockId;

/// Counts references to blocks. It does not know the holders of the references or the blocks' contents.
#[derive(Debug)]
pub(super) struct BlockPool {
    n_references: Vec<u32>,
    free: Vec<BlockId>,
}

impl BlockPool {
    /// A pool of `n_blocks` free blocks.
    pub(super) fn new(n_blocks: usize) -> Self {
        Self { n_references: vec![0; n_blocks], free: (0..n_blocks as u32).rev().map(BlockId).collect() }
    }

    /// Takes a free block, with one reference.
    pub(super) fn allocate(&mut self) -> Option<BlockId> {
        let block = self.free.pop()?;
        self.n_references[block.0 as usize] = 1;
        Some(block)
    }

    /// Adds a reference to a block that has one.
    ///
    /// # Panics
    /// When the block is free: its content is not what the caller expects, and going on would show one
    /// request's tokens to another.
    pub(super) fn retain(&mut self, block: BlockId) {
        let count = &mut self.n_references[block.0 as usize];
        assert!(*count > 0, "block {} is retained, but free", block.0);
        *count += 1;
    }

    /// Releases a reference, and frees the block when it was the last. Returns whether it was.
    ///
    /// # Panics
    /// When the block is free already, for the same reason as [`Self::retain`].
    pub(super) fn release(&mut self, block: BlockId) -> bool {
        let count = &mut self.n_references[block.0 as usize];
        assert!(*count > 0, "block {} is released, but free", block.0);
        *count -= 1;
        let freed = *count == 0;
        if freed {
            self.free.push(block);
        }
        freed
    }

    /// Number of free blocks.
    pub(super) fn n_free(&self) -> usize {
        self.free.len()
    }

    /// Number of all blocks.
    pub(super) fn n_blocks(&self) -> usize {
        self.n_references.len()
    }

    /// Reference count of each block.
    #[cfg(test)]
    pub(super) fn n_references(&self) -> &[u32] {
        &self.n_references
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_free_again_after_its_last_reference() {
        let mut pool = BlockPool::new(2);
        let block = pool.allocate().unwrap();
        pool.retain(block);
        assert!(!pool.release(block));
        assert_eq!(pool.n_free(), 1);
        assert!(pool.release(block));
        assert_eq!(pool.n_free(), 2);
    }

    #[test]
    fn an_exhausted_pool_says_so() {
        let mut pool = BlockPool::new(2);
        let (first, second) = (pool.allocate().unwrap(), pool.allocate().unwrap());
        assert_ne!(first, second);
        assert_eq!(pool.allocate(), None);
    }

    #[test]
    #[should_panic(expected = "block 0 is released, but free")]
    fn a_double_free_is_noticed() {
        let mut pool = BlockPool::new(1);
        let block = pool.allocate().unwrap();
        pool.release(block);
        pool.release(block);
    }

    #[test]
    #[should_panic(expected = "block 0 is retained, but free")]
    fn a_use_after_free_is_noticed() {
        let mut pool = BlockPool::new(1);
        let block = pool.allocate().unwrap();
        pool.release(block);
        pool.retain(block);
    }
}
