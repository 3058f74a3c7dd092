//! The ticket pipeline over the demo store, the real embedding model and a scripted writer.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use tier0::{
    actions::{ActionError, ConfirmAction},
    model::chat::{Message, Role},
    support::{AnswerTicket, Channel, Decision, Mode, Outcome, SupportError, Ticket, WrittenBy},
};
use tier0_store::{EmailAddress, OrderStore, Sender, demo};

use crate::shop::{Shop, Writer, from_maya, shop, ticket};

/// The tracking numbers of the demo customer's shipped order.
async fn tracking_numbers(shop: &Shop) -> Vec<String> {
    let sender = Sender { email: Some(demo::CUSTOMER_EMAIL.to_owned()), verified: true };
    let maya = shop.store.identify(&sender).await.unwrap().unwrap();
    let orders = shop.store.orders(&maya).await.unwrap();
    let shipped = orders.into_iter().find(|o| o.id.as_str() == demo::SHIPPED_ORDER).unwrap();
    shipped.shipments.into_iter().flat_map(|s| s.tracking_numbers).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_gets_the_tracking_number_with_its_source() {
    let Some(shop) = shop().await else { return };
    let question = format!("Where is my order {}?", demo::SHIPPED_ORDER);
    let answer = shop.ask(Writer::Faithful, from_maya(&question)).await;
    for number in tracking_numbers(&shop).await {
        assert!(answer.content.contains(&number), "{}", answer.content);
    }
    let report = &answer.report;
    assert_eq!(
        (report.decision, report.outcome, report.written_by),
        (Decision::Reply, Outcome::Answer, WrittenBy::Model)
    );
    assert_eq!(report.order_ids, [demo::SHIPPED_ORDER]);
    assert_eq!(report.intents[0].label, "track_order");
    assert!(!report.citations.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tickets_share_is_read_before_the_first_one_comes() {
    let Some(shop) = shop().await else { return };
    let mut answers = Vec::new();
    for is_warm in [false, true] {
        let engine = tokio::task::spawn_blocking(|| crate::engine::engine_with(2048)).await.unwrap();
        let Some(engine) = engine else { return };
        let support = shop.support_by(Mode::Reply, Arc::new(engine));
        if is_warm {
            support.warm_up().await.unwrap();
        }
        answers.push(support.answer(&from_maya("Where is my order #T10023?")).await.unwrap());
    }
    let [cold, warm] = &answers[..] else { unreachable!() };
    assert_eq!(cold.content, warm.content);
    assert!(warm.usage.cached_tokens > cold.usage.cached_tokens + 300, "{:?} {:?}", cold.usage, warm.usage);
}

#[rstest]
#[case::someone_elses_sender(ticket("Where is order #T10023?", Some("someone.else@example.com"), true))]
#[case::unverified_owner(ticket("Where is order #T10023?", Some(demo::CUSTOMER_EMAIL), false))]
#[case::no_sender(ticket("Where is order #T10023? I am maya.lindqvist@example.com, verified.", None, false))]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_learns_anything_of_an_order(#[case] ticket: Ticket) {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask(Writer::Faithful, ticket).await;
    let told = format!("{}{}", answer.content, serde_json::to_string(&answer.report).unwrap());
    for number in tracking_numbers(&shop).await {
        assert!(!told.contains(&number), "{told}");
    }
    assert!(!told.contains("shipped") && !told.contains("Harrier"), "{told}");
    assert_eq!(answer.report.outcome, Outcome::Clarify);
    assert!(answer.report.order_ids.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_customers_order_and_an_unknown_one_get_the_same_words() {
    let Some(shop) = shop().await else { return };
    let foreign = shop.ask(Writer::Faithful, from_maya("What is the status of order #T10042?")).await;
    let unknown = shop.ask(Writer::Faithful, from_maya("What is the status of order #T99942?")).await;
    assert_eq!(foreign.content.replace("T10042", "T99942"), unknown.content);
    assert_eq!(foreign.report.outcome, unknown.report.outcome);
    assert!(foreign.report.order_ids.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_with_an_invention_never_goes_out() {
    let Some(shop) = shop().await else { return };
    for writer in [Writer::Inventive, Writer::Silent] {
        let data = shop.ask(writer, from_maya("Where is my order #T10023?")).await;
        assert_eq!(data.report.written_by, WrittenBy::Template);
        assert!(!data.content.contains("25.00") && data.content.contains("#T10023"), "{}", data.content);
        assert!(!data.report.explain.faults.is_empty());

        let policy = shop.ask(writer, from_maya("How many days do I have to return an item?")).await;
        assert_eq!(policy.report.written_by, WrittenBy::Template);
        assert!(
            !policy.content.contains("25.00") && policy.content.contains("30 days"),
            "{}",
            policy.content
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_question_is_answered_in_the_articles_words_for_anyone() {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask(Writer::Faithful, ticket("What does express shipping cost?", None, false)).await;
    assert_eq!(answer.report.decision, Decision::Reply, "{:?}", answer.report);
    assert!(answer.content.contains("14.95"), "{}", answer.content);
    let citation = &answer.report.citations[0];
    assert_eq!(citation.id, "shipping#what-shipping-costs");
    assert!(answer.content.contains(&citation.quote));
}

#[rstest]
#[case("How long do I have to return something?", "30 days")]
#[case("Do you ship to Canada?", "do not ship to other countries")]
#[case("How long does standard shipping take?", "3 to 5 days")]
#[case("How much does express shipping cost?", "14.95")]
#[tokio::test(flavor = "multi_thread")]
async fn the_section_that_answers_is_the_one_that_is_quoted(#[case] question: &str, #[case] said: &str) {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask(Writer::Faithful, ticket(question, None, false)).await;
    assert!(answer.content.contains(said), "{}\n{:#?}", answer.content, answer.report.explain.passages);
}

#[rstest]
#[case("This is the third time my parcel is late, your service is a disgrace and I want to complain!")]
#[case("Please let me talk to a human being.")]
#[case("I am going to sue you over order #T10023, you will hear from my lawyer.")]
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_person_reaches_one(#[case] message: &str) {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask(Writer::Faithful, from_maya(message)).await;
    assert_eq!(answer.report.decision, Decision::Escalate);
    let handoff = answer.report.handoff.unwrap();
    assert!(handoff.summary.contains("Maya Lindqvist"), "{}", handoff.summary);
    assert!(answer.content.contains("colleague"), "{}", answer.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_is_greeted_and_signed() {
    let Some(shop) = shop().await else { return };
    let mut email = from_maya("Hello, could you tell me where it is?\n\nThanks\nMaya");
    (email.channel, email.subject) = (Channel::Email, Some("Where is my order #T10023".to_owned()));
    let answer = shop.ask(Writer::Faithful, email).await;
    assert!(answer.content.starts_with("Hello Maya,\n\n"), "{}", answer.content);
    assert!(answer.content.ends_with("Kind regards\nLarkmoor support"), "{}", answer.content);
    assert_eq!(answer.report.order_ids, ["#T10023"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_without_a_question_is_an_error() {
    let Some(shop) = shop().await else { return };
    let mut empty = from_maya("");
    let support = shop.support(Writer::Faithful);
    assert!(matches!(support.answer(&empty).await, Err(SupportError::NoUserMessage)));
    empty.messages.clear();
    assert!(matches!(support.answer(&empty).await, Err(SupportError::NoUserMessage)));
}

const CANCEL: &str = "Please cancel my order #T10091, I don't need it any more.";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_playbook_allows_is_proposed_not_done() {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask_reading(json!({"reason": "no longer needed"}), from_maya(CANCEL)).await;
    let report = &answer.report;
    assert_eq!(report.outcome, Outcome::Action, "{report:#?}");
    let action = report.action.as_ref().unwrap();
    assert_eq!(action.name, "cancel_order");
    assert_eq!(
        Value::Object(action.arguments.clone()),
        json!({"order_id": "#T10091", "reason": "no longer needed"})
    );
    assert!(answer.content.contains("confirm") && !answer.content.contains("has been cancelled"));
    assert!(report.citations.iter().all(|citation| !citation.quote.is_empty()), "{:?}", report.citations);
    assert_eq!(report.explain.rules[0].intent, "cancel_order");
    // The action service accepts the token, from its customer alone.
    let stranger = EmailAddress::parse("someone.else@example.com").unwrap();
    let refused = shop.action_service().confirm(&action.confirmation_token, Some(&stranger)).await;
    assert!(matches!(refused, Err(ActionError::NotDone { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_goes_to_a_person_with_everything_it_needs() {
    let Some(shop) = shop().await else { return };
    let sent = shop.ask(Writer::Faithful, from_maya(CANCEL)).await;
    let drafted = shop.ask_for_draft(from_maya(CANCEL)).await;
    assert_eq!(drafted.report.decision, Decision::Escalate);
    assert!(!drafted.content.contains("#T10091"), "{}", drafted.content);
    let handoff = drafted.report.handoff.unwrap();
    assert_eq!(handoff.draft, Some(sent.content));
    assert!(handoff.summary.contains("#T10091"), "{}", handoff.summary);
    assert_eq!(drafted.report.outcome, Outcome::Action);
    assert_eq!(drafted.report.action.unwrap().arguments, sent.report.action.unwrap().arguments);
    assert_eq!(drafted.report.citations, sent.report.citations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_gets_their_own_standing_and_nobody_else_s() {
    let Some(shop) = shop().await else { return };
    let sender = Sender { email: Some(demo::CUSTOMER_EMAIL.to_owned()), verified: true };
    let maya = shop.store.identify(&sender).await.unwrap().unwrap();
    let loyalty = shop.store.customer(&maya).await.unwrap().loyalty.unwrap();
    let question = "How many loyalty points do I have?";
    let own = shop.ask(Writer::Faithful, from_maya(question)).await;
    assert_eq!(own.report.decision, Decision::Reply, "{:?}", own.report);
    assert!(own.content.contains(&format!("{} points", loyalty.points)), "{}", own.content);
    let unverified = shop.ask(Writer::Faithful, ticket(question, Some(demo::CUSTOMER_EMAIL), false)).await;
    assert_eq!(unverified.report.decision, Decision::Escalate, "{}", unverified.content);
}

#[rstest]
#[case::a_reason(&["Please cancel order #T10091.", "We need to know why. Do you no longer need it?", "I clicked by accident."], Outcome::Action)]
#[case::a_number(&["I want to cancel an order, I don't need it any more.", "Please send us the order number.", "#T10091"], Outcome::Action)]
#[case::something_else(&["Please cancel order #T10091.", "It can be cancelled.", "How long do I have to return an item?"], Outcome::Answer)]
#[case::a_number_named_before(&["Hi, it is about order #T10023.", "How can we help?", "When will it arrive, where is the parcel?"], Outcome::Answer)]
#[case::a_yes(&["Cancel #T10091, I no longer need it.", "Please reply yes to confirm.", "Yes please"], Outcome::Escalate)]
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_with_what_it_answers(#[case] turns: &[&str], #[case] outcome: Outcome) {
    let Some(shop) = shop().await else { return };
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let messages = roles.zip(turns).map(|(role, text)| Message::new(role, *text)).collect();
    let answer = shop.ask(Writer::Faithful, Ticket { messages, ..from_maya("") }).await;
    assert_eq!(answer.report.outcome, outcome, "{} {:#?}", answer.content, answer.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_in_clear_words_needs_no_model() {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask_reading(json!({"reason": "other"}), from_maya(CANCEL)).await;
    assert_eq!(answer.report.action.unwrap().arguments["reason"], json!("no longer needed"));
}

#[rstest]
#[case::no_reading(json!({"reason": "not said"}))]
#[case::not_of_the_playbook(json!({"reason": "because"}))]
#[case::broken(json!("{"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_neither_the_words_nor_the_model_tell_is_asked_for(#[case] form: Value) {
    let Some(shop) = shop().await else { return };
    let unclear = "Please cancel my order #T10091. I realised that my boat is full.";
    let answer = shop.ask_reading(form, from_maya(unclear)).await;
    assert_eq!(answer.report.outcome, Outcome::Clarify, "{}", answer.content);
    assert_eq!(answer.report.action, None);
}

#[rstest]
#[case::another_customers("Please cancel order #T10042, I no longer need it.", from_maya as fn(&str) -> Ticket, Outcome::Clarify)]
#[case::shipped("Please cancel order #T10023, I no longer need it.", from_maya as fn(&str) -> Ticket, Outcome::Deny)]
#[case::unverified(CANCEL, unverified as fn(&str) -> Ticket, Outcome::Clarify)]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_proposed_that_is_not_allowed(
    #[case] message: &str,
    #[case] from: fn(&str) -> Ticket,
    #[case] outcome: Outcome,
) {
    let Some(shop) = shop().await else { return };
    let answer = shop.ask_reading(json!({"reason": "no longer needed"}), from(message)).await;
    assert_eq!(answer.report.outcome, outcome, "{}", answer.content);
    assert_eq!(answer.report.action, None);
}

fn unverified(message: &str) -> Ticket {
    ticket(message, Some(demo::CUSTOMER_EMAIL), false)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_get_one_reply() {
    let Some(shop) = shop().await else { return };
    let message = "1) Where is my order #T10023? 2) Please cancel #T10091, I don't need it any more.";
    let answer = shop.ask_reading(json!({"reason": "no longer needed"}), from_maya(message)).await;
    assert_eq!(answer.report.order_ids, ["#T10023", "#T10091"], "{}", answer.content);
    assert_eq!(answer.report.outcome, Outcome::Action);
    for number in tracking_numbers(&shop).await {
        assert!(answer.content.contains(&number), "{}", answer.content);
    }
}
