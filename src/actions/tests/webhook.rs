//! What the shop's hook is asked, and what is made of its answers.

use std::time::Instant;

use chrono::{DateTime, Utc};
use rstest::rstest;
use tier0_store::ActionState;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use super::*;
use crate::actions::{Webhook, WebhookError, WebhookExecutor, hmac::Mac};

const SECRET: &str = "a secret that both sides know";

async fn hook(answers: &[ResponseTemplate]) -> MockServer {
    let server = MockServer::start().await;
    let n_answers = answers.len() as u64;
    for (priority, answer) in (1..).zip(answers) {
        let mock = Mock::given(method("POST")).and(path("/hook")).respond_with(answer.clone());
        // The last answer is given for ever, each of the others once.
        let times = if u64::from(priority) == n_answers { u64::MAX } else { 1 };
        mock.up_to_n_times(times).with_priority(priority).mount(&server).await;
    }
    server
}

fn service(shop: &Shop, server: &MockServer) -> ActionService {
    service_at(shop, format!("{}/hook", server.uri()), Duration::from_secs(5))
}

fn service_at(shop: &Shop, url: String, timeout: Duration) -> ActionService {
    let hook = Webhook { url, secret: SECRET.to_owned(), timeout };
    shop.service_with(Arc::new(WebhookExecutor::new(shop.store.clone(), &hook).unwrap()))
}

async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers[name].to_str().unwrap()
}

/// Checks the signature as a hook would.
fn is_signed(request: &Request) -> bool {
    let body = std::str::from_utf8(&request.body).unwrap();
    let signed = format!("{}.{body}", header(request, "x-tier0-timestamp"));
    let digits = header(request, "x-tier0-signature").strip_prefix("sha256=").unwrap();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let signature: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    Mac::new(SECRET.as_bytes()).unwrap().verifies(signed.as_bytes(), &signature)
}

#[tokio::test]
async fn the_hook_is_told_everything_and_can_tell_who_asks() {
    let shop = Shop::open().await;
    let before = shop.state().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({"refund": "r-1"}));
    let server = hook(&[answer]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    let confirmed = confirm(&service, &token).await.unwrap();
    assert_eq!(confirmed.result, json!({"refund": "r-1"}));

    let requests = requests(&server).await;
    let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert!(is_signed(request));
    assert_eq!(header(request, "idempotency-key"), confirmed.id.as_str());
    assert_eq!(header(request, "content-type"), "application/json");
    let timestamp: i64 = header(request, "x-tier0-timestamp").parse().unwrap();
    assert!((Utc::now().timestamp() - timestamp).abs() < 60);
    let entry = shop.entry(&token).await.unwrap();
    let expected = json!({
        "id": confirmed.id,
        "action": "cancel_order",
        "arguments": {"order_id": "#P1", "reason": "no longer needed"},
        "customer": {"id": "c-ada", "email": "Ada@example.com"},
        "confirmed_at": entry.confirmed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    });
    assert_eq!(request.body_json::<Value>().unwrap(), expected);
    assert_eq!((entry.state, entry.result), (ActionState::Done, confirmed.result));
    // The shop's own system has done it; the imported data follow with the next import.
    assert_eq!(shop.state().await, before);
}

