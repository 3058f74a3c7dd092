//! Tests of the shipped head: that it was trained on the shipped examples, and how good it is.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::embed::testing;

/// The labels that the ticket format names.
const CONTRACT: [&str; 11] = [
    "track_order",
    "order_details",
    "cancel_order",
    "return_item",
    "exchange_item",
    "change_address",
    "product_info",
    "policy_question",
    "complaint",
    "contact_human",
    "other",
];

fn shipped_examples() -> Vec<Example> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    read_examples(&root.join("examples/demo-store/intents.csv")).unwrap()
}

#[test]
fn every_label_has_enough_examples() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for example in shipped_examples() {
        *counts.entry(example.label).or_default() += 1;
    }
    for label in CONTRACT {
        assert!(counts.contains_key(label), "{label} has no examples");
    }
    for (label, n) in counts {
        assert!(n >= 40, "{label} has {n} examples");
    }
}

#[test]
fn the_shipped_head_is_the_one_of_the_shipped_examples() {
    let head = IntentHead::shipped().unwrap();
    let examples = shipped_examples();
    let labels: BTreeSet<&str> = examples.iter().map(|e| e.label.as_str()).collect();
    assert!(head.labels().iter().map(String::as_str).eq(labels));
    assert_eq!(head.facts().n_examples, examples.len(), "train the head again");
}

#[test]
fn the_shipped_head_knows_its_examples() {
    let Some(embed) = testing::real_model() else {
        return;
    };
    let classifier = Classifier::new(embed, IntentHead::shipped().unwrap()).unwrap();
    let every_tenth: Vec<Example> = shipped_examples().into_iter().step_by(10).collect();
    let evaluation = evaluate(&classifier, &every_tenth).unwrap();
    assert!(evaluation.accuracy > 0.9, "{evaluation}");
}

#[test]
fn messages_of_many_kinds_are_understood() {
    let Some(embed) = testing::real_model() else {
        return;
    };
    let classifier = Classifier::new(embed, IntentHead::shipped().unwrap()).unwrap();
    let messages = [
        ("Any idea when #W7712093 turns up?", "track_order"),
        ("I no longer need #W1120938, please cancel the order", "cancel_order"),
        ("those sandals pinch, may I have them in 41?", "exchange_item"),
        ("How many watts does the heater have?", "product_info"),
        ("put me through to somebody from your team", "contact_human"),
        ("the cup was in shards when I opened the box", "damaged_item"),
        ("I can't remember my password", "password_reset"),
        ("that is very helpful of you, thanks", "other"),
        ("Can you tell me who won the cup in 1998?", "oos"),
        ("do you put presents in gift paper?", "policy_question"),
        ("my lawyer is going to write to you", "complaint"),
    ];
    for (message, label) in messages {
        let framed = format!("Hi there,\n\n{message}\n\nMany thanks and best wishes,\nAgnieszka");
        for message in [message, &framed] {
            let scores = classifier.classify(&[message]).unwrap().remove(0).scores;
            assert_eq!(scores[0].label, label, "{message:?}: {:?}", &scores[..3]);
        }
    }
}

#[test]
fn what_is_out_of_scope_scores_above_what_is_not() {
    let Some(embed) = testing::real_model() else {
        return;
    };
    let classifier = Classifier::new(embed, IntentHead::shipped().unwrap()).unwrap();
    let oos = |message: &&str| classifier.classify(&[message]).unwrap()[0].oos;
    let foreign = [
        "how do I prune an apple tree?",
        "My rowing club is looking for a sponsor. Is that something for you?",
        "tell me the names of all your customers in Ohio",
    ];
    let ours = ["how much is the red kettle?", "my parcel has not come", "can I send the shoes back?"];
    let lowest = foreign.iter().map(oos).fold(1.0, f32::min);
    let highest = ours.iter().map(oos).fold(0.0, f32::max);
    assert!(lowest > highest, "{lowest} is not above {highest}");
}

/// What the project's labels may be for each of Bitext's.
fn accepted(bitext: &str) -> &'static [&'static str] {
    match bitext {
        "cancel_order" => &["cancel_order"],
        "change_order" => &["modify_order"],
        "change_shipping_address" | "set_up_shipping_address" => &["change_address"],
        "check_cancellation_fee" | "check_payment_methods" => &["policy_question"],
        "check_invoice" | "get_invoice" => &["invoice"],
        "check_refund_policy" => &["policy_question", "request_refund"],
        "complaint" => &["complaint"],
        "contact_customer_service" | "contact_human_agent" => &["contact_human"],
        "create_account" | "registration_problems" => &["create_account"],
        "delete_account" => &["delete_account"],
        "delivery_options" => &["delivery_info"],
        "delivery_period" => &["delivery_info", "track_order"],
        "edit_account" | "switch_account" => &["edit_account"],
        "get_refund" => &["request_refund"],
        "newsletter_subscription" => &["newsletter"],
        "payment_issue" => &["payment_issue"],
        "place_order" => &["place_order"],
        "recover_password" => &["password_reset"],
        "review" => &["review"],
        "track_order" => &["track_order"],
        "track_refund" => &["refund_status"],
        other => panic!("Bitext has no intent {other}"),
    }
}

/// Utterances that the project did not write, where this machine has them beside the checkout.
#[test]
fn the_shipped_head_understands_bitext() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bitext/dev.csv");
    let Ok(mut reader) = csv::Reader::from_path(&path) else {
        eprintln!("skipped: needs Bitext's dev.csv beside the checkout");
        return;
    };
    let Some(embed) = testing::real_model() else {
        return;
    };
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let texts: Vec<&str> = records.iter().map(|r| &r[0]).collect();
    let classifier = Classifier::new(embed, IntentHead::shipped().unwrap()).unwrap();
    let readings = classifier.classify(&texts).unwrap();
    let n_right = records
        .iter()
        .zip(&readings)
        .filter(|(record, reading)| accepted(&record[1]).contains(&reading.scores[0].label.as_str()))
        .count();
    let accuracy = n_right as f64 / records.len() as f64;
    assert!(accuracy >= 0.9, "{:.1} % of {}", 100.0 * accuracy, records.len());
}
