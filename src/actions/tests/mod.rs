//! Actions from proposal to effect, over a small store.
mod builtin;
mod confirming;
mod webhook;

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tier0_store::{
    ActionEntry, Customer, CustomerId, EmailAddress, Order, OrderId, SqliteStore, import_native,
};

use super::{
    ActionError, ActionKey, ActionService, ConfirmAction, Confirmed, Execute, NotDone, Proposal,
    StoreExecutor, token::Signed,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Ada has two cards, two gift cards and orders at every stage; Bo has one of each.
fn customers() -> Value {
    json!([
        {"id": "c-ada", "email": "Ada@example.com", "first_name": "Ada", "last_name": "Moss",
         "address": address("1 Low Road"), "payment_methods": [
            {"id": "card_1", "type": "credit_card", "brand": "visa", "last4": "0042"},
            {"id": "card_2", "type": "credit_card", "brand": "visa", "last4": "0077"},
            {"id": "gift_1", "type": "gift_card", "balance": 100},
            {"id": "gift_2", "type": "gift_card", "balance": 5}]},
        {"id": "c-bo", "email": "bo@example.com", "first_name": "Bo", "last_name": "Ley",
         "address": address("2 High Road"), "payment_methods": [{"id": "card_9", "type": "credit_card"}]},
    ])
}

fn address(line1: &str) -> Value {
    json!({"line1": line1, "line2": "Apt 2", "city": "Hill", "region": "CO", "postal_code": "80001",
           "country": "USA"})
}

fn products() -> Value {
    let variant = |id: &str, price: f64, available: bool| json!({"item_id": id, "options": {"color": id}, "price": price, "available": available});
    json!([
        {"id": "p-lamp", "name": "Lamp", "variants": [
            variant("lamp-black", 30.0, true), variant("lamp-white", 42.5, true),
            variant("lamp-red", 25.0, true), variant("lamp-gold", 90.0, false)]},
        {"id": "p-chair", "name": "Chair", "variants": [
            variant("chair-oak", 80.0, true), variant("chair-ash", 80.0, true)]},
    ])
}

/// Every order has two black lamps, an oak chair and a product that is not sold any more: $150.
fn orders() -> Value {
    let item = |id: &str, product: &str, price: f64, quantity: u32| {
        json!({"item_id": id, "product_id": product, "name": product, "options": {},
               "unit_price": price, "quantity": quantity})
    };
    let order = |id: &str, customer: &str, status: &str, method: &str| {
        json!({"id": id, "customer_id": customer, "status": status, "currency": "USD",
               "shipping_address": address("1 Low Road"), "shipments": [],
               "items": [item("lamp-black", "p-lamp", 30.0, 2), item("chair-oak", "p-chair", 80.0, 1),
                         item("rug-1", "p-rug", 10.0, 1)],
               "payments": [{"kind": "payment", "amount": 150, "payment_method_id": method}]})
    };
    json!([
        order("#P1", "c-ada", "pending", "card_1"),
        order("#P2", "c-ada", "pending", "gift_1"),
        order("#P3", "c-ada", "pending", "removed_card"),
        order("#S1", "c-ada", "processed", "card_1"),
        order("#D1", "c-ada", "delivered", "card_1"),
        order("#B1", "c-bo", "pending", "card_9"),
    ])
}

/// A store in a file, so that several connections meet in it.
struct Shop {
    store: SqliteStore,
    key: ActionKey,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_lines(&folder.path().join("customers.jsonl"), &customers());
        write_lines(&folder.path().join("orders.jsonl"), &orders());
        write_lines(&folder.path().join("products.jsonl"), &products());
        let store = SqliteStore::open(&folder.path().join("store.sqlite")).await.unwrap();
        import_native(&store, folder.path()).await.unwrap();
        let key = ActionKey::open_or_create(&folder.path().join("action.key")).unwrap();
        Self { store, key, folder }
    }

    /// Imports the folder again with other records in one of its files.
    async fn import(&self, file: &str, records: &Value) {
        write_lines(&self.folder.path().join(file), records);
        import_native(&self.store, self.folder.path()).await.unwrap();
    }

    fn service(&self) -> ActionService {
        self.service_with(Arc::new(StoreExecutor))
    }

    fn service_with(&self, execute: Arc<dyn Execute>) -> ActionService {
        ActionService::new(self.store.clone(), self.key.clone(), execute, HOUR)
    }

    /// Proposes something to Ada and confirms it for her.
    async fn act(&self, name: &str, arguments: Value) -> Result<Confirmed, NotDone> {
        let service = self.service();
        let token = service.propose(&to_ada(name, arguments)).unwrap();
        let outcome = confirm(&service, &token).await;
        let recorded = self.entry(&token).await.is_some();
        assert_eq!(recorded, outcome.is_ok(), "the ledger has what was done, and nothing else");
        outcome
    }

    async fn order(&self, id: &str) -> Order {
        let id = OrderId::parse(id).unwrap();
        self.store.begin().await.unwrap().order(&ada(), &id).await.unwrap().unwrap()
    }

    async fn customer(&self) -> Customer {
        self.store.begin().await.unwrap().customer(&ada()).await.unwrap().unwrap()
    }

    async fn entry(&self, token: &str) -> Option<ActionEntry> {
        let id = Signed::from_token(token, &self.key).unwrap().id;
        self.store.begin().await.unwrap().action(&id).await.unwrap()
    }

    /// All that an action could have changed.
    async fn state(&self) -> (Customer, Vec<Order>) {
        let mut orders = Vec::new();
        for id in ["#P1", "#P2", "#P3", "#S1", "#D1"] {
            orders.push(self.order(id).await);
        }
        (self.customer().await, orders)
    }
}

fn write_lines(path: &Path, records: &Value) {
    let lines: Vec<String> = records.as_array().unwrap().iter().map(Value::to_string).collect();
    std::fs::write(path, lines.join("\n")).unwrap();
}

fn ada() -> CustomerId {
    CustomerId::new("c-ada").unwrap()
}

fn to_ada(name: &str, arguments: Value) -> Proposal {
    Proposal { customer: ada(), name: name.to_owned(), arguments: object(arguments) }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn cancel_p1() -> Proposal {
    to_ada("cancel_order", json!({"order_id": "#P1", "reason": "no longer needed"}))
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

/// Confirms a token of this service's own.
async fn confirm(service: &ActionService, token: &str) -> Result<Confirmed, NotDone> {
    match service.confirm(token, None).await {
        Ok(confirmed) => Ok(confirmed),
        Err(ActionError::NotDone { reason, .. }) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}
