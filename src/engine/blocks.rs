//! The KV cache's blocks: which are free, and how many references hold each of the others.

use crate::model::BlockId;

/// Counts references to blocks. It knows nothing of who holds them or of what lies in them.
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

    /// A free block, now held by one reference.
    pub(super) fn allocate(&mut self) -> Option<BlockId> {
        let block = self.free.pop()?;
        self.n_references[block.0 as usize] = 1;
        Some(block)
    }

    /// Adds a reference to a block that is held already.
    ///
    /// # Panics
    /// When the block is free: its content is no longer what the caller takes it for, and going on
    /// would show one request's tokens to another.
    pub(super) fn retain(&mut self, block: BlockId) {
        let count = &mut self.n_references[block.0 as usize];
        assert!(*count > 0, "block {} is retained, but free", block.0);
        *count += 1;
    }

    /// Gives a reference back, and the block with it when it was the last. Tells whether it was.
    ///
    /// # Panics
    /// When the block is free already, for the reason given at [`Self::retain`].
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

    /// Blocks that nobody holds.
    pub(super) fn n_free(&self) -> usize {
        self.free.len()
    }

    /// All blocks.
    pub(super) fn n_blocks(&self) -> usize {
        self.n_references.len()
    }

    /// The references that hold each block.
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
