//! The store as the pipeline sees it: what goes in comes out, and only to whom it belongs.
use std::path::Path;

use rstest::rstest;
use tempfile::TempDir;

use super::*;

/// Two customers. Ada has a dated, an undated and an older order; Bo has one.
const CUSTOMERS: &str = r#"
{"id":"c-ada","email":"Ada@Example.com","first_name":"Ada","last_name":"Moss","address":{"line1":"1 Low Road","line2":"Apt 2","city":"Hill","region":"CO","postal_code":"80001","country":"USA"},"payment_methods":[{"id":"card_1","type":"credit_card","brand":"visa","last4":"0042"},{"id":"gift_1","type":"gift_card","balance":12.5},{"id":"iou_1","type":"iou"}],"phone":"+1 303 555 0100","loyalty":{"tier":"gold","points":120},"tags":["vip"]}
{"id":"c-bo","email":"bo@example.com","first_name":"Bo","last_name":"Ley","address":{"line1":"2 High Road","city":"Dale","postal_code":"1234","country":"Norway"},"payment_methods":[],"favourite_colour":"unknown to the format"}
"#;
const ORDERS: &str = r##"
{"id":"#A1","customer_id":"c-ada","status":"Delivered","currency":"USD","shipping_address":{"line1":"1 Low Road","city":"Hill","postal_code":"80001","country":"USA"},"items":[{"item_id":"i-1","product_id":"p-1","name":"Camp Stove","options":{"finish":"steel"},"unit_price":54.5,"quantity":2},{"item_id":"i-2","product_id":"p-1","name":"Camp Stove","options":{},"unit_price":10.01,"quantity":1}],"shipments":[{"tracking_numbers":["T1","T2"],"item_ids":["i-1"],"carrier":"Harrier","status":"delivered"}],"payments":[{"kind":"payment","amount":119.01,"payment_method_id":"card_1"},{"kind":"refund","amount":10.01,"payment_method_id":"removed_card"}],"placed_at":"2026-10-01T09:30:00Z","delivered_at":"2026-10-05T10:00:00+02:00"}
{"id":"#A2","customer_id":"c-ada","status":"pending","currency":"EUR","shipping_address":{"line1":"1 Low Road","city":"Hill","postal_code":"80001","country":"USA"},"items":[],"shipments":[],"payments":[]}
{"id":"#A3","customer_id":"c-ada","status":"cancelled","currency":"EUR","shipping_address":{"line1":"1 Low Road","city":"Hill","postal_code":"80001","country":"USA"},"items":[],"shipments":[],"payments":[],"placed_at":"2026-11-01","cancelled_at":"2026-11-02"}
{"id":"#B1","customer_id":"c-bo","status":"pending","currency":"EUR","shipping_address":{"line1":"2 High Road","city":"Dale","postal_code":"1234","country":"Norway"},"items":[],"shipments":[],"payments":[]}
"##;
const PRODUCTS: &str = r#"
{"id":"p-1","name":"Camp Stove","description":"Burns.","variants":[{"item_id":"i-1","options":{"finish":"steel"},"price":54.5,"available":true},{"item_id":"i-2","options":{"finish":"titanium"},"price":78.5,"available":false}]}
{"id":"p-2","name":"Camp Chair","variants":[]}
"#;

/// A folder with this export and the article `returns`.
fn export() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("customers.jsonl"), CUSTOMERS).unwrap();
    std::fs::write(dir.path().join("orders.jsonl"), ORDERS).unwrap();
    std::fs::write(dir.path().join("products.jsonl"), PRODUCTS).unwrap();
    std::fs::write(dir.path().join("Returns.md"), "# Sending back\n\nFree.\n").unwrap();
    dir
}

async fn filled_store() -> SqliteStore {
    let store = SqliteStore::in_memory().await.unwrap();
    import_native(&store, export().path()).await.unwrap();
    store
}

fn verified(email: &str) -> Sender {
    Sender { email: Some(email.to_owned()), verified: true }
}

async fn identified(store: &SqliteStore, email: &str) -> VerifiedCustomer {
    let customer = store.identify(&verified(email)).await.unwrap();
    customer.expect("the address belongs to a customer")
}

fn id(spelling: &str) -> OrderId {
    OrderId::parse(spelling).unwrap()
}

#[tokio::test]
async fn what_was_imported_comes_out_again() {
    let store = filled_store().await;
    let ada = identified(&store, "ada@example.com").await;

    let lines: Vec<&str> = CUSTOMERS.trim().lines().collect();
    let expected: Customer = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(store.customer(&ada).await.unwrap(), expected);

    let lines: Vec<&str> = ORDERS.trim().lines().collect();
    let expected: Order = serde_json::from_str(lines[0]).unwrap();
    let order = store.order(&ada, &id("#A1")).await.unwrap().unwrap();
    assert_eq!(order, expected);
    assert_eq!(order.id.to_string(), "#A1");
    assert_eq!(order.status.as_str(), "delivered");
    assert_eq!(order.items_total().to_string(), "$119.01");
    assert_eq!(order.paid().to_string(), "$119.01");
    assert_eq!(order.refunded().to_string(), "$10.01");

    let lines: Vec<&str> = PRODUCTS.trim().lines().collect();
    let expected: Product = serde_json::from_str(lines[0]).unwrap();
    let product = store.product(&expected.id).await.unwrap().unwrap();
    assert_eq!(product, expected);

    let articles = store.articles().await.unwrap();
    assert_eq!(articles.len(), 1);
    assert_eq!(articles[0].id.as_str(), "returns");
    assert_eq!(articles[0].title, "Sending back");
    assert_eq!(articles[0].text, "# Sending back\n\nFree.\n");
}

