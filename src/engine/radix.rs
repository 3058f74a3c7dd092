//! The prefix cache: a radix tree of token sequences over the blocks that hold their keys and values.
//!
//! A node stands for the tokens at positions `start..end` of its path from the root. It references
//! the physical blocks of the block indices that this range reaches into, `start / B` to
//! `ceil(end / B)`. A block's first slots may belong to the node's ancestors: a sequence that continued
//! a prefix in mid-block did so in a copy of its own, which holds the prefix's tokens too. Hence, for
//! any block index, the block of the deepest node that reaches into it is right for the whole path.
//!
//! ```text
//! B = 4     index 0      index 1                      references
//! parent    a b c d      e f . .                      0 → block 7, 1 → block 3
//! ├ child                    g h    (e f copied)      1 → block 9
//! └ child                    x      (e f in place)    1 → block 3, shared with the parent
//! ```
//!
//! Who holds what:
//!
//! | holder | references | given back |
//! |---|---|---|
//! | node | one for each block index it reaches into | when it is evicted |
//! | sequence | one for each block of its table | when it ends or is preempted |
//! | lease | none: it keeps one node, and so the node's ancestors, from eviction | [`RadixCache::release`] |

use std::collections::{BTreeMap, BTreeSet};

use super::blocks::BlockPool;
use crate::model::{BlockId, TokenId};

type NodeId = usize;

/// The node of the empty prefix: it holds nothing and is never evicted.
const ROOT: NodeId = 0;

/// Keeps the path to a node from eviction until it is given to [`RadixCache::release`].
#[derive(Debug)]
#[must_use = "a lease that is not released pins its path for ever"]
pub(super) struct Lease(NodeId);

/// The cached prefix of a prompt. The blocks are the cache's: they stay as long as the lease; a caller
/// that keeps them longer retains them.
#[derive(Debug)]
pub(super) struct Match {
    /// Number of tokens whose keys and values are cached.
    pub(super) n_tokens: usize,
    /// The blocks that these tokens fill, in order.
    pub(super) blocks: Vec<BlockId>,
    /// The last block, if they fill it in part only. Its owner may write to it, so a caller that continues
    /// in it copies it first.
    pub(super) partial: Option<PartialBlock>,
    /// Protects all of this.
    pub(super) lease: Lease,
}

/// A block whose first slots hold cached tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartialBlock {
    pub(super) block: BlockId,
    /// Number of these slots.
    pub(super) n_tokens: usize,
}

/// The result of an insertion.
#[derive(Debug)]
pub(super) struct Inserted {
    /// The sequence's blocks from now on: the cache's own where it held the same full block already.
    pub(super) blocks: Vec<BlockId>,
    /// Protects the path of the sequence.
    pub(super) lease: Lease,
}

#[derive(Debug, Default)]
struct Node {
    start: usize,
    /// Empty in the root and in vacant nodes, and only there.
    tokens: Vec<TokenId>,
    blocks: Vec<BlockId>,
    parent: NodeId,
    children: BTreeMap<TokenId, NodeId>,
    n_leases: usize,
    last_used: u64,
}

impl Node {
    fn end(&self) -> usize {
        self.start + self.tokens.len()
    }

    /// Whether it is a leaf without leases, so that it can be evicted.
    fn is_idle(&self) -> bool {
        self.children.is_empty() && self.n_leases == 0 && !self.tokens.is_empty()
    }
}

/// The nodes from the root down to where a sequence and the tree part.
struct Path {
    nodes: Vec<NodeId>,
    n_tokens: usize,
}

impl Path {
    fn last(&self) -> NodeId {
        self.nodes.last().copied().unwrap_or(ROOT)
    }
}

/// A token-granular prefix cache. It decides which blocks are kept; the blocks themselves are the pool's.
#[derive(Debug)]
pub(super) struct RadixCache {
    block_size: usize,
    nodes: Vec<Node>,
    vacant: Vec<NodeId>,
    /// Counts uses, as a clock for "least recently used".
    n_uses: u64,
}

