//! Money of an order: what was paid with what, charges and refunds. Gift cards have their balance
//! in the store, so it moves with them; other methods are the payment provider's.

use tier0_store::{Amount, Customer, Money, Order, Payment, PaymentKind, PaymentMethodId};

use super::super::error::Failure;

/// What each method has paid and not got back, in the order of payment. Together it is never more
/// than has been paid and not refunded, whichever way a refund went.
pub(super) fn held(order: &Order) -> Vec<(PaymentMethodId, Amount)> {
    let mut left = order.paid().amount - order.refunded().amount;
    let mut held: Vec<(PaymentMethodId, Amount)> = Vec::new();
    for Payment { payment_method_id: id, .. } in &order.payments {
        let amount = net(order, id).min(left);
        if amount > Amount::ZERO && !held.iter().any(|(known, _)| known == id) {
            left = left - amount;
            held.push((id.clone(), amount));
        }
    }
    held
}

/// What a method has paid, less what it has got back.
fn net(order: &Order, id: &PaymentMethodId) -> Amount {
    let own = order.payments.iter().filter(|payment| payment.payment_method_id == *id);
    own.fold(Amount::ZERO, |net, payment| match payment.kind {
        PaymentKind::Payment => net + payment.amount,
        PaymentKind::Refund => net - payment.amount,
    })
}

/// Gives back all that is held, each part to the method that paid it. Returns the refunds.
pub(super) fn refund_all(order: &mut Order, customer: &mut Customer) -> Vec<Payment> {
    let held = held(order);
    for (id, amount) in &held {
        refund(order, customer, id, *amount);
    }
    order.payments[order.payments.len() - held.len()..].to_vec()
}

/// Gives money back to a method, which the customer may have removed since.
pub(super) fn refund(order: &mut Order, customer: &mut Customer, id: &PaymentMethodId, amount: Amount) {
    if let Some(balance) = balance(customer, id) {
        *balance = *balance + amount;
    }
    order.payments.push(Payment { kind: PaymentKind::Refund, amount, payment_method_id: id.clone() });
}

/// Takes money from one of the customer's methods.
///
/// # Errors
/// [`Failure::Impossible`] when it is not the customer's, or has too little left.
pub(super) fn charge(
    order: &mut Order,
    customer: &mut Customer,
    id: &PaymentMethodId,
    amount: Amount,
) -> Result<(), Failure> {
    check(customer, id, &order.money(amount))?;
    if let Some(balance) = balance(customer, id) {
        *balance = *balance - amount;
    }
    order.payments.push(Payment { kind: PaymentKind::Payment, amount, payment_method_id: id.clone() });
    Ok(())
}

/// Charges a difference, or refunds it where it is below nothing.
///
/// # Errors
/// [`Failure::Impossible`] when the method is not the customer's, or has too little left.
pub(super) fn settle(
    order: &mut Order,
    customer: &mut Customer,
    id: &PaymentMethodId,
    difference: Amount,
) -> Result<(), Failure> {
    check(customer, id, &order.money(difference))?;
    if difference > Amount::ZERO {
        charge(order, customer, id, difference)?;
    }
    if difference.is_negative() {
        refund(order, customer, id, Amount::ZERO - difference);
    }
    Ok(())
}

/// Whether a method is the customer's and has as much left as is due. Only gift cards have a
/// balance.
///
/// # Errors
/// [`Failure::Impossible`] when not.
pub(super) fn check(customer: &Customer, id: &PaymentMethodId, due: &Money) -> Result<(), Failure> {
    let method = customer.payment_method(id);
    let method = method
        .ok_or_else(|| Failure::impossible(format!("the payment method {id} is not in the account")))?;
    match method.balance {
        Some(balance) if balance < due.amount => Err(Failure::impossible(format!(
            "{} is left on {id}, which is less than the {due} to be paid",
            balance.in_currency(&due.currency)
        ))),
        _ => Ok(()),
    }
}

fn balance<'a>(customer: &'a mut Customer, id: &PaymentMethodId) -> Option<&'a mut Amount> {
    customer.payment_methods.iter_mut().find(|method| method.id == *id)?.balance.as_mut()
}
