//! One confirmation of an action at a time, while others of the same action wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tier0_store::ActionId;
use tokio::sync::OwnedMutexGuard;

type Turn = tokio::sync::Mutex<()>;

/// The actions that are being confirmed.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<HashMap<ActionId, Weak<Turn>>>,
}

impl Turns {
    /// Waits until nobody else confirms this action. The turn ends when the guard is dropped.
    pub(super) async fn take(&self, id: &ActionId) -> OwnedMutexGuard<()> {
        self.turn(id).lock_owned().await
    }

    fn turn(&self, id: &ActionId) -> Arc<Turn> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = taken.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::default());
        taken.insert(id.clone(), Arc::downgrade(&turn));
        turn
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
        let turns = Turns::default();
        let (a, b) = (id("a"), id("b"));
        let first = turns.take(&a).await;
        let mut second = Box::pin(turns.take(&a));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(turns.take(&b).now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn actions_that_have_been_confirmed_are_forgotten() {
        let turns = Turns::default();
        drop(turns.take(&id("a")).await);
        drop(turns.take(&id("b")).await);
        assert_eq!(turns.taken.lock().unwrap().len(), 1);
    }
}
