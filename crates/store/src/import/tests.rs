//! What an import refuses, how it says so, and that it keeps nothing then.
use std::fs;
use std::path::PathBuf;

use chrono::NaiveDate;
use proptest::prelude::*;
use proptest::sample::Index;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{Counts, OrderStore, demo};

/// A folder to import from.
struct Export {
    dir: TempDir,
}

impl Export {
    fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Two customers with an order each, and a product.
    fn small() -> Self {
        let export = Self::empty();
        export.write_records("customers.jsonl", &[customer("c1", "a@x.y"), customer("c2", "b@x.y")]);
        export.write_records("orders.jsonl", &[order("#1", "c1"), order("#2", "c2")]);
        export.write_records("products.jsonl", &[product("p1", "i1")]);
        export
    }

    fn write_records(&self, file: &str, records: &[Value]) {
        let lines: Vec<String> = records.iter().map(Value::to_string).collect();
        self.write(file, lines.join("\n").as_bytes());
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    async fn import_into(&self, store: &SqliteStore) -> Result<ImportSummary, ImportError> {
        import_native(store, self.dir.path()).await
    }

    /// Imports into an empty store, which must stay empty, and gives what is wrong.
    async fn rejections(&self) -> Rejections {
        let store = SqliteStore::in_memory().await.unwrap();
        let error = self.import_into(&store).await.unwrap_err();
        assert_eq!(store.counts().await.unwrap(), Counts::default());
        match error {
            ImportError::Rejected(rejections) => rejections,
            other => panic!("no line was rejected, but {other}"),
        }
    }
}

fn customer(id: &str, email: &str) -> Value {
    json!({
        "id": id, "email": email, "first_name": "F", "last_name": "L", "address": address(),
        "payment_methods": [{"id": "m1", "type": "gift_card", "balance": 5}],
    })
}

fn order(id: &str, customer: &str) -> Value {
    json!({
        "id": id, "customer_id": customer, "status": "pending", "currency": "USD",
        "shipping_address": address(),
        "items": [{"item_id": "i1", "product_id": "p1", "name": "N", "options": {},
                   "unit_price": 2.5, "quantity": 1}],
        "shipments": [{"tracking_numbers": ["T"], "item_ids": ["i1"]}],
        "payments": [{"kind": "payment", "amount": 2.5, "payment_method_id": "gone"}],
    })
}

fn product(id: &str, item: &str) -> Value {
    json!({
        "id": id, "name": "N",
        "variants": [{"item_id": item, "options": {}, "price": 2.5, "available": true}],
    })
}

fn address() -> Value {
    json!({"line1": "1", "city": "C", "postal_code": "0", "country": "X"})
}

fn changed(mut record: Value, pointer: &str, value: Value) -> Value {
    *record.pointer_mut(pointer).expect("the record has the field") = value;
    record
}

fn without(mut record: Value, field: &str) -> Value {
    record.as_object_mut().unwrap().remove(field);
    record
}

#[rstest]
#[case::missing(without(order("#1", "c1"), "status"), "missing field `status`")]
#[case::ill_typed(changed(order("#1", "c1"), "/items", json!(3)), "expected a sequence")]
#[case::array(json!(["#1"]), "not a JSON object")]
#[case::no_number(changed(order("#1", "c1"), "/id", json!("#")), "the order id is empty")]
#[case::currency(changed(order("#1", "c1"), "/currency", json!("dollars")), "currency code")]
#[case::cent(
    changed(order("#1", "c1"), "/payments/0/amount", json!(2.505)),
    "fractions of a cent"
)]
#[case::negative(
    changed(order("#1", "c1"), "/payments/0/amount", json!(-2)),
    "the amount of a payment is negative (-2.00)"
)]
#[case::none(changed(order("#1", "c1"), "/items/0/quantity", json!(0)), "quantity of i1 is 0")]
#[case::kind(changed(order("#1", "c1"), "/payments/0/kind", json!("gift")), "unknown variant")]
#[case::time(
    {
        let mut order = order("#1", "c1");
        order["placed_at"] = json!("last week");
        order
    },
    "\"last week\" is not a time"
)]
#[case::stray_item(
    changed(order("#1", "c1"), "/shipments/0/item_ids/0", json!("i9")),
    "a shipment holds the item i9, which the order does not"
)]
#[case::stranger(order("#1", "c9"), "the customer c9 of the order #1 is not in customers.jsonl")]
#[case::duplicate(order(" # 2", "c1"), "the order # 2 is already on line 1")]
#[tokio::test]
async fn a_bad_order_is_named_with_line_and_reason(#[case] bad: Value, #[case] reason: &str) {
    let export = Export::small();
    export.write_records("orders.jsonl", &[order("#2", "c2"), bad]);
    let rejections = export.rejections().await;
    assert_eq!(rejections.lines.len(), 1, "{rejections}");
    let line = &rejections.lines[0];
    assert_eq!((line.file.as_str(), line.line), ("orders.jsonl", 2));
    assert!(line.reason.contains(reason), "{line}");
}

