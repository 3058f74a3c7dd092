//! What was ordered at the demo shop, and how far it has come.
//!
//! Everything agrees with the articles under `policies/`: an order is pending for up to 24 hours
//! and processed for up to 24 more, then travels for its carrier's days; returns and exchanges are
//! asked for within 30 days of delivery. Every order reaches free shipping, so that what was paid
//! is the sum of its items.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::catalog::{Carrier, Carriers, Catalog};
use super::dice::Dice;
use super::goods::Goods;
use super::people::address;
use super::{DELIVERED_ORDER, DemoError, PENDING_ORDER, SHIPPED_ORDER};
use crate::{
    Amount, Customer, ItemId, Order, OrderId, OrderItem, OrderStatus, Payment, PaymentKind, Shipment,
};

/// From here standard shipping costs nothing.
const FREE_STANDARD_SHIPPING: Amount = Amount::from_cents(5_000);
/// From here express shipping costs nothing.
const FREE_EXPRESS_SHIPPING: Amount = Amount::from_cents(15_000);

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pending,
    Processed,
    Shipped,
    Delivered,
    Cancelled,
    ReturnRequested,
    Returned,
    ExchangeRequested,
}

/// How many orders of each stage there are, besides the demo customer's.
const PLAN: [(Stage, usize); 8] = [
    (Stage::Pending, 29),
    (Stage::Processed, 18),
    (Stage::Shipped, 31),
    (Stage::Delivered, 67),
    (Stage::Cancelled, 22),
    (Stage::ReturnRequested, 12),
    (Stage::Returned, 10),
    (Stage::ExchangeRequested, 8),
];

const DEMO_CUSTOMERS_ORDERS: [(Stage, &str); 3] =
    [(Stage::Shipped, SHIPPED_ORDER), (Stage::Delivered, DELIVERED_ORDER), (Stage::Pending, PENDING_ORDER)];

impl Stage {
    fn status(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processed => "processed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::ReturnRequested => "return requested",
            Self::Returned => "returned",
            Self::ExchangeRequested => "exchange requested",
        }
    }

    /// What the carrier says of its parcels, once there are any.
    fn shipment_status(self) -> Option<&'static str> {
        match self {
            Self::Pending | Self::Cancelled => None,
            Self::Processed => Some("label created"),
            Self::Shipped => Some("in transit"),
            Self::Delivered | Self::ReturnRequested | Self::Returned | Self::ExchangeRequested => {
                Some("delivered")
            }
        }
    }

    fn is_refunded(self) -> bool {
        matches!(self, Self::Cancelled | Self::Returned)
    }

    /// How many days ago it may have been delivered. Deliveries of 28 to 32 days ago are left out,
    /// so that no order changes sides of the return window while someone tries the shop.
    fn days_since_delivery(self, dice: &mut Dice) -> RangeInclusive<i64> {
        match self {
            Self::Returned => 20..=100,
            Self::Delivered if dice.chance(40) => 33..=110,
            _ => 2..=27,
        }
    }
}

/// An order to make.
struct Commission<'a> {
    id: OrderId,
    customer: &'a Customer,
    stage: Stage,
    /// How many days ago it was delivered, if it was.
    days_since_delivery: RangeInclusive<i64>,
}

/// All orders, oldest first. The first customer is the demo customer.
pub(super) fn place(
    catalog: &Catalog,
    goods: &[Goods],
    customers: &[Customer],
    today: NaiveDate,
    dice: &mut Dice,
) -> Result<Vec<Order>, DemoError> {
    let noon = today.and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(12);
    let workshop = Workshop { catalog, goods, now: noon };
    let mut orders = Vec::new();
    for commission in commissions(customers, dice)? {
        orders.push(workshop.make(commission, dice)?);
    }
    orders.sort_by_key(|order| order.placed_at);
    Ok(orders)
}

fn commissions<'a>(customers: &'a [Customer], dice: &mut Dice) -> Result<Vec<Commission<'a>>, DemoError> {
    let Some((demo_customer, others)) = customers.split_first() else {
        return Ok(Vec::new());
    };
    let mut commissions = Vec::new();
    for (stage, id) in DEMO_CUSTOMERS_ORDERS {
        commissions.push(Commission {
            id: OrderId::parse(id)?,
            customer: demo_customer,
            stage,
            days_since_delivery: 3..=12,
        });
    }
    let mut stages: Vec<Stage> =
        PLAN.iter().flat_map(|&(stage, n_orders)| std::iter::repeat_n(stage, n_orders)).collect();
    let ids = shuffled_ids(stages.len(), dice)?;
    // Everyone orders once before anyone orders by chance.
    let mut waiting: Vec<&Customer> = others.iter().collect();
    dice.shuffle(&mut waiting);
    dice.shuffle(&mut stages);
    for (id, stage) in ids.into_iter().zip(stages) {
        commissions.push(Commission {
            id,
            customer: waiting.pop().unwrap_or_else(|| dice.pick(others)),
            stage,
            days_since_delivery: stage.days_since_delivery(dice),
        });
    }
    Ok(commissions)
}

/// Order numbers for all but the demo customer. Shuffled, because a number tells nothing of when
/// an order was placed.
fn shuffled_ids(n_orders: usize, dice: &mut Dice) -> Result<Vec<OrderId>, DemoError> {
    let mut ids: Vec<String> = (10_001..)
        .map(|number| format!("#T{number}"))
        .filter(|id| DEMO_CUSTOMERS_ORDERS.iter().all(|(_, taken)| id != taken))
        .take(n_orders)
        .collect();
    dice.shuffle(&mut ids);
    ids.iter().map(|id| Ok(OrderId::parse(id)?)).collect()
}

