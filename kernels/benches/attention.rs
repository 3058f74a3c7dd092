//! How fast attention is, for the shapes of the models that tier0 runs.
//!
//! Criterion reports operations a second, a multiplication and an addition being two. At the end
//! stands a table with the fraction of the peak of f32 multiply-adds, measured in the same run, and
//! for decode the rate at which keys and values are read.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros; a benchmark prints its results")]

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use half::bf16;
use tier0_kernels::{AttentionParams, AttentionRow, InstructionSet, paged_attention, pool};

/// Name, query heads, KV heads and length of a head.
const MODELS: [(&str, usize, usize, usize); 3] =
    [("SmolLM2 135M", 9, 3, 64), ("Qwen2.5 0.5B", 14, 2, 64), ("Qwen2.5 1.5B", 12, 2, 128)];
const BLOCK_SIZE: usize = 16;
/// Elements of keys, and of values, that one measurement goes through, so that they come from memory
/// as in a model of many layers.
const CACHE_ELEMENTS: usize = 48 << 20;

/// Sequences that each have as many new tokens, behind as many cached ones.
struct Load {
    name: &'static str,
    n_sequences: usize,
    n_new: usize,
    n_cached: usize,
}

const LOADS: [Load; 8] = [
    Load { name: "decode 1", n_sequences: 1, n_new: 1, n_cached: 127 },
    Load { name: "decode 1", n_sequences: 1, n_new: 1, n_cached: 511 },
    Load { name: "decode 1", n_sequences: 1, n_new: 1, n_cached: 2047 },
    Load { name: "decode 16", n_sequences: 16, n_new: 1, n_cached: 127 },
    Load { name: "decode 16", n_sequences: 16, n_new: 1, n_cached: 511 },
    Load { name: "decode 16", n_sequences: 16, n_new: 1, n_cached: 2047 },
    Load { name: "prefill", n_sequences: 1, n_new: 512, n_cached: 0 },
    Load { name: "chunk", n_sequences: 1, n_new: 64, n_cached: 1024 },
];