impl RadixCache {
    /// An empty cache over blocks of `block_size` tokens.
    pub(super) fn new(block_size: usize) -> Self {
        Self { block_size, nodes: vec![Node::default()], vacant: vec![], n_uses: 0 }
    }

    /// The longest prefix of `tokens` that is cached, leased.
    pub(super) fn match_prefix(&mut self, tokens: &[TokenId]) -> Match {
        let path = self.descend(tokens);
        let mut blocks = self.blocks_along(&path);
        let n_tokens = path.n_tokens % self.block_size;
        let partial = if n_tokens == 0 { None } else { blocks.pop() };
        let partial = partial.map(|block| PartialBlock { block, n_tokens });
        Match { n_tokens: path.n_tokens, blocks, partial, lease: self.lease(&path) }
    }

    /// Caches `tokens`, whose keys and values lie in `blocks` (which may reach further).
    ///
    /// The caller's references to `blocks` come in, and its references to the returned ones go out.
    /// They differ where another sequence was first with the same full block: then this sequence's
    /// copy is released and the first one's adopted. A block that is full only in part stays the
    /// caller's, which may write behind the inserted tokens.
    pub(super) fn insert(
        &mut self,
        tokens: &[TokenId],
        mut blocks: Vec<BlockId>,
        pool: &mut BlockPool,
    ) -> Inserted {
        let mut path = self.descend(tokens);
        let n_full = path.n_tokens / self.block_size;
        for (own, canonical) in blocks.iter_mut().zip(self.blocks_along(&path)).take(n_full) {
            // Retained first: the two may be the same block.
            pool.retain(canonical);
            pool.release(*own);
            *own = canonical;
        }
        if path.n_tokens < tokens.len() {
            let parent = self.split(path.last(), path.n_tokens, pool);
            path.nodes.pop();
            path.nodes.push(parent);
            let held = &blocks[n_full..tokens.len().div_ceil(self.block_size)];
            path.nodes.push(self.append(parent, &tokens[path.n_tokens..], held, pool));
        }
        Inserted { blocks, lease: self.lease(&path) }
    }

    /// Ends a lease.
    pub(super) fn release(&mut self, Lease(node): Lease) {
        self.nodes[node].n_leases -= 1;
    }

    /// Evicts unleased leaves, least recently used first and each from its end, until `n_wanted` blocks
    /// have become free or nothing is left to evict. Returns how many became free: a block that a
    /// sequence still holds does not.
    pub(super) fn evict(&mut self, n_wanted: usize, pool: &mut BlockPool) -> usize {
        let idle = self.nodes.iter().enumerate().filter(|(_, node)| node.is_idle());
        let mut leaves: BTreeSet<(u64, NodeId)> = idle.map(|(id, node)| (node.last_used, id)).collect();
        let mut n_freed = 0;
        while n_freed < n_wanted
            && let Some(&(last_used, leaf)) = leaves.first()
        {
            let parent = self.nodes[leaf].parent;
            n_freed += usize::from(self.drop_last_block(leaf, pool));
            if self.nodes[leaf].tokens.is_empty() {
                leaves.remove(&(last_used, leaf));
            }
            if self.nodes[parent].is_idle() {
                leaves.insert((self.nodes[parent].last_used, parent));
            }
        }
        n_freed
    }

    fn descend(&self, tokens: &[TokenId]) -> Path {
        let mut path = Path { nodes: vec![ROOT], n_tokens: 0 };
        while let Some(next) = tokens.get(path.n_tokens)
            && let Some(&child) = self.nodes[path.last()].children.get(next)
        {
            path.nodes.push(child);
            path.n_tokens += common_prefix(&self.nodes[child].tokens, &tokens[path.n_tokens..]);
            if path.n_tokens < self.nodes[child].end() {
                break;
            }
        }
        path
    }

