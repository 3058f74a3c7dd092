//! Where money is to come from or to go.

use serde_json::{Value, json};
use tier0_store::{Amount, Customer, Order, PaymentMethod};
use tier0_text::{contains, mentions, words};

use crate::support::payment_method::{method_name, method_text};

/// The way the order was paid, as the model names it.
pub(super) const ORIGINAL: &str = "original payment method";
/// A method that is not in the customer's account, as the model names it.
pub(super) const FOREIGN: &str = "another method";

/// Words without which a message says nothing of payment.
const MONEY_WORDS: [&str; 12] = [
    "card",
    "paypal",
    "payment",
    "pay",
    "paid",
    "account",
    "refund",
    "money",
    "debit",
    "bank",
    "difference",
    "reimburse",
];
/// How customers name the way the order was paid.
const ORIGINAL_WORDS: [&str; 16] = [
    "original",
    "same payment",
    "same method",
    "same way",
    "way i paid",
    "method i used",
    "card i paid with",
    "card i used",
    "i paid with",
    "i used to pay",
    "used originally",
    "how i paid",
    "back to the card",
    "same card",
    "payment method i used",
    "the way i bought it",
];
/// Without one of these, who names the way the order was paid means it.
const CONTRAST_WORDS: [&str; 16] = [
    "not", "don't", "doesn't", "can't", "cannot", "isn't", "instead", "rather", "except", "other", "else",
    "but", "longer", "closed", "expired", "lost",
];
/// Words for methods of somebody else's, or new ones.
const FOREIGN_WORDS: [&str; 22] = [
    "debit card",
    "partner",
    "wife",
    "husband",
    "friend",
    "brother",
    "sister",
    "mother",
    "father",
    "daughter",
    "another card",
    "other card",
    "different card",
    "new card",
    "another account",
    "other account",
    "different account",
    "bank account",
    "bank transfer",
    "cash",
    "iban",
    "different payment method",
];

/// How far a reading departs from what is always allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PaymentReading<'a> {
    NotSaid,
    Original,
    Own(&'a str),
    Foreign,
}

/// Whether a text speaks of payment at all.
pub(super) fn is_mentioned(said: &[String]) -> bool {
    mentions(said, &MONEY_WORDS)
}

/// What the message says of payment. Of two readings that differ, the one counts that departs
/// further from the way the order was paid: the rules deny what they do not know.
pub(super) fn read(
    answer: Option<&str>,
    said: &[String],
    customer: &Customer,
    order: Option<&Order>,
) -> Value {
    let original =
        order.and_then(|order| order.payments.first()).map(|payment| payment.payment_method_id.to_string());
    let methods = &customer.payment_methods;
    let of_words = in_words(said, methods, original.as_deref());
    let of_model = match answer {
        _ if !is_mentioned(said) => PaymentReading::NotSaid,
        Some(ORIGINAL) => PaymentReading::Original,
        Some(FOREIGN) => PaymentReading::Foreign,
        Some(answer) => methods
            .iter()
            .find(|method| method_name(method) == answer)
            .map_or(PaymentReading::NotSaid, |method| own(method, original.as_deref())),
        None => PaymentReading::NotSaid,
    };
    // The model alone does not make a method foreign that the customer never spoke of, nor another one
    // of what the customer plainly calls the original.
    let reading = match of_words {
        PaymentReading::NotSaid => PaymentReading::NotSaid,
        PaymentReading::Original if !mentions(said, &CONTRAST_WORDS) => PaymentReading::Original,
        of_words => of_words.max(of_model),
    };
    facts(reading, methods, original.as_deref())
}

fn own<'a>(method: &'a PaymentMethod, original: Option<&str>) -> PaymentReading<'a> {
    if original == Some(method.id.as_str()) {
        PaymentReading::Original
    } else {
        PaymentReading::Own(method.id.as_str())
    }
}

