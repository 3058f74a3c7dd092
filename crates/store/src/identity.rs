//! Who is asking. The caller says so, never the text of a message.

use super::{Customer, CustomerId, EmailAddress};

/// The sender of a message, as the helpdesk knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sender {
    /// The address that the message came from.
    pub email: Option<String>,
    /// Whether the helpdesk has authenticated that address.
    pub verified: bool,
}

impl Sender {
    /// The address of a verified sender, where it has the form of one.
    pub(super) fn verified_email(&self) -> Option<EmailAddress> {
        if !self.verified {
            return None;
        }
        EmailAddress::parse(self.email.as_deref()?).ok()
    }
}

/// A customer who has been identified: what every question about orders needs.
///
/// Only [`identify`](super::OrderStore::identify) makes one, and only for a verified sender whose
/// address belongs to a customer of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifiedCustomer {
    id: CustomerId,
}

impl VerifiedCustomer {
    /// `customer`, if the sender is verified and writes from this customer's address.
    pub(super) fn confirm(sender: &Sender, customer: &Customer) -> Option<Self> {
        let email = sender.verified_email()?;
        (email.key() == customer.email.key()).then(|| Self { id: customer.id.clone() })
    }

    /// The customer's id.
    #[must_use]
    pub fn id(&self) -> &CustomerId {
        &self.id
    }
}
