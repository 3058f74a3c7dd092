//! What each action does to the built-in store, and when it does nothing.

use rstest::rstest;
use tier0_store::{Amount, PaymentKind};

use super::*;

/// Kind, amount and method of a payment.
type Moved = (PaymentKind, Amount, String);

/// All payments but the first, which every order begins with.
async fn later_payments(shop: &Shop, order: &str) -> Vec<Moved> {
    let payments = shop.order(order).await.payments.into_iter().skip(1);
    payments.map(|p| (p.kind, p.amount, p.payment_method_id.to_string())).collect()
}

async fn balance(shop: &Shop, method: &str) -> Amount {
    let customer = shop.customer().await;
    let method = customer.payment_methods.iter().find(|own| own.id.as_str() == method);
    method.unwrap().balance.unwrap()
}

fn dollars(dollars: i64) -> Amount {
    Amount::from_cents(dollars * 100)
}

fn refund(amount: i64, method: &str) -> Moved {
    (PaymentKind::Refund, dollars(amount), method.to_owned())
}

fn payment(amount: i64, method: &str) -> Moved {
    (PaymentKind::Payment, dollars(amount), method.to_owned())
}

fn replace(order: &str, old: &[&str], new: &[&str], method: &str) -> Value {
    json!({"order_id": order, "item_ids": old, "new_item_ids": new, "payment_method_id": method})
}

#[rstest]
#[case("#P1", "card_1", 100)]
#[case::a_gift_card_has_it_at_once("#P2", "gift_1", 250)]
#[case::a_method_that_was_removed("#P3", "removed_card", 100)]
#[tokio::test]
async fn a_cancelled_order_is_refunded_to_where_the_money_came_from(
    #[case] order: &str,
    #[case] method: &str,
    #[case] on_gift_card: i64,
) {
    let shop = Shop::open().await;
    let done = shop.act("cancel_order", json!({"order_id": order, "reason": "by mistake"})).await.unwrap();
    assert_eq!(
        done.result,
        json!({"order_id": order, "status": "cancelled",
               "refunds": [{"kind": "refund", "amount": 150.0, "payment_method_id": method}]})
    );
    assert_eq!(shop.order(order).await.status.as_str(), "cancelled");
    assert!(shop.order(order).await.cancelled_at.is_some());
    assert_eq!(later_payments(&shop, order).await, [refund(150, method)]);
    assert_eq!(balance(&shop, "gift_1").await, dollars(on_gift_card));
}

#[tokio::test]
async fn a_cancelled_order_gives_back_what_is_left_after_earlier_refunds() {
    let shop = Shop::open().await;
    shop.act("modify_payment", json!({"order_id": "#P1", "payment_method_id": "card_2"})).await.unwrap();
    shop.act("cancel_order", json!({"order_id": "#P1"})).await.unwrap();
    let expected = [refund(150, "card_1"), payment(150, "card_2"), refund(150, "card_2")];
    assert_eq!(later_payments(&shop, "#P1").await, expected);
}

#[tokio::test]
async fn a_refund_to_another_method_counts_as_one() {
    let shop = Shop::open().await;
    let mut orders = orders();
    let back = json!({"kind": "refund", "amount": 40, "payment_method_id": "gift_1"});
    orders[0]["payments"].as_array_mut().unwrap().push(back);
    shop.import("orders.jsonl", &orders).await;
    shop.act("cancel_order", json!({"order_id": "#P1"})).await.unwrap();
    assert_eq!(later_payments(&shop, "#P1").await, [refund(40, "gift_1"), refund(110, "card_1")]);
}

#[rstest]
#[case::whole(json!({"line1": "9 Kiln Court", "line2": "Floor 1", "city": "Glen", "region": "OR",
                     "postal_code": "97301", "country": "Canada"}),
              "9 Kiln Court, Floor 1, Glen, OR 97301, Canada")]
#[case::as_written(json!({"line1": "9 Kiln Court", "line2": null, "city": "Glen", "region": null,
                          "postal_code": "97301", "country": null}),
                   "9 Kiln Court, Glen, 97301, USA")]
