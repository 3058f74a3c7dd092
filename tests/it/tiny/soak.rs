//! The batched engine under random load: every sequence equals its solo run, bit by bit, whatever
//! ran beside it, came from the cache, was preempted or guessed ahead; and nothing is left behind.

use std::{sync::Arc, time::Duration};

use candle_core::{DType, quantized::GgmlDType};
use futures::StreamExt;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use tier0::{
    engine::{
        Engine, EngineError, Event, Generate, LoadedModel, ModelInfo, Priority, Request, Sampler, Sampling,
        Speculation, Unobserved,
    },
    model::{
        Batch, CausalLm, ChatTemplate, Decoder, Forward, Gguf, KvCacheSpec, Logits, SequenceSlice, TokenId,
        Tokenizer,
    },
};

use super::{
    super::models,
    files::{Architecture, Recipe, TinyFile, blocks_in_order},
    tokenizers,
};

const CONTEXT_LENGTH: usize = 96;

/// A pool with room for `n_tokens`.
fn pool(n_tokens: usize, block_size: usize) -> KvCacheSpec {
    KvCacheSpec { n_blocks: n_tokens / block_size, block_size }
}

/// A model whose weights' products are the project's own: the same bits for one row and many.
fn tiny() -> Gguf {
    let recipe = Recipe { n_vocab: 272, ..Recipe::of(Architecture::Qwen2) };
    let mut file = TinyFile::random(&recipe, GgmlDType::F32);
    let tokenizer = tokenizers::byte_level("qwen2");
    file.metadata.extend(tokenizer.into_iter().filter(|(key, _)| key.starts_with("tokenizer.")));
    Gguf::open(file.save().path()).unwrap()
}

/// What a request yields: its text, and the bits of every token's log-probability.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Yield {
    text: String,
    logprobs: Vec<u32>,
    tokens: Vec<Vec<u8>>,
}

/// Random requests for at most so many tokens each; many begin alike.
fn requests(n: usize, most_tokens: usize) -> Vec<Request> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut tokens = |n: usize| -> Vec<TokenId> {
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        (0..n).map(|_| TokenId(rng.random_range(0..256))).collect()
    };
    let beginnings: Vec<Vec<TokenId>> = [0, 5, 16, 30, 31].map(&mut tokens).into();
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    (0..n)
        .map(|i| {
            let beginning = beginnings.choose(&mut rng).unwrap();
            // Some prompts repeat themselves, so that guesses come true now and then.
            let own = tokens(rng.random_range(1..20));
            let own = if rng.random_bool(0.3) { own.repeat(2) } else { own };
            let temperature = if rng.random_bool(0.5) { 0.0 } else { 0.7 };
            Request {
                max_tokens: Some(rng.random_range(1..=most_tokens)),
                sampling: Sampling { temperature, top_p: 0.95, seed: i as u64, ..Sampling::default() },
                n_logprobs: Some(0),
                speculation: if rng.random_bool(0.5) { Speculation::Prompt } else { Speculation::Off },
                priority: if rng.random_bool(0.3) { Priority::Batch } else { Priority::Interactive },
                ..Request::new([beginning.as_slice(), &own].concat())
            }
        })
        .collect()
}

/// A request by itself: the whole prompt in one pass, then token by token, nothing cached.
fn solo(decoder: &Arc<Decoder>, tokenizer: &Tokenizer, block_size: usize, request: &Request) -> Yield {
    let pool = pool(CONTEXT_LENGTH, block_size);
    let mut model = CausalLm::new(Arc::clone(decoder), decoder.new_cache(pool, DType::BF16).unwrap());
    let blocks = blocks_in_order(pool.n_blocks as u32);
    let mut sampler = Sampler::new(request.sampling.clone(), &request.prompt);
    let mut text = tokenizer.decoder();
    let (mut next, mut offset) = (request.prompt.clone(), 0);
    let mut logits = Logits::default();
    let mut result = Yield::default();
    for _ in 0..request.max_tokens.unwrap() {
        let slice = SequenceSlice { tokens: &next, offset, blocks: &blocks, n_sampled: 1 };
        model.forward(&Batch::new(&[slice], block_size).unwrap(), &mut logits).unwrap();
        let row = logits.rows().next().unwrap();
        let token = sampler.sample(row, None);
        if tokenizer.is_end(token) {
            break;
        }
        result.logprobs.push(logprob(row, token).to_bits());
        result.tokens.push(tokenizer.bytes(token).to_vec());
        result.text.push_str(&text.push(tokenizer.bytes(token)));
        offset += next.len();
        next = vec![token];
    }
    result.text.push_str(&text.finish());
    result
}

