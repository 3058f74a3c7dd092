//! Names of payment methods in English sentences.

use tier0_store::{PaymentMethod, PaymentMethodKind};

/// A method as a reply calls it: `your credit card ending in 4242`.
pub(super) fn method_text(method: &PaymentMethod) -> String {
    format!("your {}", method_name(method))
}

/// The name alone: `credit card ending in 4242`.
pub(super) fn method_name(method: &PaymentMethod) -> String {
    let kind = match &method.kind {
        PaymentMethodKind::CreditCard => "credit card".to_owned(),
        PaymentMethodKind::GiftCard => "gift card".to_owned(),
        PaymentMethodKind::Paypal => "PayPal account".to_owned(),
        PaymentMethodKind::Other(word) => word.replace('_', " "),
    };
    let last4 = method.last4.as_ref().map(|digits| format!(" ending in {digits}")).unwrap_or_default();
    format!("{kind}{last4}")
}