#[tokio::test]
async fn addresses_change(#[case] address: Value, #[case] expected: &str) {
    let shop = Shop::open().await;
    let (before, _) = shop.state().await;
    let of_order = json!({"order_id": "p1", "address": address, "zip": "97301"});
    shop.act("modify_address", of_order).await.unwrap();
    assert_eq!(shop.order("#P1").await.shipping_address.to_string(), expected);
    assert_eq!(shop.order("#P1").await.id.as_str(), "#P1");
    assert_eq!(shop.order("#P2").await.shipping_address.line1, "1 Low Road");
    assert_eq!(shop.customer().await, before);

    let done = shop.act("modify_customer_address", json!({"address": address})).await.unwrap();
    assert_eq!(shop.customer().await.address.to_string(), expected);
    assert_eq!(done.result["address"]["postal_code"], "97301");
    assert_eq!(shop.customer().await.payment_methods, before.payment_methods);
    assert_eq!(shop.order("#P2").await.shipping_address.line1, "1 Low Road");
}

#[tokio::test]
async fn another_method_pays_and_the_first_is_refunded() {
    let shop = Shop::open().await;
    let arguments = json!({"order_id": "#P2", "payment_method_id": "card_2"});
    let done = shop.act("modify_payment", arguments).await.unwrap();
    assert_eq!(later_payments(&shop, "#P2").await, [refund(150, "gift_1"), payment(150, "card_2")]);
    assert_eq!(balance(&shop, "gift_1").await, dollars(250));
    assert_eq!(shop.order("#P2").await.status.as_str(), "pending");
    assert_eq!(done.result["payment"]["payment_method_id"], "card_2");

    // The card has enough now, and pays with its balance.
    shop.act("modify_payment", json!({"order_id": "#P1", "payment_method_id": "gift_1"})).await.unwrap();
    assert_eq!(later_payments(&shop, "#P1").await, [refund(150, "card_1"), payment(150, "gift_1")]);
    assert_eq!(balance(&shop, "gift_1").await, dollars(100));
}

#[rstest]
#[case::dearer_for_two(&["lamp-black"], &["lamp-white"], 25.0, &[payment(25, "gift_1")], 75)]
#[case::cheaper_for_two(&["lamp-black"], &["lamp-red"], -10.0, &[refund(10, "gift_1")], 110)]
#[case::as_dear(&["chair-oak"], &["chair-ash"], 0.0, &[], 100)]
#[case::several(&["chair-oak", "lamp-black"], &["chair-ash", "lamp-white"], 25.0,
                &[payment(25, "gift_1")], 75)]
#[tokio::test]
async fn items_are_replaced_and_the_difference_is_settled(
    #[case] old: &[&str],
    #[case] new: &[&str],
    #[case] difference: f64,
    #[case] payments: &[Moved],
    #[case] on_gift_card: i64,
) {
    let shop = Shop::open().await;
    let before = shop.order("#P1").await;
    let done = shop.act("modify_items", replace("#P1", old, new, "gift_1")).await.unwrap();
    assert_eq!(done.result["price_difference"], difference);
    let after = shop.order("#P1").await;
    assert_eq!(after.status.as_str(), "pending (items modified)");
    assert_eq!(later_payments(&shop, "#P1").await, payments);
    assert_eq!(balance(&shop, "gift_1").await, dollars(on_gift_card));
    for (was, is) in before.items.iter().zip(&after.items) {
        let replaced = old.iter().position(|id| was.item_id.as_str() == *id);
        let expected = replaced.map_or(was.item_id.as_str(), |at| new[at]);
        assert_eq!(is.item_id.as_str(), expected);
        assert_eq!((is.quantity, &is.product_id), (was.quantity, &was.product_id));
    }
    assert_eq!(after.items_total().amount, Amount::from_number(150.0 + difference).unwrap());
}

#[tokio::test]
async fn a_return_is_requested_and_no_money_moves_yet() {
    let shop = Shop::open().await;
    let (customer, _) = shop.state().await;
    let arguments =
        json!({"order_id": "#D1", "item_ids": ["lamp-black", "rug-1"], "payment_method_id": "gift_2"});
    let done = shop.act("return_items", arguments).await.unwrap();
    assert_eq!(
        done.result,
        json!({"order_id": "#D1", "status": "return requested", "item_ids": ["lamp-black", "rug-1"],
               "payment_method_id": "gift_2", "refund_due": 70.0})
    );
    assert_eq!(shop.order("#D1").await.status.as_str(), "return requested");
    assert_eq!(later_payments(&shop, "#D1").await, []);
    assert_eq!(shop.customer().await, customer);
}