#[rstest]
#[case::id(customer("c1", "c@x.y"), "the customer c1 is already on line 1")]
#[case::email(customer("c3", "A@X.Y"), "the e-mail address A@X.Y is already on line 1")]
#[case::no_address(customer("c3", "a at x.y"), "is not an e-mail address")]
#[case::balance(
    changed(customer("c3", "c@x.y"), "/payment_methods/0/balance", json!(-1)),
    "the balance of m1 is negative"
)]
#[tokio::test]
async fn a_bad_customer_is_named_with_line_and_reason(#[case] bad: Value, #[case] reason: &str) {
    let export = Export::small();
    let good = [customer("c1", "a@x.y"), customer("c2", "b@x.y")];
    export.write_records("customers.jsonl", &[good.as_slice(), &[bad]].concat());
    let rejections = export.rejections().await;
    assert_eq!(rejections.lines.len(), 1, "{rejections}");
    let line = &rejections.lines[0];
    assert_eq!((line.file.as_str(), line.line), ("customers.jsonl", 3));
    assert!(line.reason.contains(reason), "{line}");
}

#[tokio::test]
async fn a_bad_product_is_named_with_line_and_reason() {
    let export = Export::small();
    let negative = changed(product("p2", "i2"), "/variants/0/price", json!(-1));
    export.write_records(
        "products.jsonl",
        &[product("p1", "i1"), negative, product("p1", "i3"), product("p4", "i1")],
    );
    let rejections = export.rejections().await;
    let reasons: Vec<String> = rejections.lines.iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        [
            "products.jsonl:2: the price of i2 is negative (-1.00)",
            "products.jsonl:3: the product p1 is already on line 1",
            "products.jsonl:4: the item i1 is already on line 1",
        ]
    );
}

#[tokio::test]
async fn blank_lines_count_and_a_byte_order_mark_does_not_matter() {
    let export = Export::small();
    let lines = format!("\u{feff}{}\r\n\r\n{{", customer("c1", "a@x.y"));
    export.write("customers.jsonl", lines.as_bytes());
    let rejections = export.rejections().await;
    let places: Vec<usize> = rejections.lines.iter().map(|line| line.line).collect();
    assert_eq!(places, [3]);
}

#[tokio::test]
async fn what_is_not_utf8_is_named() {
    let export = Export::small();
    export.write("products.jsonl", b"{\"id\":\"\xff\"}");
    export.write("returns.md", b"# Returns\n\n\xff");
    export.write("empty.md", b" \n");
    let rejections = export.rejections().await;
    let places: Vec<(&str, usize)> =
        rejections.lines.iter().map(|line| (line.file.as_str(), line.line)).collect();
    assert_eq!(places, [("products.jsonl", 1), ("empty.md", 1), ("returns.md", 3)]);
}

#[tokio::test]
async fn two_files_cannot_be_one_article() {
    let export = Export::small();
    export.write("gift-cards.md", b"# Gift cards");
    export.write("gift_cards.md", b"# Gift cards");
    let rejections = export.rejections().await;
    assert_eq!(rejections.lines.len(), 1);
    assert!(rejections.to_string().contains("article id gift-cards"));
}

#[tokio::test]
async fn many_bad_lines_are_all_counted() {
    let export = Export::small();
    export.write("products.jsonl", "{}\n".repeat(50).as_bytes());
    let rejections = export.rejections().await;
    assert_eq!(rejections.lines.len(), 20);
    assert_eq!(rejections.n_more, 30);
    assert!(rejections.to_string().starts_with("50 bad lines:\n  products.jsonl:1: missing"));
}