    /// The blocks of the tokens on the path, deeper nodes' before their ancestors'.
    fn blocks_along(&self, path: &Path) -> Vec<BlockId> {
        let mut blocks = vec![];
        for node in path.nodes.iter().map(|&id| &self.nodes[id]) {
            blocks.truncate(node.start / self.block_size);
            blocks.extend(&node.blocks);
        }
        blocks.truncate(path.n_tokens.div_ceil(self.block_size));
        blocks
    }

    /// Leases the path's end and marks all of the path as used now.
    fn lease(&mut self, path: &Path) -> Lease {
        self.n_uses += 1;
        for &id in &path.nodes {
            self.nodes[id].last_used = self.n_uses;
        }
        self.nodes[path.last()].n_leases += 1;
        Lease(path.last())
    }

    /// Makes a node end at position `at`, unless it does already. The part before is a new node,
    /// returned; the part behind keeps the id, and with it the leases, so that they go on
    /// protecting the whole.
    fn split(&mut self, id: NodeId, at: usize, pool: &mut BlockPool) -> NodeId {
        let block_size = self.block_size;
        let lower = &mut self.nodes[id];
        if at == lower.end() {
            return id;
        }
        let first_index = lower.start / block_size;
        let tail = lower.tokens.split_off(at - lower.start);
        let mut upper = Node {
            start: lower.start,
            tokens: std::mem::replace(&mut lower.tokens, tail),
            blocks: lower.blocks[..at.div_ceil(block_size) - first_index].to_vec(),
            parent: lower.parent,
            last_used: lower.last_used,
            ..Node::default()
        };
        lower.start = at;
        lower.blocks.drain(..at / block_size - first_index);
        if !at.is_multiple_of(block_size) {
            // Both reach into the block in which the cut lies.
            pool.retain(lower.blocks[0]);
        }
        upper.children.insert(lower.tokens[0], id);
        let (parent, first) = (upper.parent, upper.tokens[0]);
        let upper = self.place(upper);
        self.nodes[id].parent = upper;
        self.nodes[parent].children.insert(first, upper);
        upper
    }

    /// Adds a leaf below `parent`, with a reference to each of its blocks.
    fn append(
        &mut self,
        parent: NodeId,
        tokens: &[TokenId],
        blocks: &[BlockId],
        pool: &mut BlockPool,
    ) -> NodeId {
        for &block in blocks {
            pool.retain(block);
        }
        let leaf = self.place(Node {
            start: self.nodes[parent].end(),
            tokens: tokens.to_vec(),
            blocks: blocks.to_vec(),
            parent,
            ..Node::default()
        });
        self.nodes[parent].children.insert(tokens[0], leaf);
        leaf
    }

