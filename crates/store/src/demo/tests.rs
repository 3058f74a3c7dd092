//! The demo shop: the same every time, and in agreement with its own policies.
use std::collections::HashSet;

use rstest::rstest;

use super::*;
use crate::{OrderId, OrderStore, Sender, Tally};

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()
}

fn order<'a>(shop: &'a DemoStore, id: &str) -> &'a Order {
    let id = OrderId::parse(id).unwrap();
    let order = shop.orders.iter().find(|order| order.id == id);
    order.expect("the order is in the shop")
}

/// Each with so many seeds that a rule which only mostly holds fails.
#[rstest]
fn the_shop_agrees_with_its_policies(#[values(0, 1, 2, 3, 4, 5, 6, 7)] seed: u64) {
    let shop = generate(seed, today()).unwrap();
    let noon = today().and_hms_opt(12, 0, 0).unwrap().and_utc();
    for order in &shop.orders {
        let age = noon - order.placed_at.unwrap();
        assert!(age.num_seconds() > 0);
        let has_parcels = !order.shipments.is_empty();
        match order.status.as_str() {
            "pending" => assert!(age.num_hours() < 24 && !has_parcels),
            "processed" => assert!((24..48).contains(&age.num_hours()) && has_parcels),
            "shipped" => assert!((1..=10).contains(&age.num_days()) && has_parcels),
            "cancelled" => assert!(order.cancelled_at.is_some() && !has_parcels),
            "return requested" | "exchange requested" => {
                assert!((noon - order.delivered_at.unwrap()).num_days() <= 30);
            }
            "delivered" | "returned" => assert!(order.delivered_at.unwrap() < noon),
            other => panic!("no policy speaks of the status {other}"),
        }
        assert_eq!(order.paid(), order.items_total());
        assert!(order.paid().amount.cents() >= 5_000);
        let is_refunded = matches!(order.status.as_str(), "cancelled" | "returned");
        assert_eq!(order.refunded().amount == order.paid().amount, is_refunded);
        assert_eq!(order.refunded().amount.cents() == 0, !is_refunded);
    }
}

#[test]
fn every_carrier_and_status_of_the_shop_is_in_its_policies() {
    let shop = generate(7, today()).unwrap();
    let policies: String = shop.articles.iter().map(|article| article.text.to_lowercase()).collect();
    let shipments = shop.orders.iter().flat_map(|order| &order.shipments);
    let carriers: HashSet<&str> = shipments.filter_map(|shipment| shipment.carrier.as_deref()).collect();
    assert_eq!(carriers.len(), 3);
    for carrier in carriers {
        assert!(policies.contains(&carrier.to_lowercase()), "{carrier}");
    }
    let statuses: HashSet<&str> = shop.orders.iter().map(|order| order.status.as_str()).collect();
    assert_eq!(statuses.len(), 8);
    for status in statuses {
        assert!(policies.contains(&format!("“{status}”")), "{status}");
    }
}

#[test]
fn the_same_seed_and_day_make_the_same_shop() {
    let shop = generate(7, today()).unwrap();
    assert_eq!(generate(7, today()).unwrap(), shop);
    assert_ne!(generate(8, today()).unwrap().orders, shop.orders);
}

#[test]
fn another_day_only_moves_the_dates() {
    let shop = generate(7, today()).unwrap();
    let later = generate(7, today() + chrono::Days::new(400)).unwrap();
    assert_eq!(later.customers, shop.customers);
    for (order, later) in shop.orders.iter().zip(&later.orders) {
        assert_eq!(later.id, order.id);
        let moved = later.placed_at.unwrap() - order.placed_at.unwrap();
        assert_eq!(moved.num_days(), 400);
    }
}

#[rstest]
fn the_demo_customer_has_the_documented_orders(#[values(0, 7, 2026)] seed: u64) {
    let shop = generate(seed, today()).unwrap();
    let maya = &shop.customers[0];
    assert_eq!(maya.email.as_str(), CUSTOMER_EMAIL);
    for (id, status) in
        [(SHIPPED_ORDER, "shipped"), (DELIVERED_ORDER, "delivered"), (PENDING_ORDER, "pending")]
    {
        let order = order(&shop, id);
        assert_eq!(order.customer_id, maya.id);
        assert_eq!(order.status.as_str(), status);
        for payment in &order.payments {
            assert!(maya.payment_method(&payment.payment_method_id).is_some());
        }
    }
    let orders = shop.orders.iter().filter(|order| order.customer_id == maya.id);
    assert_eq!(orders.count(), 3);
    let shipment = &order(&shop, SHIPPED_ORDER).shipments[0];
    assert!(shipment.carrier.is_some());
    assert!(!shipment.tracking_numbers.is_empty());
}

#[tokio::test]
async fn the_shop_comes_in_by_the_import() {
    let store = SqliteStore::in_memory().await.unwrap();
    let shop = generate(7, today()).unwrap();
    let summary = shop.import_into(&store).await.unwrap();
    assert_eq!(summary.customers.added, 60);
    assert_eq!(summary.orders.added, 200);
    assert_eq!(summary.products.added, shop.products.len());
    assert_eq!(store.articles().await.unwrap(), shop.articles);

    let sender = Sender { email: Some(CUSTOMER_EMAIL.to_owned()), verified: true };
    let maya = store.identify(&sender).await.unwrap().unwrap();
    let id = OrderId::parse(SHIPPED_ORDER).unwrap();
    let stored = store.order(&maya, &id).await.unwrap().unwrap();
    assert_eq!(stored, *order(&shop, SHIPPED_ORDER));

    let again = shop.import_into(&store).await.unwrap();
    let expected = Tally { unchanged: 200, ..Tally::default() };
    assert_eq!(again.orders, expected);
}

#[test]
fn a_shop_that_cannot_be_written_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let error = generate(7, today()).unwrap().write_to(&file).unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}
