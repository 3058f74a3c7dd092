//! Actions on a customer's account.

use serde_json::{Value, json};

use super::{super::error::NotDone, arguments::ModifyCustomerAddress, case::Case};

/// Changes the customer's own address; orders keep their addresses.
pub(super) async fn modify_address(
    mut case: Case<'_>,
    arguments: ModifyCustomerAddress,
) -> Result<Value, NotDone> {
    let mut customer = case.customer();
    customer.address = arguments.address.instead_of(&customer.address)?;
    case.save_customer(&customer).await?;
    Ok(json!({"address": customer.address}))
}