#[rstest]
#[case::none(ResponseTemplate::new(204))]
#[case::no_json(ResponseTemplate::new(200).set_body_string("done"))]
#[tokio::test]
async fn an_answer_without_json_is_done_without_a_result(#[case] answer: ResponseTemplate) {
    let shop = Shop::open().await;
    let server = hook(&[answer]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    assert_eq!(confirm(&service, &token).await.unwrap().result, Value::Null);
    assert!(confirm(&service, &token).await.unwrap().already_confirmed);
    assert_eq!(requests(&server).await.len(), 1);
}

#[tokio::test]
async fn a_hook_that_fails_is_asked_again_for_the_same_action() {
    let shop = Shop::open().await;
    let done = ResponseTemplate::new(200).set_body_json(json!(1));
    let server = hook(&[ResponseTemplate::new(500), ResponseTemplate::new(429), done]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    assert_eq!(confirm(&service, &token).await.unwrap().result, json!(1));
    let requests = requests(&server).await;
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert!(is_signed(request));
        assert_eq!(request.body, requests[0].body);
        assert_eq!(header(request, "idempotency-key"), header(&requests[0], "idempotency-key"));
    }
}

#[tokio::test]
async fn what_has_failed_can_be_confirmed_again_under_the_same_key() {
    let shop = Shop::open().await;
    let broken = ResponseTemplate::new(503);
    let server = hook(&[broken.clone(), broken.clone(), broken, ResponseTemplate::new(200)]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    let failure = confirm(&service, &token).await.unwrap_err();
    assert!(matches!(failure, NotDone::HookFailed { n_tries: 3, .. }), "{failure}");
    assert!(failure.to_string().contains("503"), "{failure}");
    let entry = shop.entry(&token).await.unwrap();
    assert_eq!((entry.state, entry.result), (ActionState::Failed, json!(failure.to_string())));

    let confirmed = confirm(&service, &token).await.unwrap();
    assert!(!confirmed.already_confirmed);
    assert_eq!(shop.entry(&token).await.unwrap().state, ActionState::Done);
    let requests = requests(&server).await;
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    assert!(requests.iter().all(|r| header(r, "idempotency-key") == confirmed.id.as_str()));
}

#[tokio::test]
async fn a_refusal_is_passed_on_in_the_hooks_words_and_not_tried_again() {
    let shop = Shop::open().await;
    let refusal = ResponseTemplate::new(422).set_body_json(json!({"message": "already packed"}));
    let server = hook(&[refusal, ResponseTemplate::new(200)]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    let failure = confirm(&service, &token).await.unwrap_err();
    assert!(matches!(failure, NotDone::HookRefused { status: 422, .. }), "{failure}");
    assert!(failure.to_string().contains("already packed"), "{failure}");
    assert_eq!(requests(&server).await.len(), 1);
    assert_eq!(shop.entry(&token).await.unwrap().state, ActionState::Failed);
    // The shop may have mended what was in the way.
    assert!(confirm(&service, &token).await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let shop = Shop::open().await;
    let elsewhere = hook(&[ResponseTemplate::new(200)]).await;
    let moved = ResponseTemplate::new(307).insert_header("location", format!("{}/hook", elsewhere.uri()));
    let server = hook(&[moved]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    let failure = confirm(&service, &token).await.unwrap_err();
    assert!(failure.to_string().contains("307"), "{failure}");
    assert!(requests(&elsewhere).await.is_empty());
}

#[tokio::test]
async fn a_hook_that_is_not_there_is_a_failure_without_its_address() {
    let shop = Shop::open().await;
    // A port that nobody listens on: it was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/secret-path");
    let service = service_at(&shop, url, Duration::from_secs(5));
    let token = service.propose(&cancel_p1()).unwrap();
    let failure = confirm(&service, &token).await.unwrap_err();
    assert!(matches!(failure, NotDone::HookFailed { .. }), "{failure}");
    assert!(!failure.to_string().contains("secret"), "{failure}");
    assert_eq!(shop.entry(&token).await.unwrap().state, ActionState::Failed);
}

#[tokio::test]
async fn a_hook_that_does_not_answer_is_given_up() {
    let shop = Shop::open().await;
    let server = hook(&[ResponseTemplate::new(200).set_delay(Duration::from_secs(60))]).await;
    let service = service_at(&shop, format!("{}/hook", server.uri()), Duration::from_millis(100));
    let token = service.propose(&cancel_p1()).unwrap();
    let started = Instant::now();
    let failure = confirm(&service, &token).await.unwrap_err();
    assert!(failure.to_string().contains("in time"), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmations_at_the_same_time_ask_the_hook_once() {
    let shop = Shop::open().await;
    let server = hook(&[ResponseTemplate::new(200).set_delay(Duration::from_millis(100))]).await;
    let service = Arc::new(service(&shop, &server));
    let token = service.propose(&cancel_p1()).unwrap();
    let confirmations = (0..8).map(|_| {
        let (service, token) = (Arc::clone(&service), token.clone());
        tokio::spawn(async move { confirm(&service, &token).await.unwrap().already_confirmed })
    });
    let already = futures::future::try_join_all(confirmations).await.unwrap();
    assert_eq!(already.iter().filter(|already| !**already).count(), 1);
    assert_eq!(requests(&server).await.len(), 1);
}

#[tokio::test]
async fn an_action_that_was_running_when_the_server_stopped_is_asked_for_again() {
    let shop = Shop::open().await;
    let server = hook(&[ResponseTemplate::new(200)]).await;
    let service = service(&shop, &server);
    let token = service.propose(&cancel_p1()).unwrap();
    let signed = Signed::from_token(&token, &shop.key).unwrap();
    let confirmed_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let running = ActionEntry {
        id: signed.id.clone(),
        customer_id: ada(),
        name: signed.name,
        arguments: signed.arguments,
        state: ActionState::Running,
        result: Value::Null,
        confirmed_at,
        finished_at: None,
    };
    let mut store = shop.store.begin().await.unwrap();
    store.save_action(&running).await.unwrap();
    store.commit().await.unwrap();

    assert!(!confirm(&service, &token).await.unwrap().already_confirmed);
    let requests = requests(&server).await;
    assert_eq!(header(&requests[0], "idempotency-key"), signed.id.as_str());
    let body: Value = requests[0].body_json().unwrap();
    assert_eq!(body["confirmed_at"], "2027-01-15T08:00:00Z");
    let entry = shop.entry(&token).await.unwrap();
    assert_eq!((entry.state, entry.confirmed_at), (ActionState::Done, confirmed_at));
}

#[tokio::test]
async fn an_address_that_is_none_is_named() {
    let store = SqliteStore::in_memory().await.unwrap();
    let hook = Webhook { url: "nowhere".to_owned(), secret: SECRET.to_owned(), timeout: HOUR };
    let error = WebhookExecutor::new(store, &hook).unwrap_err();
    assert!(matches!(error, WebhookError::Url { .. }), "{error}");
    assert!(error.to_string().contains("nowhere") && !error.to_string().contains(SECRET), "{error}");
}