fn logprob(row: &[f32], token: TokenId) -> f32 {
    (f64::from(row[token.0 as usize]) - tier0_kernels::log_sum_exp(row)) as f32
}

/// Reads a request's events; gives up after `patience` of them. `None` if it gave up.
async fn read(engine: &Engine, request: Request, patience: usize) -> Option<Yield> {
    let mut events = loop {
        match engine.submit(request.clone()) {
            Ok(events) => break events,
            Err(EngineError::QueueFull { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    };
    let mut result = Yield::default();
    for _ in 0..patience {
        match events.next().await.unwrap().unwrap() {
            Event::Text(piece) => result.text.push_str(&piece),
            Event::Logprob(token) => {
                result.logprobs.push(token.logprob.to_bits());
                result.tokens.push(token.bytes);
            }
            Event::Finished { .. } => return Some(result),
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_requests_equal_their_solo_runs_and_leave_nothing_behind() {
    // Room for one and a half of the longest sequences: preemption is the rule.
    soak(tiny(), requests(2_000, 17), pool(CONTEXT_LENGTH * 3 / 2, 4)).await;
}

/// The same with a real model: the kernels' large shapes, and the block size that the server has.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_the_135m_equal_their_solo_runs() {
    let _turn = models::my_turn().await;
    let Some(model) = models::local("smollm2-135m-instruct") else { return };
    let gguf = Gguf::open(&model.gguf().unwrap()).unwrap();
    soak(gguf, requests(150, 26), pool(96, 16)).await;
}

/// Puts an engine under random load and compares each request that runs to its end with its solo run.
async fn soak(gguf: Gguf, requests: Vec<Request>, pool: KvCacheSpec) {
    let tokenizer = Tokenizer::from_gguf(&gguf).unwrap();
    let template = ChatTemplate::from_gguf(&gguf, &tokenizer).unwrap();
    let decoder = Arc::new(Decoder::load(&gguf, CONTEXT_LENGTH, &candle_core::Device::Cpu).unwrap());
    let n_requests = requests.len();
    let alone = requests.iter().map(|request| solo(&decoder, &tokenizer, pool.block_size, request));
    let expected: Vec<Yield> = alone.collect();

    let cache = decoder.new_cache(pool, DType::BF16).unwrap();
    let model = CausalLm::new(decoder, cache);
    let info = ModelInfo { id: "soak".to_owned(), context_length: CONTEXT_LENGTH };
    let loaded = LoadedModel { model, tokenizer, template, info };
    let engine = Engine::start(loaded, Arc::new(Unobserved)).unwrap();

    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let mut readers = Vec::new();
    for request in requests {
        // A fifth of the readers leave early, some before anything has come.
        let patience = if rng.random_bool(0.2) { rng.random_range(0..6) } else { usize::MAX };
        let engine = engine.clone();
        readers.push(tokio::spawn(async move { read(&engine, request, patience).await }));
        if rng.random_bool(0.05) {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..8))).await;
        }
    }
    let mut n_compared = 0;
    for (i, (reader, expected)) in readers.into_iter().zip(expected).enumerate() {
        if let Some(found) = reader.await.unwrap() {
            assert_eq!(found, expected, "request {i}");
            n_compared += 1;
        }
    }
    assert!(n_compared > n_requests / 2, "only {n_compared} ran to their end");

    // Those that left last may still be on their way out.
    for _ in 0..1000 {
        let stats = engine.stats();
        if stats.n_running + stats.n_waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stats = engine.stats();
    assert_eq!((stats.n_running, stats.n_waiting, stats.n_used_blocks), (0, 0, 0), "{stats:?}");
    eprintln!("{n_requests} requests: {stats:?}");
    assert!(stats.n_preemptions > 0 && stats.n_hit_tokens > 0, "the load was too light: {stats:?}");
}