fn in_words<'a>(said: &[String], methods: &'a [PaymentMethod], original: Option<&str>) -> PaymentReading<'a> {
    if mentions(said, &FOREIGN_WORDS) {
        return PaymentReading::Foreign;
    }
    if mentions(said, &ORIGINAL_WORDS) {
        return PaymentReading::Original;
    }
    let by_digits =
        |method: &&PaymentMethod| method.last4.as_ref().is_some_and(|digits| contains(said, &words(digits)));
    if let Some(method) = methods.iter().find(by_digits) {
        return own(method, original);
    }
    let kinds = ["gift card", "paypal", "credit card"];
    let Some(kind) = kinds.iter().find(|kind| mentions(said, &[kind])) else {
        return PaymentReading::NotSaid;
    };
    let of_kind = |method: &&PaymentMethod| method_name(method).to_lowercase().starts_with(kind);
    let mut own_of_kind: Vec<&PaymentMethod> = methods.iter().filter(of_kind).collect();
    // The original first: "my gift card" is the one that paid, where one did.
    own_of_kind.sort_by_key(|method| original != Some(method.id.as_str()));
    own_of_kind.first().map_or(PaymentReading::Foreign, |method| own(method, original))
}

fn facts(reading: PaymentReading<'_>, methods: &[PaymentMethod], original: Option<&str>) -> Value {
    let (state, id) = match reading {
        PaymentReading::NotSaid => ("not_said", original),
        PaymentReading::Original => ("original", original),
        PaymentReading::Own(id) => ("own", Some(id)),
        PaymentReading::Foreign => ("foreign", None),
    };
    let method = methods.iter().find(|method| id == Some(method.id.as_str()));
    json!({
        "state": state,
        "id": id,
        "kind": method.map(|method| method.kind.as_str()),
        "text": method.map(method_text),
        "balance": method.and_then(|method| method.balance).map(Amount::units),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn customer() -> Customer {
        serde_json::from_value(json!({
            "id": "c", "email": "a@example.com", "first_name": "A", "last_name": "B",
            "address": {"line1": "a", "city": "b", "postal_code": "1", "country": "c"},
            "payment_methods": [
                {"id": "paypal_1", "type": "paypal"},
                {"id": "gift_1", "type": "gift_card", "balance": 12.5},
                {"id": "card_1", "type": "credit_card", "brand": "visa", "last4": "4242"},
            ],
        }))
        .unwrap()
    }

    fn order() -> Order {
        serde_json::from_value(json!({
            "id": "#A1", "customer_id": "c", "status": "delivered", "currency": "USD",
            "shipping_address": {"line1": "a", "city": "b", "postal_code": "1", "country": "c"},
            "items": [], "shipments": [],
            "payments": [{"kind": "payment", "amount": 1, "payment_method_id": "paypal_1"}],
        }))
        .unwrap()
    }

    #[rstest]
    #[case(None, "I return the lamp", "not_said", json!("paypal_1"))]
    #[case(Some(ORIGINAL), "Refund it the same way I paid", "original", json!("paypal_1"))]
    #[case(Some("gift card"), "The money should go to my gift card", "own", json!("gift_1"))]
    #[case(Some("PayPal account"), "Refund to PayPal, please", "original", json!("paypal_1"))]
    #[case(Some("credit card ending in 4242"), "Use the card ending in 4242", "own", json!("card_1"))]
    #[case::the_words_know_better(
        Some(ORIGINAL),
        "Refund it to my partner's debit card, not to PayPal",
        "foreign",
        Value::Null
    )]
    #[case::the_model_knows_better(
        Some(FOREIGN),
        "Refund my aunt's account, not the way I paid",
        "foreign",
        Value::Null
    )]
    #[case::nothing_speaks_against_the_words(
        Some(FOREIGN),
        "If there is a difference, use the card I paid with",
        "original",
        json!("paypal_1")
    )]
    #[case::a_contrast_does(
        Some(FOREIGN),
        "The card I paid with has expired, use my aunt's",
        "foreign",
        Value::Null
    )]
    #[case::the_model_alone(Some(FOREIGN), "I want a refund", "not_said", json!("paypal_1"))]
    fn the_reading_that_departs_further_counts(
        #[case] answer: Option<&str>,
        #[case] message: &str,
        #[case] state: &str,
        #[case] id: Value,
    ) {
        let read = read(answer, &words(message), &customer(), Some(&order()));
        assert_eq!((read["state"].clone(), read["id"].clone()), (json!(state), id));
    }
}
