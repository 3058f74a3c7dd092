//! Confirmations over HTTP: of the built-in store's actions, and of a shop's hook that fails.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use chrono::NaiveDate;
use rstest::rstest;
use serde_json::{Value, json};
use tier0::{
    actions::{
        ActionError, ActionKey, ActionService, ConfirmAction, Confirmed, NotDone, Proposal, StoreExecutor,
    },
    config::{ApiKey, Server},
};
use tier0_store::{
    Customer, EmailAddress, Order, OrderId, OrderStore, Sender, SqliteStore, StoreError, demo,
};

use super::{App, error, json_of, json_request, text_of};

const HOUR: Duration = Duration::from_secs(3600);

/// The demo store behind the API, with the customer whose pending order can be cancelled.
struct Shop {
    app: App,
    service: Arc<ActionService>,
    store: SqliteStore,
    maya: Customer,
}

impl Shop {
    async fn open() -> Self {
        Self::with(HOUR, Server::default()).await
    }

    async fn with(token_lifetime: Duration, server: Server) -> Self {
        let store = SqliteStore::in_memory().await.unwrap();
        let today = NaiveDate::from_ymd_opt(2026, 11, 20).unwrap();
        demo::generate(7, today).unwrap().import_into(&store).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = ActionKey::open_or_create(&folder.path().join("action.key")).unwrap();
        let service = ActionService::new(store.clone(), key, Arc::new(StoreExecutor), token_lifetime);
        let service = Arc::new(service);
        let sender = Sender { email: Some(demo::CUSTOMER_EMAIL.to_owned()), verified: true };
        let maya = store.identify(&sender).await.unwrap().unwrap();
        let maya = store.customer(&maya).await.unwrap();
        let app = App::with_actions(Arc::clone(&service) as Arc<dyn ConfirmAction>, server);
        Self { app, service, store, maya }
    }

    fn propose(&self, name: &str, arguments: &Value) -> String {
        let arguments = arguments.as_object().unwrap().clone();
        let proposal = Proposal { customer: self.maya.id.clone(), name: name.to_owned(), arguments };
        self.service.propose(&proposal).unwrap()
    }

    fn cancellation(&self) -> String {
        self.propose("cancel_order", &json!({"order_id": demo::PENDING_ORDER, "reason": "no longer needed"}))
    }

    async fn order(&self) -> Order {
        let id = OrderId::parse(demo::PENDING_ORDER).unwrap();
        let order = self.store.begin().await.unwrap().order(&self.maya.id, &id).await.unwrap();
        order.unwrap()
    }
}

fn path(token: &str) -> String {
    format!("/v1/actions/{token}/confirm")
}

