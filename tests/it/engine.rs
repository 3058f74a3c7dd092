//! The engine over a real model: streams, seeds, stops, cancellation, refusals.

use std::sync::Arc;

use candle_core::{DType, Device};
use futures::StreamExt;
use serde_json::json;
use tier0::{
    engine::{
        Engine, EngineError, Event, FinishReason, Generate, Grammar, LoadSpec, Request, Sampling,
        Speculation, Unobserved, Usage,
    },
    model::{
        TokenId,
        chat::{Message, Role},
    },
};

use crate::models;

const MODEL: &str = "smollm2-135m-instruct";
const CONTEXT_LENGTH: usize = 512;
/// Requests with a grammar, among as many without one: for every run of the tests, and for a thorough one.
const N_CONSTRAINED: u64 = 12;
const N_CONSTRAINED_THOROUGH: u64 = 100;

fn engine() -> Option<Engine> {
    engine_with(CONTEXT_LENGTH)
}

/// The small model, alone; `None`, with a message, where it is not to be had.
pub(crate) fn engine_with(context_length: usize) -> Option<Engine> {
    let path = models::local(MODEL)?.gguf().unwrap();
    let spec = LoadSpec {
        id: MODEL.to_owned(),
        path,
        device: Device::Cpu,
        context_length,
        kv_memory_bytes: 64 << 20,
        kv_type: DType::BF16,
        observer: Arc::new(Unobserved),
    };
    Some(Engine::load(&spec).unwrap())
}

fn request(prompt: Vec<TokenId>, max_tokens: usize) -> Request {
    Request { max_tokens: Some(max_tokens), ..Request::new(prompt) }
}

fn question(engine: &Engine) -> Vec<TokenId> {
    engine.chat_prompt(&[Message::new(Role::User, "Name three colours and say why you like them.")]).unwrap()
}

/// All text of a generation, and how it ended.
async fn run(engine: &Engine, request: Request) -> (String, FinishReason, Usage) {
    let mut events = engine.submit(request).unwrap();
    let mut text = String::new();
    while let Some(event) = events.next().await {
        match event.unwrap() {
            Event::Text(piece) => {
                assert!(!piece.is_empty());
                text.push_str(&piece);
            }
            Event::Logprob(_) => panic!("none was asked for"),
            Event::Finished { reason, usage } => {
                assert!(events.next().await.is_none(), "nothing comes after the end");
                return (text, reason, usage);
            }
        }
    }
    panic!("the stream ended without an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_answers_and_every_promise_of_a_request_holds() {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let prompt = question(&engine);

    let (whole, reason, usage) = run(&engine, request(prompt.clone(), 40)).await;
    assert!(!whole.is_empty());
    assert_eq!(usage.prompt_tokens, prompt.len());
    assert_eq!((reason, usage.completion_tokens), (FinishReason::Length, 40));
    assert_eq!(run(&engine, request(prompt.clone(), 40)).await.0, whole, "greedy is deterministic");

    // A stop string cuts the same text before its first occurrence.
    let stop = whole.split_whitespace().nth(5).unwrap().to_owned();
    let (cut, reason, _) =
        run(&engine, Request { stop: vec![stop.clone()], ..request(prompt.clone(), 40) }).await;
    assert_eq!(reason, FinishReason::Stop);
    assert_eq!(cut, whole[..whole.find(&stop).unwrap()]);

    let seeded = |seed| {
        let sampling = Sampling { temperature: 1.2, top_p: 0.95, seed, ..Sampling::default() };
        Request { sampling, ..request(prompt.clone(), 24) }
    };
    let first = run(&engine, seeded(1)).await.0;
    assert_eq!(run(&engine, seeded(1)).await.0, first, "a seed draws the same text again");
    assert_ne!(run(&engine, seeded(2)).await.0, first, "another seed draws another");

    let nothing = run(&engine, request(prompt.clone(), 0)).await;
    assert_eq!((nothing.0.as_str(), nothing.1), ("", FinishReason::Length));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_longer_than_a_chunk_and_the_contexts_end_are_no_trouble() {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let words = "The shop opens at nine. ".repeat(100);
    let mut prompt = engine.text_prompt(&words).unwrap();
    assert!(prompt.len() > CONTEXT_LENGTH);
    prompt.truncate(CONTEXT_LENGTH - 10);
    let asked = Request { max_tokens: None, ..request(prompt, 0) };
    let (text, reason, usage) = run(&engine, asked).await;
    assert!(text.contains("The shop opens at nine."), "{text}");
    assert_eq!((reason, usage.completion_tokens), (FinishReason::Length, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_frees_the_engine() {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let prompt = question(&engine);
    let started = std::time::Instant::now();
    let (_, _, short) = run(&engine, request(prompt.clone(), 8)).await;
    let one_short = started.elapsed();
    assert_eq!(short.completion_tokens, 8);
    // Ten generations of 400 tokens, each dropped: at its first event, or while it still waits.
    for _ in 0..5 {
        let mut running = engine.submit(request(prompt.clone(), 400)).unwrap();
        let waiting = engine.submit(request(prompt.clone(), 400)).unwrap();
        running.next().await.unwrap().unwrap();
        drop((running, waiting));
    }
    let started = std::time::Instant::now();
    run(&engine, request(prompt, 8)).await;
    let after = started.elapsed();
    // Not dropped, they would be 4,000 tokens: some 500 times the short one.
    assert!(after < one_short * 60, "{after:?} after cancelling, {one_short:?} before");
}

#[tokio::test]
async fn what_cannot_run_is_refused_at_the_door() {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let too_long = request(vec![TokenId(5); CONTEXT_LENGTH], 1);
    match engine.submit(too_long).err().unwrap() {
        EngineError::PromptTooLong { prompt_tokens, context_length } => {
            assert_eq!((prompt_tokens, context_length), (CONTEXT_LENGTH, CONTEXT_LENGTH));
        }
        other => panic!("{other}"),
    }
    assert!(matches!(engine.submit(request(Vec::new(), 1)).err().unwrap(), EngineError::EmptyPrompt));
    let shared: Arc<dyn Generate> = Arc::new(engine);
    assert_eq!(shared.info().id, MODEL);
}

/// A ticket's extraction as a later stage will ask for it: nested, with numbers, lists and choices.
fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "intent": {"enum": ["return", "exchange", "question"]},
            "order": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "pattern": "^#T[0-9]{5}$"},
                    "items": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string", "maxLength": 12}, "quantity": {"type": "integer", "minimum": 1, "maximum": 9}},
                            "required": ["name", "quantity"],
                            "additionalProperties": false
                        },
                        "minItems": 1,
                        "maxItems": 2
                    }
                },
                "required": ["id", "items"],
                "additionalProperties": false
            },
            "urgent": {"type": "boolean"}
        },
        "required": ["intent", "order", "urgent"],
        "additionalProperties": false
    })
}

