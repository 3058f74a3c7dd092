//! The arguments of each action, by the names of the ticket format. Other arguments are ignored: the
//! ledger keeps them (the reason for a cancellation), or they repeat known values (`zip`).

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tier0_store::{Address, ItemId, OrderId, PaymentMethodId};

use super::super::{error::NotDone, execute::ConfirmedAction};

#[derive(Debug, Deserialize)]
pub(super) struct CancelOrder {
    pub(super) order_id: OrderId,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModifyAddress {
    pub(super) order_id: OrderId,
    pub(super) address: NewAddress,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModifyCustomerAddress {
    pub(super) address: NewAddress,
}

#[derive(Debug, Deserialize)]
pub(super) struct ModifyPayment {
    pub(super) order_id: OrderId,
    pub(super) payment_method_id: PaymentMethodId,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReturnItems {
    pub(super) order_id: OrderId,
    pub(super) item_ids: Vec<ItemId>,
    pub(super) payment_method_id: PaymentMethodId,
}

/// Arguments of `exchange_items` and `modify_items`: items and, at the same index, their replacements.
#[derive(Debug, Deserialize)]
pub(super) struct ReplaceItems {
    pub(super) order_id: OrderId,
    pub(super) item_ids: Vec<ItemId>,
    pub(super) new_item_ids: Vec<ItemId>,
    pub(super) payment_method_id: PaymentMethodId,
}

/// An address as the customer wrote it; the country may be missing.
#[derive(Debug, Deserialize)]
pub(super) struct NewAddress {
    line1: String,
    line2: Option<String>,
    city: String,
    region: Option<String>,
    postal_code: String,
    country: Option<String>,
}

impl NewAddress {
    /// The complete address; a missing country is that of `old`.
    ///
    /// # Errors
    /// [`NotDone::Arguments`] when a required line is blank.
    pub(super) fn instead_of(self, old: &Address) -> Result<Address, NotDone> {
        let needed = [("line1", &self.line1), ("city", &self.city), ("postal_code", &self.postal_code)];
        if let Some((name, _)) = needed.iter().find(|(_, line)| line.trim().is_empty()) {
            return Err(NotDone::Arguments { reason: format!("address.{name} is blank") });
        }
        Ok(Address {
            line1: self.line1,
            line2: self.line2,
            city: self.city,
            region: self.region,
            postal_code: self.postal_code,
            country: self.country.unwrap_or_else(|| old.country.clone()),
        })
    }
}

/// Parses the arguments of an action.
///
/// # Errors
/// [`NotDone::Arguments`] naming the argument that is missing or has the wrong form.
pub(super) fn read<T: DeserializeOwned>(action: &ConfirmedAction) -> Result<T, NotDone> {
    serde_path_to_error::deserialize(Value::Object(action.arguments.clone()))
        .map_err(|error| NotDone::Arguments { reason: error.to_string() })
}