/// One line of the table.
struct Measured {
    name: String,
    operations: usize,
    /// Of keys and values, in decode.
    bytes_read: Option<usize>,
    time: Duration,
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    let peak = peak_operations_a_second();
    let measured = RefCell::new(Vec::new());
    let keys = numbers(CACHE_ELEMENTS, 1);
    let values = numbers(CACHE_ELEMENTS, 2);
    let mut group = criterion.benchmark_group("attention");
    for (model, n_heads, n_kv_heads, head_dim) in MODELS {
        let scale = 1.0 / (head_dim as f32).sqrt();
        let params = AttentionParams { n_heads, n_kv_heads, head_dim, block_size: BLOCK_SIZE, scale };
        for load in &LOADS {
            bench_load(&mut group, model, load, &params, [&keys, &values], &measured);
        }
    }
    group.finish();
    criterion.final_summary();
    print_table(&measured.borrow(), peak);
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

fn bench_load(
    group: &mut BenchmarkGroup<'_, WallTime>,
    model: &str,
    load: &Load,
    params: &AttentionParams,
    [keys, values]: [&[bf16]; 2],
    measured: &RefCell<Vec<Measured>>,
) {
    let AttentionParams { n_heads, n_kv_heads, head_dim, .. } = *params;
    let end = load.n_cached + load.n_new;
    let per_sequence = end.div_ceil(BLOCK_SIZE);
    let per_layer = per_sequence * load.n_sequences;
    let block_len = BLOCK_SIZE * n_kv_heads * head_dim;
    // As many layers as the cache holds: each call is one layer.
    let n_layers = (keys.len() / (per_layer * block_len)).max(1);
    let layer_len = per_layer * block_len;
    // The blocks of all sequences one after another in turns, as decode fills them.
    let tables: Vec<Vec<u32>> = (0..load.n_sequences)
        .map(|sequence| (0..per_sequence).map(|i| (i * load.n_sequences + sequence) as u32).collect())
        .collect();
    let rows: Vec<AttentionRow<'_>> = tables
        .iter()
        .flat_map(|blocks| {
            (load.n_cached..end).map(|at| AttentionRow { first: 0, end: at + 1, blocks: blocks.as_slice() })
        })
        .collect();
    let n_seen: usize = rows.iter().map(|row| row.end).sum();
    let operations = 4 * n_seen * n_heads * head_dim;
    let bytes_read = (load.n_new == 1).then_some(n_seen * n_kv_heads * head_dim * 2 * size_of::<bf16>());
    let q: Vec<f32> =
        numbers(rows.len() * n_heads * head_dim, 3).into_iter().map(|x| 3.0 * x.to_f32()).collect();
    let mut out = vec![0f32; q.len()];
    let name = format!("{model} {} at {end}", load.name);
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(BenchmarkId::from_parameter(&name), |bencher| {
        bencher.iter_custom(|n_iterations| {
            let start = Instant::now();
            for i in 0..n_iterations as usize {
                let layer = i % n_layers * layer_len..(i % n_layers + 1) * layer_len;
                paged_attention(&q, &keys[layer.clone()], &values[layer], &rows, params, &mut out);
            }
            let time = start.elapsed();
            let time_each = time / n_iterations.max(1) as u32;
            let line = Measured { name: name.clone(), operations, bytes_read, time: time_each };
            measured.borrow_mut().push(line);
            time
        });
    });
}

/// The best of the measurements of each load.
fn print_table(measured: &[Measured], peak: Option<f64>) {
    println!("{} threads, {}", pool::global().n_threads(), InstructionSet::chosen().name());
    if let Some(peak) = peak {
        println!("peak of f32 multiply-adds: {:.0} GFLOP/s", peak / 1e9);
    }
    for lines in measured.chunk_by(|a, b| a.name == b.name) {
        let Some(best) = lines.iter().min_by_key(|line| line.time) else { continue };
        let seconds = best.time.as_secs_f64();
        let rate = best.operations as f64 / seconds;
        let of_peak =
            peak.map_or(String::new(), |peak| format!(", {:3.0} % of the peak", 100.0 * rate / peak));
        let read = best
            .bytes_read
            .map_or(String::new(), |bytes| format!(", {:.1} GB/s", bytes as f64 / seconds / 1e9));
        let micros = seconds * 1e6;
        println!("{:30} {micros:8.1} µs, {:6.1} GFLOP/s{of_peak}{read}", best.name, rate / 1e9);
    }
}

/// What all threads together reach with independent multiply-adds in registers. `None` without AVX-512.
#[cfg(target_arch = "x86_64")]
fn peak_operations_a_second() -> Option<f64> {
    if InstructionSet::chosen() != InstructionSet::Avx512 {
        return None;
    }
    /// Rounds a thread; each is eight instructions of sixteen lanes.
    const ROUNDS: usize = 4_000_000;
    const OPERATIONS: usize = 8 * 16 * 2;
    let threads = pool::global().n_threads();
    let measure = |_| {
        let start = Instant::now();
        // SAFETY: AVX-512 is there.
        pool::parallel(threads, &|_| unsafe { multiply_adds(ROUNDS) });
        (threads * ROUNDS * OPERATIONS) as f64 / start.elapsed().as_secs_f64()
    };
    (0..10).map(measure).reduce(f64::max)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak_operations_a_second() -> Option<f64> {
    None
}

/// # Safety
/// The processor has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn multiply_adds(rounds: usize) {
    // SAFETY: writes registers only, all of which are declared.
    unsafe {
        std::arch::asm!(
            "vpxord zmm8, zmm8, zmm8",
            "vpxord zmm9, zmm9, zmm9",
            "2:",
            "vfmadd231ps zmm0, zmm8, zmm9",
            "vfmadd231ps zmm1, zmm8, zmm9",
            "vfmadd231ps zmm2, zmm8, zmm9",
            "vfmadd231ps zmm3, zmm8, zmm9",
            "vfmadd231ps zmm4, zmm8, zmm9",
            "vfmadd231ps zmm5, zmm8, zmm9",
            "vfmadd231ps zmm6, zmm8, zmm9",
            "vfmadd231ps zmm7, zmm8, zmm9",
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) rounds => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
            out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
            out("zmm8") _, out("zmm9") _,
            options(nomem, nostack),
        );
    }
}