#[tokio::test]
async fn an_exchange_is_requested_and_nothing_is_replaced_yet() {
    let shop = Shop::open().await;
    let (before, customer) = (shop.order("#D1").await, shop.customer().await);
    let arguments = replace("#D1", &["lamp-black"], &["lamp-white"], "card_2");
    let done = shop.act("exchange_items", arguments).await.unwrap();
    assert_eq!(
        done.result,
        json!({"order_id": "#D1", "status": "exchange requested", "item_ids": ["lamp-black"],
               "new_item_ids": ["lamp-white"], "payment_method_id": "card_2", "price_difference": 25.0})
    );
    let after = shop.order("#D1").await;
    assert_eq!(after.status.as_str(), "exchange requested");
    assert_eq!((after.items, after.payments), (before.items, before.payments));
    assert_eq!(shop.customer().await, customer);
}

#[rstest]
#[case::unknown_order("cancel_order", json!({"order_id": "#X9"}), "no order #X9")]
#[case::anothers_order("cancel_order", json!({"order_id": "#B1"}), "no order #B1")]
#[case::cancel_too_late("cancel_order", json!({"order_id": "#S1"}), "\"processed\"")]
#[case::cancel_delivered("cancel_order", json!({"order_id": "#D1"}), "\"delivered\"")]
#[case::address_too_late("modify_address", json!({"order_id": "#S1", "address": address("9 Kiln Court")}),
                         "\"processed\"")]
#[case::payment_too_late("modify_payment", json!({"order_id": "#S1", "payment_method_id": "card_2"}),
                         "\"processed\"")]
#[case::same_payment("modify_payment", json!({"order_id": "#P1", "payment_method_id": "card_1"}),
                     "already paid with card_1")]
#[case::anothers_payment("modify_payment", json!({"order_id": "#P1", "payment_method_id": "card_9"}),
                         "card_9 is not in the account")]
#[case::too_little_left("modify_payment", json!({"order_id": "#P1", "payment_method_id": "gift_1"}),
                        "$100.00 is left on gift_1, which is less than the $150.00")]
#[case::items_too_late("modify_items", replace("#D1", &["lamp-black"], &["lamp-red"], "card_1"),
                       "\"delivered\"")]
#[case::not_ordered("modify_items", replace("#P1", &["lamp-red"], &["lamp-black"], "card_1"),
                    "no item lamp-red")]
#[case::ordered_once("modify_items", replace("#P1", &["lamp-black", "lamp-black"], &["lamp-red", "lamp-red"], "card_1"),
                     "no item lamp-black left")]
#[case::other_product("modify_items", replace("#P1", &["lamp-black"], &["chair-ash"], "card_1"),
                      "chair-ash is not a variant of Lamp")]
#[case::unknown_item("modify_items", replace("#P1", &["lamp-black"], &["lamp-blue"], "card_1"),
                     "lamp-blue is not a variant of Lamp")]
#[case::not_available("modify_items", replace("#P1", &["lamp-black"], &["lamp-gold"], "card_1"),
                      "lamp-gold (Lamp, color: lamp-gold) is not available")]
#[case::by_itself("modify_items", replace("#P1", &["lamp-black"], &["lamp-black"], "card_1"), "by itself")]
#[case::not_sold("modify_items", replace("#P1", &["rug-1"], &["rug-2"], "card_1"), "not sold any more")]
#[case::difference_not_covered("modify_items", replace("#P1", &["lamp-black"], &["lamp-white"], "gift_2"),
                               "$5.00 is left on gift_2, which is less than the $25.00")]
#[case::anothers_method("modify_items", replace("#P1", &["chair-oak"], &["chair-ash"], "card_9"),
                        "card_9 is not in the account")]
#[case::return_too_early("return_items",
                         json!({"order_id": "#P1", "item_ids": ["rug-1"], "payment_method_id": "card_1"}),
                         "\"pending\"")]
#[case::return_not_ordered("return_items",
                           json!({"order_id": "#D1", "item_ids": ["rug-1", "rug-1"], "payment_method_id": "card_1"}),
                           "no item rug-1 left")]
#[case::return_to_another("return_items",
                          json!({"order_id": "#D1", "item_ids": ["rug-1"], "payment_method_id": "card_9"}),
                          "card_9 is not in the account")]
