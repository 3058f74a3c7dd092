//! One lock for each action, so that confirmations of the same action wait for each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tier0_store::ActionId;
use tokio::sync::OwnedMutexGuard;

type Lock = tokio::sync::Mutex<()>;

/// Locks of the actions that are being confirmed.
#[derive(Debug, Default)]
pub(super) struct KeyedLocks {
    locks: Mutex<HashMap<ActionId, Weak<Lock>>>,
}

impl KeyedLocks {
    /// Waits until no other confirmation of this action runs. Dropping the guard releases the lock.
    pub(super) async fn lock(&self, id: &ActionId) -> OwnedMutexGuard<()> {
        self.lock_of(id).lock_owned().await
    }

    fn lock_of(&self, id: &ActionId) -> Arc<Lock> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(id).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(Lock::default());
        locks.insert(id.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn id(text: &str) -> ActionId {
        ActionId::new(text).unwrap()
    }

    #[tokio::test]
    async fn the_same_action_waits_and_another_does_not() {
        let locks = KeyedLocks::default();
        let (a, b) = (id("a"), id("b"));
        let first = locks.lock(&a).await;
        let mut second = Box::pin(locks.lock(&a));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(locks.lock(&b).now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn actions_that_have_been_confirmed_are_forgotten() {
        let locks = KeyedLocks::default();
        drop(locks.lock(&id("a")).await);
        drop(locks.lock(&id("b")).await);
        assert_eq!(locks.locks.lock().unwrap().len(), 1);
    }
}