/// What all orders are made from.
struct Workshop<'a> {
    catalog: &'a Catalog,
    goods: &'a [Goods],
    now: DateTime<Utc>,
}

/// What goes with one carrier.
struct Parcel<'a> {
    carrier: &'a Carrier,
    item_ids: Vec<ItemId>,
}

impl Workshop<'_> {
    fn make(&self, commission: Commission<'_>, dice: &mut Dice) -> Result<Order, DemoError> {
        let Commission { id, customer, stage, days_since_delivery } = commission;
        let (items, parcels) = self.pack(dice);
        let slowest = parcels.iter().map(|parcel| parcel.carrier.days).max();
        let days = dice.number(days_since_delivery);
        let times = Times::of(stage, slowest.unwrap_or_default(), days, self.now, dice);
        let mut order = Order {
            id,
            customer_id: customer.id.clone(),
            status: OrderStatus::parse(stage.status())?,
            currency: self.catalog.currency.clone(),
            shipping_address: if dice.chance(90) {
                customer.address.clone()
            } else {
                address(&self.catalog.people, dice)
            },
            items,
            shipments: shipments(stage, parcels, dice),
            payments: Vec::new(),
            placed_at: Some(times.placed_at),
            delivered_at: times.delivered_at,
            cancelled_at: times.cancelled_at,
        };
        order.payments = payments(stage, &order, customer, dice);
        Ok(order)
    }

    /// Up to three products or what it takes to free shipping, by the carriers they go with.
    fn pack(&self, dice: &mut Dice) -> (Vec<OrderItem>, Vec<Parcel<'_>>) {
        let n_products = usize::try_from(dice.number(1..=3)).unwrap_or(1);
        let mut items: Vec<OrderItem> = Vec::new();
        let mut large = Vec::new();
        let mut small = Vec::new();
        while items.len() < n_products || total(&items) < FREE_STANDARD_SHIPPING {
            let goods = dice.pick(self.goods);
            if items.iter().any(|item| item.product_id == goods.product.id) {
                continue;
            }
            let item = order_item(goods, dice);
            let pile = if goods.freight { &mut large } else { &mut small };
            pile.push(item.item_id.clone());
            items.push(item);
        }
        let Carriers { standard, express, freight } = &self.catalog.carriers;
        let is_express = total(&items) >= FREE_EXPRESS_SHIPPING && dice.chance(25);
        let carrier = if is_express { express } else { standard };
        let parcels = [(carrier, small), (freight, large)]
            .into_iter()
            .filter(|(_, item_ids)| !item_ids.is_empty())
            .map(|(carrier, item_ids)| Parcel { carrier, item_ids })
            .collect();
        (items, parcels)
    }
}

fn total(items: &[OrderItem]) -> Amount {
    items.iter().map(OrderItem::total).sum()
}

fn order_item(goods: &Goods, dice: &mut Dice) -> OrderItem {
    let variant = dice.pick(&goods.product.variants);
    OrderItem {
        item_id: variant.item_id.clone(),
        product_id: goods.product.id.clone(),
        name: goods.product.name.clone(),
        options: variant.options.clone(),
        unit_price: variant.price,
        quantity: if dice.chance(12) { 2 } else { 1 },
    }
}

/// When things happened to an order.
struct Times {
    placed_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
}

impl Times {
    /// Times that fit the stage, for a carrier that takes so many days.
    fn of(
        stage: Stage,
        carrier_days: [i64; 2],
        days_since_delivery: i64,
        now: DateTime<Utc>,
        dice: &mut Dice,
    ) -> Self {
        let hours_in_warehouse = dice.number(26..=47);
        let [fewest_days, most_days] = carrier_days;
        let mut times = Self { placed_at: now, delivered_at: None, cancelled_at: None };
        let hours_since_placed = match stage {
            Stage::Pending => dice.number(1..=22),
            Stage::Processed => dice.number(25..=46),
            Stage::Shipped => hours_in_warehouse + dice.number(6..=most_days * 24 - 12),
            Stage::Cancelled => dice.number(48..=100 * 24),
            _ => {
                let hours_travelled = dice.number(fewest_days * 24..=most_days * 24);
                let hours_since_delivery = days_since_delivery * 24 + dice.number(0..=8);
                times.delivered_at = Some(now - TimeDelta::hours(hours_since_delivery));
                hours_since_delivery + hours_travelled + hours_in_warehouse
            }
        };
        let minutes = dice.number(0..=59);
        times.placed_at = now - TimeDelta::hours(hours_since_placed) - TimeDelta::minutes(minutes);
        if stage == Stage::Cancelled {
            times.cancelled_at = Some(times.placed_at + TimeDelta::hours(dice.number(1..=20)));
        }
        times
    }
}

fn shipments(stage: Stage, parcels: Vec<Parcel<'_>>, dice: &mut Dice) -> Vec<Shipment> {
    let Some(status) = stage.shipment_status() else {
        return Vec::new();
    };
    parcels
        .into_iter()
        .map(|Parcel { carrier, item_ids }| Shipment {
            tracking_numbers: vec![format!("{}{}", carrier.prefix, dice.digits(10))],
            item_ids,
            carrier: Some(carrier.name.clone()),
            status: Some(status.to_owned()),
        })
        .collect()
}

/// The whole order with one of the customer's methods, and all of it back where it was refunded.
fn payments(stage: Stage, order: &Order, customer: &Customer, dice: &mut Dice) -> Vec<Payment> {
    let method = dice.pick(&customer.payment_methods);
    let mut kinds = vec![PaymentKind::Payment];
    if stage.is_refunded() {
        kinds.push(PaymentKind::Refund);
    }
    kinds
        .into_iter()
        .map(|kind| Payment {
            kind,
            amount: order.items_total().amount,
            payment_method_id: method.id.clone(),
        })
        .collect()
}
