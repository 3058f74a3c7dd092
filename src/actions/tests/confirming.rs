//! Tokens and the ledger: who may confirm, until when, and how often it counts.

use chrono::{DateTime, TimeDelta, Utc};
use rstest::rstest;
use tier0_store::{ActionId, ActionState, PaymentKind};

use super::*;

/// A token of the shop's key that became void a minute ago.
fn expired(shop: &Shop) -> (ActionId, String) {
    let Proposal { customer, name, arguments } = cancel_p1();
    let id = ActionId::random();
    let minute_ago = Utc::now() - TimeDelta::minutes(1);
    let signed = Signed::new(id.clone(), customer, name, arguments, minute_ago);
    (id, signed.to_token(&shop.key).unwrap())
}

#[tokio::test]
async fn nothing_is_written_before_the_confirmation() {
    let shop = Shop::open().await;
    let before = shop.state().await;
    let token = shop.service().propose(&cancel_p1()).unwrap();
    assert_eq!(shop.state().await, before);
    assert_eq!(shop.entry(&token).await, None);
}

#[tokio::test]
async fn a_confirmed_action_is_done_and_entered_once() {
    let shop = Shop::open().await;
    let service = shop.service();
    let token = service.propose(&cancel_p1()).unwrap();
    let first = confirm(&service, &token).await.unwrap();
    assert!(!first.already_confirmed);
    assert_eq!((first.name.as_str(), &first.arguments["order_id"]), ("cancel_order", &json!("#P1")));
    let after = shop.state().await;

    let again = confirm(&service, &token).await.unwrap();
    assert_eq!(again, Confirmed { already_confirmed: true, ..first.clone() });
    assert_eq!(shop.state().await, after);

    let entry = shop.entry(&token).await.unwrap();
    assert_eq!((entry.id, entry.customer_id, entry.state), (first.id, ada(), ActionState::Done));
    assert_eq!((entry.arguments, entry.result), (first.arguments, first.result));
    assert!(entry.finished_at.unwrap() >= entry.confirmed_at);
    assert!(Utc::now() - entry.confirmed_at < TimeDelta::minutes(1));
}

#[rstest]
#[case::one_server(1)]
#[case::several_servers_over_one_store(4)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmations_at_the_same_time_count_once(#[case] n_servers: usize) {
    let shop = Shop::open().await;
    let services: Vec<_> = (0..n_servers).map(|_| Arc::new(shop.service())).collect();
    let token = services[0].propose(&cancel_p1()).unwrap();
    let confirmations = (0..12).map(|n| {
        let (service, token) = (Arc::clone(&services[n % n_servers]), token.clone());
        tokio::spawn(async move { confirm(&service, &token).await.unwrap() })
    });
    let mut results = Vec::new();
    for confirmation in confirmations.collect::<Vec<_>>() {
        results.push(confirmation.await.unwrap());
    }
    assert_eq!(results.iter().filter(|confirmed| !confirmed.already_confirmed).count(), 1);
    assert!(results.iter().all(|confirmed| confirmed.result == results[0].result));
    let payments = shop.order("#P1").await.payments;
    assert_eq!(payments.iter().filter(|payment| payment.kind == PaymentKind::Refund).count(), 1);
}

#[tokio::test]
async fn two_proposals_of_the_same_thing_are_two_actions() {
    let shop = Shop::open().await;
    let service = shop.service();
    let [first, second] = [(); 2].map(|()| service.propose(&cancel_p1()).unwrap());
    assert_ne!(first, second);
    confirm(&service, &first).await.unwrap();
    let failure = confirm(&service, &second).await.unwrap_err();
    assert!(failure.to_string().contains("cancelled"), "{failure}");
}

#[tokio::test]
async fn a_token_is_void_once_it_has_expired() {
    let shop = Shop::open().await;
    let before = shop.state().await;
    let (_, token) = expired(&shop);
    let failure = confirm(&shop.service(), &token).await.unwrap_err();
    assert!(matches!(failure, NotDone::Expired { .. }), "{failure}");
    assert_eq!(shop.state().await, before);
    assert_eq!(shop.entry(&token).await, None);
}

#[tokio::test]
async fn what_was_done_is_told_even_after_the_token_has_expired() {
    let shop = Shop::open().await;
    let (id, token) = expired(&shop);
    let entry = ActionEntry {
        id,
        customer_id: ada(),
        name: "cancel_order".to_owned(),
        arguments: Map::new(),
        state: ActionState::Done,
        result: json!({"done": "earlier"}),
        confirmed_at: DateTime::UNIX_EPOCH,
        finished_at: Some(DateTime::UNIX_EPOCH),
    };
    let mut store = shop.store.begin().await.unwrap();
    store.save_action(&entry).await.unwrap();
    store.commit().await.unwrap();
    let confirmed = confirm(&shop.service(), &token).await.unwrap();
    assert!(confirmed.already_confirmed);
    assert_eq!(confirmed.result, entry.result);
    assert_eq!(shop.entry(&token).await, Some(entry));
}

#[tokio::test]
async fn a_token_lasts_as_long_as_the_service_says() {
    let shop = Shop::open().await;
    let before = Utc::now();
    let token = shop.service().propose(&cancel_p1()).unwrap();
    let lifetime = Signed::from_token(&token, &shop.key).unwrap().expires_at - before;
    assert!((TimeDelta::seconds(3598)..=TimeDelta::seconds(3601)).contains(&lifetime), "{lifetime}");
}

#[rstest]
#[case("ada@example.com", true)]
#[case("ADA@EXAMPLE.COM", true)]
#[case("bo@example.com", false)]
#[case("nobody@example.com", false)]
#[tokio::test]
async fn only_the_customer_it_was_proposed_to_can_confirm(#[case] by: &str, #[case] is_hers: bool) {
    let shop = Shop::open().await;
    let service = shop.service();
    let token = service.propose(&cancel_p1()).unwrap();
    let outcome = service.confirm(&token, Some(&email(by))).await;
    assert_eq!(outcome.is_ok(), is_hers);
    if let Err(error) = outcome {
        let wrong = matches!(error, ActionError::NotDone { reason: NotDone::WrongCustomer { .. }, .. });
        assert!(wrong, "{error}");
        assert_eq!(shop.entry(&token).await, None);
    }
    // Nor does another learn what became of it once it is done.
    confirm(&service, &token).await.unwrap();
    assert_eq!(service.confirm(&token, Some(&email(by))).await.is_ok(), is_hers);
}

#[tokio::test]
async fn a_customer_who_is_gone_confirms_nothing() {
    let shop = Shop::open().await;
    let nobody = Proposal { customer: CustomerId::new("c-gone").unwrap(), ..cancel_p1() };
    let token = shop.service().propose(&nobody).unwrap();
    let failure = confirm(&shop.service(), &token).await.unwrap_err();
    assert!(matches!(failure, NotDone::Impossible { .. }), "{failure}");
}

#[tokio::test]
async fn a_token_of_another_server_is_unknown() {
    let (ours, theirs) = (Shop::open().await, Shop::open().await);
    let token = theirs.service().propose(&cancel_p1()).unwrap();
    for token in [token.as_str(), "", ".", "not-a-token"] {
        let error = ours.service().confirm(token, None).await.unwrap_err();
        assert!(matches!(error, ActionError::UnknownToken), "{error}");
    }
}
