//! Tests of the whole room: building, searching, reopening.
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::embed::testing::{self, HashEmbed};

fn article(id: &str, text: &str) -> Article {
    Article { id: id.to_owned(), title: id.to_owned(), text: text.to_owned() }
}

/// A small shop's help pages.
fn shop() -> Vec<Passage> {
    passages(&[
        article(
            "returns",
            "# Sending things back\n\
             Most things that you buy from us can come back.\n\
             ## How long you have\n\
             You can return an article within 30 days after it was delivered. Between November and \
             Christmas the period is extended until the end of January.\n\
             ## What cannot come back\n\
             Underwear, opened cosmetics and anything engraved or made to measure is excluded.\n\
             ## Who pays the postage\n\
             We send you a prepaid label. If you only changed your mind, 4.90 is deducted from what \
             you get back; for faulty articles the label is free.\n\
             ## When the money arrives\n\
             Refunds go to the method you paid with, three to five working days after the parcel \
             has reached our warehouse.\n",
        ),
        article(
            "delivery",
            "# Delivery\n\
             ## Times and costs\n\
             Standard delivery takes three to five working days and costs 3.90. It is free from 50 \
             upwards. Express arrives the next working day and costs 9.90.\n\
             ## Countries\n\
             We send to all of the European Union, Norway, Switzerland and the United Kingdom. \
             Customs duties outside the Union are yours to pay.\n\
             ## If you are not at home\n\
             The courier tries twice, then leaves the parcel at a pickup shop nearby, where it is \
             kept for a week.\n\
             ## Parcels that do not turn up\n\
             If the tracking has not moved for five days, tell us. We start a search with the \
             carrier and send a replacement if nothing is found within ten days.\n",
        ),
        article(
            "orders",
            "# Orders\n\
             ## Cancelling\n\
             As long as the warehouse has not begun packing, an order can be cancelled free of \
             charge.\n\
             ## Changing an order\n\
             Size, colour and quantity can be changed once, until packing begins.\n\
             ## Another address\n\
             If you have moved or mistyped your address, the place where a parcel is sent can be \
             corrected until it is handed to the carrier.\n",
        ),
        article(
            "payment",
            "# Payment\n\
             ## Ways to pay\n\
             Visa, Mastercard, PayPal, bank transfer and our own gift cards are accepted. We do \
             not take cheques or cash.\n\
             ## Paying in parts\n\
             From 100 upwards, the sum can be split into three monthly instalments without \
             interest.\n\
             ## Invoices\n\
             The invoice comes as a PDF with the dispatch mail. A VAT number can be added in your \
             profile.\n\
             ## Declined cards\n\
             If your bank refuses a card, check its limit and the 3-D Secure app, or use another \
             method.\n",
        ),
        article(
            "account",
            "# Your account\n\
             ## Forgotten passwords\n\
             Ask for a reset link on the sign-in page; it is valid for one hour.\n\
             ## Closing your account\n\
             We erase your data within 14 days of your request. Invoices are kept as the law \
             demands.\n\
             ## Points\n\
             Every euro spent earns a point. 200 points are worth a voucher of 5, and they expire \
             after two years.\n\
             ## Guarantee and repairs\n\
             Electrical appliances carry a guarantee of two years. We repair or replace them; wear \
             and water damage are not covered.\n",
        ),
    ])
}

fn build(embed: Arc<dyn Embed>) -> Index {
    Index::build(shop(), embed).unwrap()
}

fn found(index: &Index, query: &str, k: usize) -> Vec<String> {
    let hits = index.search(query, k).unwrap();
    hits.iter().map(|hit| hit.passage.id.clone()).collect()
}

/// Counts the texts that it embeds.
struct Counting {
    inner: HashEmbed,
    n_texts: AtomicUsize,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: HashEmbed::new(128), n_texts: AtomicUsize::new(0) })
    }

    fn n_texts(&self) -> usize {
        self.n_texts.load(Ordering::Relaxed)
    }
}

impl Embed for Counting {
    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.n_texts.fetch_add(texts.len(), Ordering::Relaxed);
        self.inner.embed(texts)
    }
}

#[test]
fn a_hit_tells_why_it_was_found() {
    let index = build(Arc::new(HashEmbed::new(256)));
    let hits = index.search("do you take cheques", 3).unwrap();
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[0].passage.id, "payment#ways-to-pay");
    assert_eq!(hits[0].lexical.map(|(rank, _)| rank), Some(1));
    assert!(hits.is_sorted_by(|a, b| a.score >= b.score));
    for hit in &hits {
        assert!(hit.lexical.is_some() || hit.dense.is_some());
        assert!(hit.dense.is_none_or(|(_, similarity)| (-1.001..=1.001).contains(&similarity)));
    }
}