    fn place(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.vacant.pop() {
            self.nodes[id] = node;
            return id;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Removes a leaf's last block and the tokens in it, and the leaf itself with its last token. Returns
    /// whether the block became free.
    fn drop_last_block(&mut self, leaf: NodeId, pool: &mut BlockPool) -> bool {
        let node = &mut self.nodes[leaf];
        let (parent, first) = (node.parent, node.tokens[0]);
        let freed = node.blocks.pop().is_some_and(|block| pool.release(block));
        let end = (node.start / self.block_size + node.blocks.len()) * self.block_size;
        node.tokens.truncate(end.saturating_sub(node.start));
        if node.tokens.is_empty() {
            self.nodes[parent].children.remove(&first);
            self.vacant.push(leaf);
        }
        freed
    }

    /// Every node's path from the root and the blocks along it.
    #[cfg(test)]
    pub(super) fn paths(&self) -> Vec<(Vec<TokenId>, Vec<BlockId>)> {
        let live = (0..self.nodes.len()).filter(|&id| !self.nodes[id].tokens.is_empty());
        live.map(|id| {
            let mut nodes: Vec<NodeId> =
                std::iter::successors(Some(id), |&id| (id != ROOT).then(|| self.nodes[id].parent)).collect();
            nodes.reverse();
            let tokens = nodes.iter().flat_map(|&id| self.nodes[id].tokens.clone()).collect();
            (tokens, self.blocks_along(&Path { nodes, n_tokens: self.nodes[id].end() }))
        })
        .collect()
    }

    /// The blocks that the nodes reference, one item for each reference.
    #[cfg(test)]
    pub(super) fn references(&self) -> impl Iterator<Item = BlockId> {
        self.nodes.iter().flat_map(|node| node.blocks.iter().copied())
    }

    /// Number of leases that are not released.
    #[cfg(test)]
    pub(super) fn n_leases(&self) -> usize {
        self.nodes.iter().map(|node| node.n_leases).sum()
    }
}

/// Length of the common prefix of two sequences.
pub(super) fn common_prefix(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK_SIZE: usize = 4;

    fn tokens(text: &str) -> Vec<TokenId> {
        text.bytes().map(|byte| TokenId(u32::from(byte))).collect()
    }

    /// A cache, its pool, and which tokens each slot of the pool would hold.
    struct Bench {
        cache: RadixCache,
        pool: BlockPool,
        slots: Vec<[Option<TokenId>; BLOCK_SIZE]>,
    }

    impl Bench {
        fn new(n_blocks: usize) -> Self {
            let slots = vec![[None; BLOCK_SIZE]; n_blocks];
            Self { cache: RadixCache::new(BLOCK_SIZE), pool: BlockPool::new(n_blocks), slots }
        }

        /// Computes `text` without looking into the cache: all its blocks are new.
        fn compute(&mut self, text: &str) -> Vec<BlockId> {
            tokens(text)
                .chunks(BLOCK_SIZE)
                .map(|chunk| {
                    let block = self.pool.allocate().unwrap();
                    for (slot, token) in self.slots[block.0 as usize].iter_mut().zip(chunk) {
                        *slot = Some(*token);
                    }
                    block
                })
                .collect()
        }

        /// Inserts a text and releases its blocks and its lease, as a sequence does when it ends.
        fn cache(&mut self, text: &str) -> Vec<BlockId> {
            let own = self.compute(text);
            let Inserted { blocks, lease } = self.cache.insert(&tokens(text), own, &mut self.pool);
            self.cache.release(lease);
            for &block in &blocks {
                self.pool.release(block);
            }
            blocks
        }

        fn matched(&mut self, text: &str) -> (usize, Vec<BlockId>, Option<PartialBlock>) {
            let Match { n_tokens, blocks, partial, lease } = self.cache.match_prefix(&tokens(text));
            self.cache.release(lease);
            (n_tokens, blocks, partial)
        }

        /// Every path's blocks hold that path's tokens, and references are the nodes' alone.
        fn check(&self) {
            for (path, blocks) in self.cache.paths() {
                for (position, token) in path.iter().enumerate() {
                    let block = blocks[position / BLOCK_SIZE].0 as usize;
                    assert_eq!(self.slots[block][position % BLOCK_SIZE], Some(*token));
                }
            }
            let mut expected = vec![0; self.pool.n_blocks()];
            for block in self.cache.references() {
                expected[block.0 as usize] += 1;
            }
            assert_eq!(self.pool.n_references(), expected);
        }
    }

    #[test]
    fn a_match_ends_where_the_tokens_part() {
        let mut bench = Bench::new(8);
        let blocks = bench.cache("abcdefghij");
        assert_eq!(bench.matched("abcdefgh"), (8, blocks[..2].to_vec(), None));
        let partial = PartialBlock { block: blocks[1], n_tokens: 2 };
        assert_eq!(bench.matched("abcdefxyz"), (6, blocks[..1].to_vec(), Some(partial)));
        assert_eq!(bench.matched("xbc"), (0, vec![], None));
    }

    #[test]
    fn a_branch_in_mid_block_has_its_own_copy_of_the_block() {
        let mut bench = Bench::new(8);
        let first = bench.cache("abcdefgh");
        let second = bench.cache("abcdefxyz");
        assert_eq!(second[0], first[0], "the full block in common is the cache's");
        assert_ne!(second[1], first[1]);
        assert_eq!(bench.matched("abcdefgh").1, first);
        assert_eq!(bench.matched("abcdefxy").1, second[..2]);
        bench.check();
    }

    #[test]
    fn of_two_equal_prompts_in_one_step_the_second_adopts_the_firsts_blocks() {
        let mut bench = Bench::new(8);
        let (a, b) = (bench.compute("abcdefghij"), bench.compute("abcdefghij"));
        let prompt = tokens("abcdefghij");
        let first = bench.cache.insert(&prompt, a.clone(), &mut bench.pool);
        let second = bench.cache.insert(&prompt, b.clone(), &mut bench.pool);
        assert_eq!(first.blocks, a);
        assert_eq!(second.blocks, [a[0], a[1], b[2]], "the block in writing stays its owner's");
        assert_eq!(bench.pool.n_free(), 8 - 4);
        // The first ends, and the cache is emptied as far as it can be: nothing of it may go that
        // the second still reads.
        bench.cache.release(first.lease);
        first.blocks.iter().for_each(|&block| {
            bench.pool.release(block);
        });
        bench.cache.evict(usize::MAX, &mut bench.pool);
        assert!(second.blocks.iter().all(|block| bench.pool.n_references()[block.0 as usize] > 0));
        bench.cache.release(second.lease);
        bench.cache.evict(usize::MAX, &mut bench.pool);
        assert_eq!(bench.pool.n_free(), 8 - 3, "the second's own references are left");
        second.blocks.iter().for_each(|&block| {
            assert!(bench.pool.release(block));
        });
    }

    #[test]
    fn the_least_recently_used_leaf_goes_first_and_from_its_end() {
        let mut bench = Bench::new(8);
        bench.cache("abcdefgh");
        bench.cache("stuvwxyz");
        bench.matched("abcdefgh");
        assert_eq!(bench.cache.evict(1, &mut bench.pool), 1);
        assert_eq!((bench.matched("abcdefgh").0, bench.matched("stuvwxyz").0), (8, 4));
        bench.matched("abcdefgh");
        assert_eq!(bench.cache.evict(2, &mut bench.pool), 2);
        assert_eq!((bench.matched("abcdefgh").0, bench.matched("stuvwxyz").0), (4, 0));
        bench.check();
    }

    #[test]
    fn a_lease_protects_its_path_even_through_a_split() {
        let mut bench = Bench::new(8);
        bench.cache("abcdefgh");
        let leased = bench.cache.match_prefix(&tokens("abcdefgh"));
        bench.cache("abcdexyz");
        bench.cache.evict(usize::MAX, &mut bench.pool);
        assert_eq!((bench.matched("abcdefgh").0, bench.matched("abcdexyz").0), (8, 5));
        bench.check();
        bench.cache.release(leased.lease);
        assert_eq!(bench.cache.evict(usize::MAX, &mut bench.pool), 2);
        assert_eq!(bench.pool.n_free(), 8);
    }

    proptest! {
        /// Whatever was inserted, evicted and matched before, a match is a true prefix with the
        /// right blocks, and references are neither lost nor left over.
        #[test]
        fn the_cache_tells_the_truth(
            operations in prop::collection::vec(("[ab]{1,14}", 0_usize..12), 1..60),
        ) {
            let mut bench = Bench::new(32);
            for (text, n_evicted) in operations {
                let n_before = bench.matched(&text).0;
                if bench.pool.n_free() < text.len().div_ceil(BLOCK_SIZE) {
                    bench.cache.evict(n_evicted.max(4), &mut bench.pool);
                }
                bench.cache(&text);
                prop_assert!(n_before <= text.len());
                prop_assert_eq!(bench.matched(&text).0, text.len());
                bench.check();
                if n_evicted.is_multiple_of(3) {
                    bench.cache.evict(n_evicted, &mut bench.pool);
                    bench.check();
                }
            }
            prop_assert_eq!(bench.cache.n_leases(), 0);
            bench.cache.evict(usize::MAX, &mut bench.pool);
            prop_assert_eq!(bench.pool.n_free(), 32);
        }
    }
}
