//! The word that caller and workers meet at.

use std::sync::atomic::{AtomicU64, Ordering};

/// Threads inside: the low bits.
const INSIDE: u64 = OPEN - 1;
/// Set while threads may enter.
const OPEN: u64 = 1 << 31;
/// One call: the high bits count them.
const CALL: u64 = 1 << 32;

/// Which call it is. Wraps after 2³² calls, long after a waiting worker has seen one between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Epoch(u64);

/// Whether there is a call, which one, and how many threads work on it, in one word: so a thread
/// enters the call that it saw, or not at all.
#[derive(Debug)]
pub(super) struct Gate(AtomicU64);

impl Gate {
    /// A shut gate.
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Begins the next call. Only for a shut gate with nobody inside.
    pub(super) fn open(&self) {
        // Sequentially consistent, as the caller then asks who sleeps (see `Shared::wait`).
        self.0.fetch_add(CALL | OPEN, Ordering::SeqCst);
    }

    /// Lets nobody in any more.
    pub(super) fn shut(&self) {
        self.0.fetch_and(!OPEN, Ordering::Relaxed);
    }

    /// Whether nobody is inside. What those who left have written is then visible.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) & INSIDE == 0
    }

    /// The call that may be entered now.
    pub(super) fn open_epoch(&self) -> Option<Epoch> {
        let word = self.0.load(Ordering::SeqCst);
        (word & OPEN != 0).then_some(Epoch(word / CALL))
    }

    /// Enters the call `epoch`. False where it is over.
    pub(super) fn enter(&self, epoch: Epoch) -> bool {
        let still_open = |word: u64| (word & OPEN != 0 && Epoch(word / CALL) == epoch).then_some(word + 1);
        self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, still_open).is_ok()
    }

    /// Leaves the call that was entered.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