/// A confirmation that says nothing beside its token.
fn bare(token: &str) -> Request<Body> {
    Request::post(path(token)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_confirmation_is_carried_out_and_told_again_when_it_is_repeated() {
    let shop = Shop::open().await;
    let token = shop.cancellation();
    let response = shop.app.send(bare(&token)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut first = json_of(response).await;
    assert_eq!(shop.order().await.status.as_str(), "cancelled");
    assert_eq!(first["result"]["status"], "cancelled");
    assert_eq!(first["result"]["refunds"].as_array().unwrap().len(), 1);

    let mut again = json_of(shop.app.send(bare(&token)).await).await;
    assert_eq!(
        (first["already_confirmed"].take(), again["already_confirmed"].take()),
        (false.into(), true.into())
    );
    assert_eq!(again, first);
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "object", "name", "arguments", "state", "already_confirmed", "result"]);
    assert_eq!(
        (&first["object"], &first["name"], &first["state"]),
        (&json!("action"), &json!("cancel_order"), &json!("done"))
    );
    assert_eq!(first["arguments"]["order_id"], demo::PENDING_ORDER);

    shop.app.send(bare(&shop.cancellation())).await;
    let page = text_of(shop.app.get("/metrics").await).await;
    for state in ["done", "repeated", "refused"] {
        let line = format!(r#"tier0_actions_total{{name="cancel_order",state="{state}"}} 1"#);
        assert!(page.contains(&line), "{line} is missing from:\n{page}");
    }
    assert!(!page.contains(&token), "{page}");
}

#[rstest]
#[case(json!({}))]
#[case(json!({"customer_email": null}))]
#[case(json!({"customer_email": demo::CUSTOMER_EMAIL}))]
#[case(json!({"customer_email": demo::CUSTOMER_EMAIL.to_uppercase(), "another": "field"}))]
#[tokio::test]
async fn a_confirmation_may_say_who_confirms(#[case] body: Value) {
    let shop = Shop::open().await;
    let response = shop.app.post(&path(&shop.cancellation()), &body).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn another_customer_confirms_nothing() {
    let shop = Shop::open().await;
    let body = json!({"customer_email": "somebody.else@example.com"});
    let response = shop.app.post(&path(&shop.cancellation()), &body).await;
    let error = error(response, StatusCode::FORBIDDEN).await;
    assert_eq!(error["code"], "wrong_customer");
    assert!(!error["message"].as_str().unwrap().contains(demo::CUSTOMER_EMAIL), "{error}");
    assert_eq!(shop.order().await.status.as_str(), "pending");
}

#[rstest]
#[case::no_json("customer_email=maya", StatusCode::BAD_REQUEST, Value::Null)]
#[case::no_address(r#"{"customer_email": "maya"}"#, StatusCode::BAD_REQUEST, json!("customer_email"))]
#[case::wrong_type(r#"{"customer_email": 7}"#, StatusCode::BAD_REQUEST, json!("customer_email"))]
#[tokio::test]
async fn a_body_that_cannot_be_read_confirms_nothing(
    #[case] body: &str,
    #[case] status: StatusCode,
    #[case] param: Value,
) {
    let shop = Shop::open().await;
    let response = shop.app.send(json_request(&path(&shop.cancellation()), body.to_owned())).await;
    assert_eq!(error(response, status).await["param"], param);
    assert_eq!(shop.order().await.status.as_str(), "pending");
}

#[tokio::test]
async fn a_body_of_another_type_confirms_nothing() {
    let shop = Shop::open().await;
    let request = Request::post(path(&shop.cancellation()))
        .header(header::CONTENT_TYPE, "text/plain")
        .body(r#"{"customer_email": "somebody.else@example.com"}"#.into())
        .unwrap();
    error(shop.app.send(request).await, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    assert_eq!(shop.order().await.status.as_str(), "pending");
}

#[tokio::test]
async fn a_forged_token_is_unknown() {
    let shop = Shop::open().await;
    let token = shop.cancellation();
    let changed = format!("{}{}", if token.starts_with('e') { "f" } else { "e" }, &token[1..]);
    for token in [changed.as_str(), &token[..token.len() - 1], "nothing", "%FF"] {
        let error = error(shop.app.send(bare(token)).await, StatusCode::NOT_FOUND).await;
        assert_eq!(error["code"], "unknown_action_token", "{token}");
    }
    assert_eq!(shop.order().await.status.as_str(), "pending");
}

#[tokio::test]
async fn an_expired_token_is_gone() {
    let shop = Shop::with(Duration::ZERO, Server::default()).await;
    let error = error(shop.app.send(bare(&shop.cancellation())).await, StatusCode::GONE).await;
    assert_eq!(error["code"], "action_expired");
    assert_eq!(shop.order().await.status.as_str(), "pending");
}

#[rstest]
#[case::too_late("cancel_order", json!({"order_id": demo::SHIPPED_ORDER}), StatusCode::CONFLICT, "action_impossible")]
#[case::arguments("cancel_order", json!({}), StatusCode::UNPROCESSABLE_ENTITY, "action_arguments")]
#[case::unknown("water_plants", json!({}), StatusCode::NOT_IMPLEMENTED, "unknown_action")]
#[tokio::test]
async fn what_cannot_be_done_has_a_status_of_its_own(
    #[case] name: &str,
    #[case] arguments: Value,
    #[case] status: StatusCode,
    #[case] code: &str,
) {
    let shop = Shop::open().await;
    let token = shop.propose(name, &arguments);
    let error = error(shop.app.send(bare(&token)).await, status).await;
    assert_eq!(error["code"], code);
    assert!(error["message"].as_str().unwrap().contains(name), "{error}");
}

/// A service that never gets an action done.
struct Unlucky(fn() -> NotDone);

#[async_trait::async_trait]
impl ConfirmAction for Unlucky {
    async fn confirm(&self, _: &str, _: Option<&EmailAddress>) -> Result<Confirmed, ActionError> {
        Err(ActionError::NotDone { name: "cancel_order".to_owned(), reason: (self.0)() })
    }
}

fn refused() -> NotDone {
    NotDone::HookRefused { status: 422, message: "already packed".to_owned() }
}

fn failed() -> NotDone {
    NotDone::HookFailed { n_tries: 3, reason: "it answered with status 500".to_owned() }
}

fn broken() -> NotDone {
    NotDone::Store(StoreError::Corrupt { column: "orders.status", reason: "a private reason".to_owned() })
}

#[rstest]
#[case(refused, StatusCode::CONFLICT, "invalid_request_error", "already packed", "refused")]
#[case(failed, StatusCode::BAD_GATEWAY, "server_error", "it may be confirmed again", "failed")]
#[case(broken, StatusCode::INTERNAL_SERVER_ERROR, "server_error", "x-request-id", "failed")]
#[tokio::test]
async fn a_hook_or_a_store_that_fails_is_told_apart(
    #[case] failure: fn() -> NotDone,
    #[case] status: StatusCode,
    #[case] kind: &str,
    #[case] says: &str,
    #[case] state: &str,
) {
    let app = App::with_actions(Arc::new(Unlucky(failure)), Server::default());
    let error = error(app.send(bare("token")).await, status).await;
    assert_eq!(error["type"], kind);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(says) && !message.contains("private"), "{message}");
    let page = text_of(app.get("/metrics").await).await;
    let line = format!(r#"tier0_actions_total{{name="cancel_order",state="{state}"}} 1"#);
    assert!(page.contains(&line), "{page}");
}

#[tokio::test]
async fn without_a_key_nothing_is_confirmed() {
    let server = Server { api_keys: vec![ApiKey::new("key-one")], ..Server::default() };
    let shop = Shop::with(HOUR, server).await;
    let token = shop.cancellation();
    error(shop.app.send(bare(&token)).await, StatusCode::UNAUTHORIZED).await;
    assert_eq!(shop.order().await.status.as_str(), "pending");
    let mut with_key = bare(&token);
    with_key.headers_mut().insert(header::AUTHORIZATION, "Bearer key-one".parse().unwrap());
    assert_eq!(shop.app.send(with_key).await.status(), StatusCode::OK);
}