#[tokio::test]
async fn orders_need_customers() {
    let export = Export::small();
    fs::remove_file(export.path("customers.jsonl")).unwrap();
    let store = SqliteStore::in_memory().await.unwrap();
    let error = export.import_into(&store).await.unwrap_err();
    assert!(matches!(error, ImportError::OrdersWithoutCustomers { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_without_any_known_file_is_refused() {
    let store = SqliteStore::in_memory().await.unwrap();
    let export = Export::empty();
    export.write("orders.csv", b"id");
    let error = export.import_into(&store).await.unwrap_err();
    assert!(matches!(error, ImportError::NothingToImport { .. }), "{error}");
    let error = import_native(&store, &export.path("missing")).await.unwrap_err();
    assert!(matches!(error, ImportError::Read { .. }), "{error}");
}

#[tokio::test]
async fn importing_twice_changes_nothing() {
    let store = SqliteStore::in_memory().await.unwrap();
    let export = Export::small();
    export.write("returns.md", b"# Returns");
    let first = export.import_into(&store).await.unwrap();
    assert_eq!(first.orders.added, 2);
    let counts = store.counts().await.unwrap();
    let second = export.import_into(&store).await.unwrap();
    assert_eq!(store.counts().await.unwrap(), counts);
    for tally in [second.customers, second.orders, second.products, second.articles] {
        assert_eq!((tally.added, tally.changed), (0, 0));
    }
    assert_eq!(second.orders.unchanged, 2);
}

#[tokio::test]
async fn an_import_replaces_what_differs_and_keeps_the_rest() {
    let store = SqliteStore::in_memory().await.unwrap();
    Export::small().import_into(&store).await.unwrap();
    let export = Export::empty();
    export.write_records("customers.jsonl", &[customer("c1", "a@x.y"), customer("c3", "c@x.y")]);
    let shipped = changed(order("#1", "c1"), "/status", json!("shipped"));
    export.write_records("orders.jsonl", &[shipped, order("#3", "c3")]);
    let summary = export.import_into(&store).await.unwrap();
    assert_eq!(
        summary.to_string(),
        "customers: 1 added, 0 changed, 1 unchanged\n\
         orders: 1 added, 1 changed, 0 unchanged\n\
         products: 0 added, 0 changed, 0 unchanged\n\
         articles: 0 added, 0 changed, 0 unchanged"
    );
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.customers, counts.orders, counts.products), (3, 3, 1));
}

#[tokio::test]
async fn a_new_spelling_of_an_order_number_is_shown() {
    let store = SqliteStore::in_memory().await.unwrap();
    Export::small().import_into(&store).await.unwrap();
    let export = Export::small();
    export.write_records("orders.jsonl", &[order("1", "c1"), order("#2", "c2")]);
    let summary = export.import_into(&store).await.unwrap();
    assert_eq!((summary.orders.added, summary.orders.changed), (0, 1));
}

#[tokio::test]
async fn two_customers_can_exchange_their_addresses() {
    let store = SqliteStore::in_memory().await.unwrap();
    Export::small().import_into(&store).await.unwrap();
    let export = Export::small();
    export.write_records("customers.jsonl", &[customer("c1", "b@x.y"), customer("c2", "a@x.y")]);
    let summary = export.import_into(&store).await.unwrap();
    assert_eq!(summary.customers.changed, 2);
    assert_eq!(summary.orders.unchanged, 2);
}

#[tokio::test]
async fn the_address_of_a_customer_in_the_store_cannot_be_taken() {
    let store = SqliteStore::in_memory().await.unwrap();
    Export::small().import_into(&store).await.unwrap();
    let export = Export::empty();
    export.write_records("customers.jsonl", &[customer("c8", "h@x.y"), customer("c9", "B@x.y")]);
    let error = export.import_into(&store).await.unwrap_err();
    let expected = "customers.jsonl:2: the e-mail address B@x.y already belongs to the customer c2";
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(store.counts().await.unwrap().customers, 2);
}

/// Files, each as its lines.
fn demo_lines() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
    let dir = tempfile::tempdir().unwrap();
    demo::generate(1, today).unwrap().write_to(dir.path()).unwrap();
    [CUSTOMERS_FILE, ORDERS_FILE, PRODUCTS_FILE]
        .into_iter()
        .map(|file| {
            let bytes = fs::read(dir.path().join(file)).unwrap();
            let lines = bytes.trim_ascii_end().split(|&byte| byte == b'\n');
            (file, lines.map(<[u8]>::to_vec).collect())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens to one line: either the import still makes sense, or it names lines that
    /// there are (that one among them if it is no JSON any more) and keeps nothing.
    #[test]
    fn a_damaged_line_is_found_or_harmless(
        file in any::<Index>(),
        line in any::<Index>(),
        at in any::<Index>(),
        byte in any::<u8>().prop_filter("would make two lines of one", |&byte| byte != b'\n'),
        cut in any::<bool>(),
    ) {
        let mut files = demo_lines();
        let n_files = files.len();
        let (damaged_file, lines) = &mut files[file.index(n_files)];
        let damaged_file = *damaged_file;
        let damaged_line = line.index(lines.len());
        let text = &mut lines[damaged_line];
        let at = at.index(text.len());
        if cut {
            text.truncate(at);
        } else {
            text[at] = byte;
        }
        let is_json = serde_json::from_slice::<Value>(text).is_ok() || text.trim_ascii().is_empty();

        let export = Export::empty();
        for (file, lines) in &files {
            export.write(file, &lines.join(&b'\n'));
        }
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = SqliteStore::in_memory().await.unwrap();
            match export.import_into(&store).await {
                // A byte in the middle of a name, say.
                Ok(_) => prop_assert!(is_json),
                Err(ImportError::Rejected(rejections)) => {
                    prop_assert_eq!(store.counts().await.unwrap(), Counts::default());
                    for bad in &rejections.lines {
                        let (_, lines) = files.iter().find(|(file, _)| *file == bad.file).unwrap();
                        prop_assert!((1..=lines.len()).contains(&bad.line));
                    }
                    if !is_json {
                        let is_named = rejections.lines.iter().any(|bad| {
                            bad.file == damaged_file && bad.line == damaged_line + 1
                        });
                        prop_assert!(is_named);
                    }
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
            Ok(())
        })?;
    }
}