/// Whether a text is JSON of [`schema`].
fn fits(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let id = value["order"]["id"].as_str().unwrap_or_default();
    let items = value["order"]["items"].as_array().cloned().unwrap_or_default();
    let item_fits = |item: &serde_json::Value| {
        item["name"].as_str().is_some_and(|n| n.chars().count() <= 12)
            && item["quantity"].as_u64().is_some_and(|q| (1..=9).contains(&q))
            && item.as_object().is_some_and(|o| o.len() == 2)
    };
    ["return", "exchange", "question"].contains(&value["intent"].as_str().unwrap_or_default())
        && id.len() == 7
        && id.starts_with("#T")
        && id[2..].bytes().all(|b| b.is_ascii_digit())
        && (1..=2).contains(&items.len())
        && items.iter().all(item_fits)
        && value["urgent"].is_boolean()
        && value.as_object().is_some_and(|o| o.len() == 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn constrained_requests_among_others_yield_json_of_their_schema() {
    constrained_among_others(N_CONSTRAINED).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; the same with fewer requests runs always"]
async fn a_hundred_constrained_requests_yield_json_of_their_schema() {
    constrained_among_others(N_CONSTRAINED_THOROUGH).await;
}

async fn constrained_among_others(n_constrained: u64) {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let prompt =
        engine.chat_prompt(&[Message::new(Role::User, "I want to return two lamps of #T10023.")]).unwrap();
    let mut running = Vec::new();
    for seed in 0..n_constrained * 2 {
        let sampling = Sampling { temperature: 1.0, seed, ..Sampling::default() };
        let grammar = (seed % 2 == 0).then(|| Grammar::JsonSchema(schema()));
        let is_constrained = grammar.is_some();
        let request = Request {
            sampling,
            grammar,
            speculation: if seed % 4 == 0 { Speculation::Prompt } else { Speculation::Off },
            ..request(prompt.clone(), 90)
        };
        let engine = engine.clone();
        running.push(tokio::spawn(async move { (is_constrained, run(&engine, request).await) }));
    }
    let mut n_whole = 0_u64;
    for task in running {
        let (is_constrained, (text, reason, _)) = task.await.unwrap();
        if is_constrained && reason == FinishReason::Stop {
            assert!(fits(&text), "{text}");
            n_whole += 1;
        }
    }
    // The rest ran into their limit: a model this small likes to go on.
    assert!(n_whole >= n_constrained / 2, "only {n_whole} of {n_constrained} came to their end");
}

#[tokio::test]
async fn a_grammar_that_cannot_be_used_is_refused_at_the_door() {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let wrong = Grammar::JsonSchema(json!({"type": "no such type"}));
    let asked = Request { grammar: Some(wrong), ..request(question(&engine), 8) };
    assert!(matches!(engine.submit(asked).err().unwrap(), EngineError::Grammar { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_beginning_is_computed_once() {
    let _turn = models::my_turn().await;
    let Some(engine) = engine() else { return };
    let beginning = engine.text_prompt(&"Our shop answers with care. ".repeat(30)).unwrap();
    let ask = |question: &str| [beginning.clone(), engine.text_prompt(question).unwrap()].concat();
    let (_, _, first) = run(&engine, request(ask("Is it open?"), 2)).await;
    assert_eq!(first.cached_tokens, 0);
    let (_, _, second) = run(&engine, request(ask("Where is it?"), 2)).await;
    assert!(second.cached_tokens >= beginning.len() - 1, "{second:?} of {}", beginning.len());

    // Two equal prompts in the same step, and guessing ahead, change nothing.
    let twice = ask("Our shop answers with");
    let guessing = Request { speculation: Speculation::Prompt, ..request(twice.clone(), 24) };
    let (plain, same, guessed) = tokio::join!(
        run(&engine, request(twice.clone(), 24)),
        run(&engine, request(twice.clone(), 24)),
        run(&engine, guessing)
    );
    assert_eq!(plain.0, same.0);
    assert_eq!(plain.0, guessed.0);
}
