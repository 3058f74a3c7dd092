//! Who buys at the demo shop.

use std::collections::{HashMap, HashSet};

use super::catalog::People;
use super::dice::Dice;
use super::{CUSTOMER_EMAIL, DemoError};
use crate::{
    Address, Amount, Customer, CustomerId, EmailAddress, Loyalty, Order, PaymentMethod, PaymentMethodId,
    PaymentMethodKind,
};

const N_CUSTOMERS: i64 = 60;

/// In the loyalty programme, of 100 customers.
const PERCENT_MEMBERS: u32 = 70;

/// What a year's delivered orders come to in the tiers above Trail, highest first. `policies/loyalty.md` says so.
const TIERS: [(Amount, &str); 2] =
    [(Amount::from_cents(120_000), "Summit"), (Amount::from_cents(50_000), "Ridge")];

/// The demo customer first, then others with names of their own.
pub(super) fn customers(people: &People, dice: &mut Dice) -> Result<Vec<Customer>, DemoError> {
    let mut customers = vec![demo_customer(people, dice)?];
    let mut taken = HashSet::new();
    let mut number = 1002;
    while number <= 1000 + N_CUSTOMERS {
        let first = dice.pick(&people.first_names);
        let last = dice.pick(&people.last_names);
        if !taken.insert((first, last)) {
            continue;
        }
        let email = format!("{first}.{last}@example.com").to_lowercase();
        customers.push(Customer {
            id: CustomerId::new(format!("C{number}"))?,
            email: EmailAddress::parse(&email)?,
            first_name: first.clone(),
            last_name: last.clone(),
            address: address(people, dice),
            payment_methods: payment_methods(number, dice)?,
            phone: dice.chance(60).then(|| phone(dice)),
            loyalty: None,
            tags: Vec::new(),
        });
        number += 1;
    }
    Ok(customers)
}

fn demo_customer(people: &People, dice: &mut Dice) -> Result<Customer, DemoError> {
    let number = 1001;
    Ok(Customer {
        id: CustomerId::new(format!("C{number}"))?,
        email: EmailAddress::parse(CUSTOMER_EMAIL)?,
        first_name: "Maya".to_owned(),
        last_name: "Lindqvist".to_owned(),
        address: address(people, dice),
        payment_methods: vec![card(number, dice)?, gift_card(number, dice)?],
        phone: Some(phone(dice)),
        loyalty: None,
        tags: Vec::new(),
    })
}

pub(super) fn address(people: &People, dice: &mut Dice) -> Address {
    let place = dice.pick(&people.places);
    Address {
        line1: format!("{} {}", dice.number(1..=480), dice.pick(&people.streets)),
        line2: dice.chance(35).then(|| dice.pick(&people.units).clone()),
        city: place.city.clone(),
        region: Some(place.region.clone()),
        postal_code: format!("{}{}", place.postal_prefix, dice.digits(2)),
        country: "USA".to_owned(),
    }
}

/// From the numbers that are kept free for fiction.
fn phone(dice: &mut Dice) -> String {
    format!("+1 303 555 01{}", dice.digits(2))
}

fn payment_methods(number: i64, dice: &mut Dice) -> Result<Vec<PaymentMethod>, DemoError> {
    let mut methods = Vec::new();
    if dice.chance(75) {
        methods.push(card(number, dice)?);
    }
    if methods.is_empty() || dice.chance(35) {
        methods.push(method(PaymentMethodKind::Paypal, number)?);
    }
    if dice.chance(30) {
        methods.push(gift_card(number, dice)?);
    }
    Ok(methods)
}

fn card(number: i64, dice: &mut Dice) -> Result<PaymentMethod, DemoError> {
    let brand = *dice.pick(&["visa", "mastercard", "amex"]);
    Ok(PaymentMethod {
        brand: Some(brand.to_owned()),
        last4: Some(dice.digits(4)),
        ..method(PaymentMethodKind::CreditCard, number)?
    })
}

fn gift_card(number: i64, dice: &mut Dice) -> Result<PaymentMethod, DemoError> {
    Ok(PaymentMethod {
        balance: Some(Amount::from_cents(dice.number(20..=300) * 50)),
        ..method(PaymentMethodKind::GiftCard, number)?
    })
}

fn method(kind: PaymentMethodKind, number: i64) -> Result<PaymentMethod, DemoError> {
    Ok(PaymentMethod {
        id: PaymentMethodId::new(format!("{}_{number}", kind.as_str()))?,
        kind,
        brand: None,
        last4: None,
        balance: None,
    })
}

/// Makes most customers members, with the tier and the points that their orders earned.
pub(super) fn enrol_members(customers: &mut [Customer], orders: &[Order], dice: &mut Dice) {
    let mut earned_by: HashMap<&CustomerId, Earned> = HashMap::new();
    for order in orders.iter().filter(|order| order.delivered_at.is_some()) {
        let kept = order.paid().amount - order.refunded().amount;
        earned_by.entry(&order.customer_id).or_default().add(kept);
    }
    for customer in customers {
        let is_member = dice.chance(PERCENT_MEMBERS) || customer.email.as_str() == CUSTOMER_EMAIL;
        let earned = earned_by.get(&customer.id).copied().unwrap_or_default();
        customer.loyalty = is_member.then(|| earned.standing());
    }
}

/// What a customer's delivered orders are worth in the loyalty programme.
#[derive(Debug, Clone, Copy, Default)]
struct Earned {
    spent: Amount,
    points: i64,
}

impl Earned {
    /// One point for every whole dollar of an order.
    fn add(&mut self, kept: Amount) {
        self.spent = self.spent + kept;
        self.points += kept.cents() / 100;
    }

    fn standing(self) -> Loyalty {
        let tier = TIERS.iter().find(|(from, _)| self.spent >= *from).map_or("Trail", |(_, tier)| tier);
        Loyalty { tier: tier.to_owned(), points: self.points }
    }
}
