//! What the choice of a token takes, over the vocabulary of Qwen2.5.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tier0_kernels::{argmax, exp_scaled, log_sum_exp, top_k};

const N_VOCAB: usize = 151_936;

fn choices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sampling");
    group.throughput(Throughput::Elements(N_VOCAB as u64));
    // Scattered, a few large ones among many small.
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 8 & 0xffff) as f32 / 65_536.0;
    let logits: Vec<f32> = (0..N_VOCAB).map(|i| 20.0 * noise(i).powi(8) - 5.0 * noise(i + 7)).collect();
    let mut weights = vec![0f32; N_VOCAB];
    group.bench_function("argmax", |bencher| bencher.iter(|| argmax(black_box(&logits))));
    group.bench_function("log_sum_exp", |bencher| bencher.iter(|| log_sum_exp(black_box(&logits))));
    group.bench_function("exp_scaled", |bencher| {
        bencher.iter(|| exp_scaled(black_box(&logits), 20.0, 1.0, &mut weights));
    });
    for k in [1, 40, 1000] {
        group.bench_function(format!("top_k {k}"), |bencher| bencher.iter(|| top_k(black_box(&logits), k)));
    }
    group.finish();
}

criterion_group!(benches, choices);
criterion_main!(benches);
