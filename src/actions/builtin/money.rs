//! Payments of an order: charges and refunds by payment method. The store holds the balances of gift
//! cards and changes them; the payment provider handles the other methods.

use tier0_store::{Amount, Customer, Money, Order, Payment, PaymentKind, PaymentMethodId};

use super::super::error::NotDone;

/// The amount that each method has paid and not got back, in the order of payment. The sum is never more
/// than what was paid and not refunded, even if a refund went to another method.
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

/// The payments of a method minus its refunds.
fn net(order: &Order, id: &PaymentMethodId) -> Amount {
    let own = order.payments.iter().filter(|payment| payment.payment_method_id == *id);
    own.fold(Amount::ZERO, |net, payment| match payment.kind {
        PaymentKind::Payment => net + payment.amount,
        PaymentKind::Refund => net - payment.amount,
    })
}

/// Refunds everything to the methods that paid it. Returns the refunds.
pub(super) fn refund_all(order: &mut Order, customer: &mut Customer) -> Vec<Payment> {
    let held = held(order);
    for (id, amount) in &held {
        refund(order, customer, id, *amount);
    }
    order.payments[order.payments.len() - held.len()..].to_vec()
}

/// Refunds an amount to a method, which the customer may have removed since.
pub(super) fn refund(order: &mut Order, customer: &mut Customer, id: &PaymentMethodId, amount: Amount) {
    if let Some(balance) = balance(customer, id) {
        *balance = *balance + amount;
    }
    order.payments.push(Payment { kind: PaymentKind::Refund, amount, payment_method_id: id.clone() });
}

/// Charges an amount to one of the customer's methods.
///
/// # Errors
/// [`NotDone::Impossible`] when it is not the customer's, or has too little left.
pub(super) fn charge(
    order: &mut Order,
    customer: &mut Customer,
    id: &PaymentMethodId,
    amount: Amount,
) -> Result<(), NotDone> {
    check(customer, id, &order.money(amount))?;
    if let Some(balance) = balance(customer, id) {
        *balance = *balance - amount;
    }
    order.payments.push(Payment { kind: PaymentKind::Payment, amount, payment_method_id: id.clone() });
    Ok(())
}

/// Charges a price difference, or refunds it if it is negative.
///
/// # Errors
/// [`NotDone::Impossible`] when the method is not the customer's, or has too little left.
pub(super) fn settle(
    order: &mut Order,
    customer: &mut Customer,
    id: &PaymentMethodId,
    difference: Amount,
) -> Result<(), NotDone> {
    check(customer, id, &order.money(difference))?;
    if difference > Amount::ZERO {
        charge(order, customer, id, difference)?;
    }
    if difference.is_negative() {
        refund(order, customer, id, Amount::ZERO - difference);
    }
    Ok(())
}

/// Checks that a method is the customer's and that its balance covers `due`. Only gift cards have a
/// balance.
///
/// # Errors
/// [`NotDone::Impossible`] when one of the two is not so.
pub(super) fn check(customer: &Customer, id: &PaymentMethodId, due: &Money) -> Result<(), NotDone> {
    let method = customer.payment_method(id);
    let method = method
        .ok_or_else(|| NotDone::impossible(format!("the payment method {id} is not in the account")))?;
    match method.balance {
        Some(balance) if balance < due.amount => Err(NotDone::impossible(format!(
            "{} is left on {id}, which is less than the {due} to be paid",
            balance.in_currency(&due.currency)
        ))),
        _ => Ok(()),
    }
}

fn balance<'a>(customer: &'a mut Customer, id: &PaymentMethodId) -> Option<&'a mut Amount> {
    customer.payment_methods.iter_mut().find(|method| method.id == *id)?.balance.as_mut()
}