#[test]
fn asking_for_more_hits_does_not_change_the_first() {
    let index = build(Arc::new(HashEmbed::new(256)));
    for query in ["free delivery to Norway", "invoice", "parcel not at home"] {
        let many = index.search(query, 10).unwrap();
        assert_eq!(index.search(query, 3).unwrap(), many[..3]);
    }
}

#[test]
fn no_more_hits_than_asked_for_or_there_are() {
    let index = build(Arc::new(HashEmbed::new(256)));
    assert!(index.search("refund", 0).unwrap().is_empty());
    assert_eq!(index.search("refund", 2).unwrap().len(), 2);
    assert_eq!(index.search("refund", 1000).unwrap().len(), index.passages().len());
    let empty = Index::build(Vec::new(), Arc::new(HashEmbed::new(256))).unwrap();
    assert!(empty.search("refund", 3).unwrap().is_empty());
}

#[test]
fn reopening_embeds_no_passage_and_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let embed = Counting::new();
    let first = Index::open_or_build(dir.path(), shop(), embed.clone()).unwrap();
    let after_first = embed.n_texts();
    let second = Index::open_or_build(dir.path(), shop(), embed.clone()).unwrap();
    assert_eq!(embed.n_texts() - after_first, 1, "only the probe may be embedded");
    for query in ["refund to my card", "express delivery price", "lost password"] {
        assert_eq!(first.search(query, 5).unwrap(), second.search(query, 5).unwrap());
    }
}

#[test]
fn changed_passages_are_embedded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let embed = Counting::new();
    Index::open_or_build(dir.path(), shop(), embed.clone()).unwrap();
    let mut changed = shop();
    changed[0].text.push_str(" Hedgehogs are welcome.");
    let before = embed.n_texts();
    let index = Index::open_or_build(dir.path(), changed.clone(), embed.clone()).unwrap();
    assert_eq!(embed.n_texts() - before, 1 + changed.len());
    assert_eq!(found(&index, "are hedgehogs welcome", 1), [changed[0].id.clone()]);
}

#[test]
fn a_corrupted_file_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let embed = Counting::new();
    let first = Index::open_or_build(dir.path(), shop(), embed.clone()).unwrap();
    let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"not a safetensors file").unwrap();

    let again = Index::open_or_build(dir.path(), shop(), embed.clone()).unwrap();
    let query = "how long does a refund take";
    assert_eq!(first.search(query, 5).unwrap(), again.search(query, 5).unwrap());
    let before = embed.n_texts();
    Index::open_or_build(dir.path(), shop(), embed.clone()).unwrap();
    assert_eq!(embed.n_texts() - before, 1, "the file was not repaired");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = Index::open_or_build(&file, shop(), Counting::new()).err().unwrap();
    assert!(error.to_string().contains("a-file"), "{error}");
}

#[test]
fn the_real_model_finds_the_section_that_a_question_is_about() {
    let Some(embed) = testing::real_model() else {
        return;
    };
    let questions = [
        ("Until when may I send the shoes back?", "returns#how-long-you-have"),
        ("is the return window longer around xmas", "returns#how-long-you-have"),
        ("can I bring back a ring with my name on it", "returns#what-cannot-come-back"),
        ("do I have to pay for the return shipping?", "returns#who-pays-the-postage"),
        ("where's my money, I sent it back last week", "returns#when-the-money-arrives"),
        ("how fast is your fastest shipping and what does it cost", "delivery#times-and-costs"),
        ("minimum for free shipping?", "delivery#times-and-costs"),
        ("do you ship to Zurich", "delivery#countries"),
        ("what if nobody is in when the courier comes", "delivery#if-you-are-not-at-home"),
        ("my package seems to be lost", "delivery#parcels-that-do-not-turn-up"),
        ("I want to call off my purchase", "orders#cancelling"),
        ("can I still get it in blue instead of red, it hasn't shipped", "orders#changing-an-order"),
        ("I moved house, please send it somewhere else", "orders#another-address"),
        ("which credit cards work here", "payment#ways-to-pay"),
        ("can I pay bit by bit", "payment#paying-in-parts"),
        ("need a receipt for my tax office", "payment#invoices"),
        ("my visa gets rejected at checkout", "payment#declined-cards"),
        ("i cant log in anymore", "account#forgotten-passwords"),
        ("delete everything you know about me", "account#closing-your-account"),
        ("the toaster broke after a year", "account#guarantee-and-repairs"),
    ];
    let index = build(embed);
    let missed: Vec<_> = questions
        .iter()
        .map(|(question, section)| (question, section, found(&index, question, 3)))
        .filter(|(_, section, found)| !found.iter().any(|id| id == *section))
        .collect();
    assert!(missed.is_empty(), "not among the first three: {missed:#?}");
}
