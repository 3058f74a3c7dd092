//! How fast attention is, for the shapes of the models that tier0 runs.
//!
//! Criterion reports operations a second, a multiplication and an addition being two. At the end
//! stands a table with the fraction of the peak of f32 multiply-adds, measured in the same run, and
//! for decode the rate at which keys and values are read.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros; a benchmark prints its results")]

use common::{Load, Peak, Report};
use criterion::{BenchmarkGroup, measurement::WallTime};
use half::bf16;
use tier0_kernels::{AttentionParams, AttentionRow, paged_attention};

mod common;

/// Name, query heads, KV heads and length of a head.
const MODELS: [(&str, usize, usize, usize); 3] =
    [("SmolLM2 135M", 9, 3, 64), ("Qwen2.5 0.5B", 14, 2, 64), ("Qwen2.5 1.5B", 12, 2, 128)];
const BLOCK_SIZE: usize = 16;
/// Elements of keys, and of values, that one measurement goes through, so that they come from memory
/// as in a model of many layers.
const CACHE_ELEMENTS: usize = 48 << 20;

/// Sequences that each have as many new tokens, behind as many cached ones.
struct Batch {
    name: &'static str,
    n_sequences: usize,
    n_new: usize,
    n_cached: usize,
}

const BATCHES: [Batch; 8] = [
    Batch { name: "decode 1", n_sequences: 1, n_new: 1, n_cached: 127 },
    Batch { name: "decode 1", n_sequences: 1, n_new: 1, n_cached: 511 },
    Batch { name: "decode 1", n_sequences: 1, n_new: 1, n_cached: 2047 },
    Batch { name: "decode 16", n_sequences: 16, n_new: 1, n_cached: 127 },
    Batch { name: "decode 16", n_sequences: 16, n_new: 1, n_cached: 511 },
    Batch { name: "decode 16", n_sequences: 16, n_new: 1, n_cached: 2047 },
    Batch { name: "prefill", n_sequences: 1, n_new: 512, n_cached: 0 },
    Batch { name: "chunk", n_sequences: 1, n_new: 64, n_cached: 1024 },
];

fn main() {
    let mut criterion = common::criterion();
    let report = Report::new(Peak::F32MultiplyAdds);
    let keys = numbers(CACHE_ELEMENTS, 1);
    let values = numbers(CACHE_ELEMENTS, 2);
    let mut group = criterion.benchmark_group("attention");
    for (model, n_heads, n_kv_heads, head_dim) in MODELS {
        let scale = 1.0 / (head_dim as f32).sqrt();
        let params = AttentionParams { n_heads, n_kv_heads, head_dim, block_size: BLOCK_SIZE, scale };
        for batch in &BATCHES {
            bench_batch(&report, &mut group, model, batch, &params, [&keys, &values]);
        }
    }
    group.finish();
    criterion.final_summary();
    report.print();
}

/// Random numbers in ±1.
fn numbers(n: usize, seed: u64) -> Vec<bf16> {
    let mut state = seed;
    let number = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bf16::from_f32((state >> 40) as f32 / f32::from_bits(0x4b00_0000) - 1.0)
    };
    (0..n).map(number).collect()
}

fn bench_batch(
    report: &Report,
    group: &mut BenchmarkGroup<'_, WallTime>,
    model: &str,
    batch: &Batch,
    params: &AttentionParams,
    [keys, values]: [&[bf16]; 2],
) {
    let AttentionParams { n_heads, n_kv_heads, head_dim, .. } = *params;
    let end = batch.n_cached + batch.n_new;
    let per_sequence = end.div_ceil(BLOCK_SIZE);
    let layer_len = per_sequence * batch.n_sequences * BLOCK_SIZE * n_kv_heads * head_dim;
    // As many layers as the cache holds: each call is one layer.
    let n_layers = (keys.len() / layer_len).max(1);
    // The blocks of all sequences one after another in turns, as decode fills them.
    let tables: Vec<Vec<u32>> = (0..batch.n_sequences)
        .map(|sequence| (0..per_sequence).map(|i| (i * batch.n_sequences + sequence) as u32).collect())
        .collect();
    let rows: Vec<AttentionRow<'_>> = tables
        .iter()
        .flat_map(|blocks| {
            (batch.n_cached..end).map(|at| AttentionRow { first: 0, end: at + 1, blocks: blocks.as_slice() })
        })
        .collect();
    let n_seen: usize = rows.iter().map(|row| row.end).sum();
    let load = Load {
        name: format!("{model} {} at {end}", batch.name),
        operations: 4 * n_seen * n_heads * head_dim,
        bytes_read: (batch.n_new == 1).then_some(n_seen * n_kv_heads * head_dim * 2 * size_of::<bf16>()),
    };
    report.bench(group, &load, || {
        let n_query = rows.len() * n_heads * head_dim;
        let q: Vec<f32> = numbers(n_query, 3).into_iter().map(|x| 3.0 * x.to_f32()).collect();
        let mut out = vec![0f32; n_query];
        let rows = &rows;
        move |i| {
            let layer = i % n_layers * layer_len..(i % n_layers + 1) * layer_len;
            paged_attention(&q, &keys[layer.clone()], &values[layer], rows, params, &mut out);
        }
    });
}