#[case::exchange_too_early("exchange_items", replace("#P1", &["lamp-black"], &["lamp-red"], "card_1"),
                           "\"pending\"")]
#[case::exchange_not_available("exchange_items", replace("#D1", &["lamp-black"], &["lamp-gold"], "card_1"),
                               "not available")]
#[case::exchange_not_covered("exchange_items", replace("#D1", &["lamp-black"], &["lamp-white"], "gift_2"),
                             "less than the $25.00")]
#[tokio::test]
async fn what_is_no_longer_possible_changes_nothing(
    #[case] name: &str,
    #[case] arguments: Value,
    #[case] reason: &str,
) {
    let shop = Shop::open().await;
    let before = shop.state().await;
    let failure = shop.act(name, arguments).await.unwrap_err();
    assert!(matches!(failure, NotDone::Impossible { .. }), "{failure}");
    assert!(failure.to_string().contains(reason), "{failure}");
    assert_eq!(shop.state().await, before);
}

#[rstest]
#[case::items(replace("#P1", &["lamp-black"], &["lamp-red"], "card_1"), "modify_items")]
#[case::status(json!({"order_id": "#P1"}), "cancel_order")]
#[tokio::test]
async fn an_order_that_has_changed_since_the_proposal_is_left_alone(
    #[case] arguments: Value,
    #[case] name: &str,
) {
    let shop = Shop::open().await;
    let service = shop.service();
    let token = service.propose(&to_ada(name, arguments)).unwrap();
    let mut orders = orders();
    orders[0]["status"] = "shipped".into();
    shop.import("orders.jsonl", &orders).await;
    let before = shop.state().await;
    let failure = confirm(&service, &token).await.unwrap_err();
    assert!(failure.to_string().contains("\"shipped\""), "{failure}");
    assert_eq!(shop.state().await, before);
}

#[tokio::test]
async fn items_can_be_changed_only_once() {
    let shop = Shop::open().await;
    shop.act("modify_items", replace("#P1", &["lamp-black"], &["lamp-red"], "card_1")).await.unwrap();
    let changed = shop.state().await;
    for (name, arguments) in [
        ("modify_items", replace("#P1", &["chair-oak"], &["chair-ash"], "card_1")),
        ("cancel_order", json!({"order_id": "#P1"})),
    ] {
        let failure = shop.act(name, arguments).await.unwrap_err();
        assert!(failure.to_string().contains("pending (items modified)"), "{failure}");
    }
    assert_eq!(shop.state().await, changed);
}

#[rstest]
#[case("cancel_order", json!({}), "order_id")]
#[case("cancel_order", json!({"order_id": 7}), "order_id")]
#[case("modify_address", json!({"order_id": "#P1", "address": "9 Kiln Court"}), "address")]
#[case("modify_address", json!({"order_id": "#P1", "address": {"line1": "", "city": "b", "postal_code": "1"}}),
       "address.line1 is blank")]
#[case("modify_customer_address", json!({"address": {"line1": "a", "city": "b", "postal_code": null}}),
       "address.postal_code")]
#[case("modify_items", replace("#P1", &["lamp-black"], &[], "card_1"), "new_item_ids names 0")]
#[case("return_items", json!({"order_id": "#D1", "item_ids": [], "payment_method_id": "card_1"}), "no item")]
#[case("return_items", json!({"order_id": "#D1", "item_ids": ["rug-1"], "payment_method_id": null}),
       "payment_method_id")]
#[tokio::test]
async fn arguments_that_cannot_be_used_are_named(
    #[case] name: &str,
    #[case] arguments: Value,
    #[case] reason: &str,
) {
    let shop = Shop::open().await;
    let before = shop.state().await;
    let failure = shop.act(name, arguments).await.unwrap_err();
    assert!(matches!(failure, NotDone::Arguments { .. }), "{failure}");
    assert!(failure.to_string().contains(reason), "{failure}");
    assert_eq!(shop.state().await, before);
}

#[tokio::test]
async fn an_unknown_action_says_where_to_send_it() {
    let failure = Shop::open().await.act("water_plants", json!({})).await.unwrap_err();
    assert!(matches!(failure, NotDone::UnknownAction), "{failure}");
    assert!(failure.to_string().contains("actions.webhook_url"), "{failure}");
}