#[rstest]
#[case::unverified(Some("ada@example.com"), false, false)]
#[case::no_address(None, true, false)]
#[case::unknown(Some("eve@example.com"), true, false)]
#[case::no_address_at_all(Some("ada"), true, false)]
#[case::pattern(Some("%@example.com"), true, false)]
#[case::verified(Some("ada@example.com"), true, true)]
#[case::other_case(Some(" ADA@example.COM "), true, true)]
#[tokio::test]
async fn only_a_verified_sender_with_a_customers_address_is_identified(
    #[case] email: Option<&str>,
    #[case] verified: bool,
    #[case] is_customer: bool,
) {
    let store = filled_store().await;
    let sender = Sender { email: email.map(str::to_owned), verified };
    let customer = store.identify(&sender).await.unwrap();
    assert_eq!(customer.is_some(), is_customer);
}

#[tokio::test]
async fn another_customers_order_and_an_unknown_one_look_the_same() {
    let store = filled_store().await;
    let ada = identified(&store, "ada@example.com").await;
    let bo = identified(&store, "bo@example.com").await;
    for spelling in ["#B1", "b1", "#A999"] {
        assert_eq!(store.order(&ada, &id(spelling)).await.unwrap(), None);
    }
    assert_eq!(store.order(&bo, &id("#A1")).await.unwrap(), None);
    let orders = store.orders(&bo).await.unwrap();
    assert!(orders.iter().all(|order| order.customer_id == *bo.id()));
    assert_eq!(orders.len(), 1);
}

#[rstest]
#[case("#A1")]
#[case("a1")]
#[case(" # A1 ")]
#[tokio::test]
async fn an_order_is_found_in_any_spelling(#[case] spelling: &str) {
    let store = filled_store().await;
    let ada = identified(&store, "ada@example.com").await;
    let order = store.order(&ada, &id(spelling)).await.unwrap().unwrap();
    assert_eq!(order.id.to_string(), "#A1");
}

#[tokio::test]
async fn orders_come_newest_first_and_undated_ones_last() {
    let store = filled_store().await;
    let ada = identified(&store, "ada@example.com").await;
    let orders = store.orders(&ada).await.unwrap();
    let ids: Vec<String> = orders.iter().map(|order| order.id.to_string()).collect();
    assert_eq!(ids, ["#A3", "#A1", "#A2"]);
}

#[tokio::test]
async fn products_are_listed_and_found_by_name() {
    let store = filled_store().await;
    let names = |products: Vec<Product>| -> Vec<String> {
        products.into_iter().map(|product| product.name).collect()
    };
    let all = names(store.products().await.unwrap());
    assert_eq!(all, ["Camp Chair", "Camp Stove"]);
    let found = names(store.find_products("two camp stoves").await.unwrap());
    assert_eq!(found, ["Camp Stove", "Camp Chair"]);
    assert!(store.find_products("a boat").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_summary_counts_everything() {
    let store = filled_store().await;
    let counts = Counts { customers: 2, orders: 4, products: 2, variants: 2, articles: 1 };
    assert_eq!(store.counts().await.unwrap(), counts);
}

#[tokio::test]
async fn the_currency_is_that_of_most_orders() {
    let empty = SqliteStore::in_memory().await.unwrap();
    assert_eq!(empty.currency().await.unwrap(), Currency::usd());
    let store = filled_store().await;
    assert_eq!(store.currency().await.unwrap().code(), "EUR");
}

#[tokio::test]
async fn a_file_keeps_what_was_imported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new").join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    import_native(&store, export().path()).await.unwrap();
    let counts = store.counts().await.unwrap();
    drop(store);
    let reopened = SqliteStore::open(&path).await.unwrap();
    assert_eq!(reopened.counts().await.unwrap(), counts);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to be read as one".repeat(100)).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
}

/// A public data set in the import format, which a developer may have beside the checkout.
#[tokio::test]
async fn a_store_of_a_thousand_orders_is_imported() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/retail");
    if !dir.join("orders.jsonl").is_file() {
        eprintln!("skipped: there is no {}", dir.display());
        return;
    }
    let store = SqliteStore::in_memory().await.unwrap();
    let summary = import_native(&store, &dir).await.unwrap();
    assert_eq!(summary.customers.added, 500);
    assert_eq!(summary.orders.added, 1000);
    assert_eq!(summary.products.added, 50);
    assert_eq!(summary.articles.added, 1);
    let again = import_native(&store, &dir).await.unwrap();
    assert_eq!(again.orders.unchanged, 1000);
    assert_eq!(again.customers.unchanged, 500);
}
