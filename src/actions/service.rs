//! Proposes and confirms actions.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Map, Value};
use tier0_store::{ActionId, ActionState, CustomerId, EmailAddress, SqliteStore};

use super::{
    error::{ActionError, NotDone},
    execute::{ConfirmedAction, Execute},
    key::ActionKey,
    keyed_locks::KeyedLocks,
    token::Signed,
};

/// An action to be done once its customer confirms it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The customer who has to confirm it.
    pub customer: CustomerId,
    /// The action, such as `cancel_order`.
    pub name: String,
    /// Its arguments, by the names of the ticket format.
    pub arguments: Map<String, Value>,
}

/// An action that has been carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmed {
    /// The action's id, from its token.
    pub id: ActionId,
    /// The action, such as `cancel_order`.
    pub name: String,
    /// Its arguments, as they were proposed.
    pub arguments: Map<String, Value>,
    /// Whether an earlier confirmation carried it out; this one then did nothing.
    pub already_confirmed: bool,
    /// What the executor reports to have done.
    pub result: Value,
}

/// Takes confirmations: implemented by [`ActionService`], and by fakes in tests.
#[async_trait]
pub trait ConfirmAction: Send + Sync {
    /// Carries out the action that `token` proposes, unless that has been done. If the caller knows who
    /// confirms, `confirmed_by` has to be the customer to whom it was proposed.
    ///
    /// # Errors
    /// [`ActionError`]; the built-in store is then unchanged.
    async fn confirm(
        &self,
        token: &str,
        confirmed_by: Option<&EmailAddress>,
    ) -> Result<Confirmed, ActionError>;
}

/// Signs proposals, and has confirmed actions carried out, once.
pub struct ActionService {
    store: SqliteStore,
    key: ActionKey,
    execute: Arc<dyn Execute>,
    token_lifetime: Duration,
    locks: KeyedLocks,
}

impl ActionService {
    /// Actions of the customers in `store`, carried out by `execute`. Proposals that `key` signs
    /// are void after `token_lifetime`.
    #[must_use]
    pub fn new(
        store: SqliteStore,
        key: ActionKey,
        execute: Arc<dyn Execute>,
        token_lifetime: Duration,
    ) -> Self {
        Self { store, key, execute, token_lifetime, locks: KeyedLocks::default() }
    }

    /// The token that confirms this proposal. Nothing is stored: a token that never comes back leaves no
    /// trace.
    ///
    /// # Errors
    /// [`ActionError::Unsigned`] when the proposal has no JSON form.
    pub fn propose(&self, proposal: &Proposal) -> Result<String, ActionError> {
        let Proposal { customer, name, arguments } = proposal.clone();
        let unsigned = |source| ActionError::Unsigned { name: proposal.name.clone(), source };
        let expires_at = (Utc::now() + self.token_lifetime).trunc_subsecs(0);
        let signed = Signed::new(ActionId::random(), customer, name, arguments, expires_at);
        signed.to_token(&self.key).map_err(unsigned)
    }

    /// Checks and carries out an action. The checks are in the transaction in which the action is carried
    /// out or entered as running, so nothing changes in between.
    async fn carry_out(
        &self,
        signed: &Signed,
        confirmed_by: Option<&EmailAddress>,
        now: DateTime<Utc>,
    ) -> Result<Confirmed, NotDone> {
        let confirmed = |result: Value, already_confirmed: bool| Confirmed {
            id: signed.id.clone(),
            name: signed.name.clone(),
            arguments: signed.arguments.clone(),
            already_confirmed,
            result,
        };
        // The webhook is called outside of any transaction, so this lock is what makes a second
        // confirmation wait for its answer.
        let _lock = self.locks.lock(&signed.id).await;
        let mut store = self.store.begin().await?;
        let customer = store.customer(&signed.customer).await?;
        let customer =
            customer.ok_or_else(|| NotDone::impossible("the customer is not in the store any more"))?;
        if let Some(email) = confirmed_by.filter(|email| email.key() != customer.email.key()) {
            return Err(NotDone::WrongCustomer { email: email.clone() });
        }
        let before = store.action(&signed.id).await?;
        if let Some(done) = before.as_ref().filter(|entry| entry.state == ActionState::Done) {
            return Ok(confirmed(done.result.clone(), true));
        }
        if signed.expires_at <= now {
            return Err(NotDone::Expired { at: signed.expires_at });
        }
        let action = ConfirmedAction {
            id: signed.id.clone(),
            customer,
            name: signed.name.clone(),
            arguments: signed.arguments.clone(),
            confirmed_at: before.map_or(now.trunc_subsecs(0), |entry| entry.confirmed_at),
        };
        let result = self.execute.execute(store, &action).await?;
        Ok(confirmed(result, false))
    }
}

#[async_trait]
impl ConfirmAction for ActionService {
    async fn confirm(
        &self,
        token: &str,
        confirmed_by: Option<&EmailAddress>,
    ) -> Result<Confirmed, ActionError> {
        let signed = Signed::from_token(token, &self.key).ok_or(ActionError::UnknownToken)?;
        let outcome = self.carry_out(&signed, confirmed_by, Utc::now()).await;
        outcome.map_err(|reason| ActionError::NotDone { name: signed.name, reason })
    }
}

impl fmt::Debug for ActionService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionService").field("token_lifetime", &self.token_lifetime).finish_non_exhaustive()
    }
}
