//! Who takes which task.

use std::sync::atomic::{AtomicU64, Ordering};

/// The tasks of a call, a share of them for each thread. Neighbouring tasks read neighbouring memory,
/// so each thread begins with tasks that lie together, in order; one that has done its own takes half
/// of what another has left.
#[derive(Debug)]
pub(super) struct Shares(Box<[Share]>);

/// The tasks that a thread has left, `first..end`, in one word; on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Share(AtomicU64);

/// The most tasks that a call can have.
pub(super) const MOST_TASKS: usize = u32::MAX as usize;

impl Shares {
    /// Shares of nothing.
    pub(super) fn new(n_threads: usize) -> Self {
        Self((0..n_threads).map(|_| Share(AtomicU64::new(0))).collect())
    }

    /// Gives out the tasks below `n_tasks`, to the first threads where those are enough. Only while nobody
    /// takes any.
    pub(super) fn fill(&self, n_tasks: usize) {
        let n_shares = self.0.len().min(n_tasks).max(1);
        let bound = |i: usize| (i.min(n_shares) * n_tasks / n_shares) as u64;
        for (i, share) in self.0.iter().enumerate() {
            share.0.store(word(bound(i), bound(i + 1)), Ordering::Relaxed);
        }
    }

    /// A task for thread `thread`; none when no share has any: what another thread is just taking over
    /// is that one's.
    pub(super) fn take(&self, thread: usize) -> Option<usize> {
        self.0[thread].take_first().or_else(|| {
            let n = self.0.len();
            (1..n).find_map(|i| self.0[(thread + i) % n].give_half_to(&self.0[thread]))
        })
    }

    /// Leaves out the tasks that nobody has taken, but for those that pass from one thread to another
    /// just then.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|share| share.0.store(0, Ordering::Relaxed));
    }
}

impl Share {
    fn take_first(&self) -> Option<usize> {
        let rest = |word| {
            let (first, end) = bounds(word);
            (first < end).then(|| self::word(first + 1, end))
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok()?;
        Some(bounds(before).0 as usize)
    }

    /// Moves the further half of what is left to the empty share `other`, all but the first task of it,
    /// which is returned.
    fn give_half_to(&self, other: &Self) -> Option<usize> {
        let middle = |word| {
            let (first, end) = bounds(word);
            first + (end - first) / 2
        };
        let rest = |word| {
            let (first, end) = bounds(word);
            (first < end).then(|| self::word(first, middle(word)))
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok()?;
        let middle = middle(before);
        // Nobody else writes into an empty share.
        other.0.store(word(middle + 1, bounds(before).1), Ordering::Relaxed);
        Some(middle as usize)
    }
}

fn word(first: u64, end: u64) -> u64 {
    end << 32 | first
}

fn bounds(word: u64) -> (u64, u64) {
    (word & u64::from(u32::MAX), word >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_task_is_taken_once_whoever_asks(
            n_threads in 1usize..6,
            n_tasks in 0usize..70,
            asking in proptest::collection::vec(0usize..6, 0..200),
        ) {
            let shares = Shares::new(n_threads);
            shares.fill(n_tasks);
            let mut taken: Vec<usize> =
                asking.into_iter().filter_map(|thread| shares.take(thread % n_threads)).collect();
            taken.extend((0..n_threads).flat_map(|thread| std::iter::from_fn(|| shares.take(thread)).collect::<Vec<_>>()));
            taken.sort_unstable();
            prop_assert_eq!(taken, (0..n_tasks).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_thread_takes_its_own_in_order_and_then_half_of_anothers() {
        let shares = Shares::new(2);
        shares.fill(16);
        let taken: Vec<usize> = (0..9).filter_map(|_| shares.take(1)).collect();
        assert_eq!(taken, [8, 9, 10, 11, 12, 13, 14, 15, 4]);
        assert_eq!(shares.take(0), Some(0));
        assert_eq!(shares.take(1), Some(5));
    }

    #[test]
    fn what_is_cleared_is_not_taken() {
        let shares = Shares::new(2);
        shares.fill(100);
        assert_eq!(shares.take(0), Some(0));
        shares.clear();
        assert_eq!([shares.take(0), shares.take(1)], [None; 2]);
    }
}
