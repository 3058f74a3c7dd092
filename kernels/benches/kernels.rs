//! How fast products with packed weights are, for the shapes of the models that tier0 runs.
//!
//! Criterion reports operations a second, a multiplication and an addition being two. At the end
//! stands a table with the fraction of the peak of int8 dot products, measured in the same run, and
//! for single rows the rate at which weights are read.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros; a benchmark prints its results")]

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use tier0_kernels::{BlockType, InstructionSet, PackedWeight, Part, RowSource, linear, pool};

/// `[n_out, n_in]` of Qwen2.5 1.5B (gate, down), 0.5B (gate) and SmolLM2 135M (gate, down).
const SHAPES: [[usize; 2]; 5] = [[8960, 1536], [1536, 8960], [4864, 896], [1536, 576], [576, 1536]];
const ROWS: [usize; 5] = [1, 4, 16, 128, 512];
/// Weights that one measurement goes through, so that they come from memory as in a model.
const WEIGHT_BYTES: usize = 128 << 20;
/// Keeps the f16 scales among random bytes finite and of ordinary size.
const BYTE_MASK: u8 = 0x3b;

/// One line of the table.
struct Measured {
    name: String,
    operations: usize,
    weight_bytes: usize,
    n_rows: usize,
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
    let mut group = criterion.benchmark_group("product");
    for block_type in BlockType::ALL {
        for shape in SHAPES.into_iter().filter(|[_, n_in]| n_in.is_multiple_of(block_type.block_len())) {
            bench_weight(&mut group, block_type, shape, &measured);
        }
    }
    group.finish();
    criterion.final_summary();
    print_table(&measured.borrow(), peak);
}

/// All numbers of rows with one type and shape.
fn bench_weight(
    group: &mut BenchmarkGroup<'_, WallTime>,
    block_type: BlockType,
    [n_out, n_in]: [usize; 2],
    measured: &RefCell<Vec<Measured>>,
) {
    let mut weights = Vec::new();
    for n_rows in ROWS {
        let name = format!("{block_type:?} {n_out}×{n_in}");
        let operations = 2 * n_rows * n_out * n_in;
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(BenchmarkId::new(&name, n_rows), |bencher| {
            if weights.is_empty() {
                weights = pack(block_type, n_out, n_in);
            }
            let x: Vec<f32> = (0..n_rows * n_in).map(|i| (i * 7919 % 1001) as f32 / 500.0 - 1.0).collect();
            bencher.iter_custom(|n_iterations| {
                let start = Instant::now();
                for i in 0..n_iterations as usize {
                    let part = Part { w: &weights[i % weights.len()], bias: None, gates: None };
                    std::hint::black_box(linear(RowSource::Plain(&x), &[part], None));
                }
                let time = start.elapsed();
                let weight_bytes = weights[0].memory_bytes();
                let time_each = time / n_iterations.max(1) as u32;
                let line = Measured { name: name.clone(), operations, weight_bytes, n_rows, time: time_each };
                measured.borrow_mut().push(line);
                time
            });
        });
    }
}

/// Copies of a matrix with random contents, as many as make up [`WEIGHT_BYTES`].
fn pack(block_type: BlockType, n_out: usize, n_in: usize) -> Vec<PackedWeight> {
    let mut state = 1u64;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8 & BYTE_MASK
    };
    let n_bytes = n_out * (n_in / block_type.block_len()) * block_type.block_bytes();
    let bytes: Vec<u8> = (0..n_bytes).map(byte).collect();
    let copies = WEIGHT_BYTES.div_ceil(n_bytes);
    (0..copies).filter_map(|_| PackedWeight::pack(block_type, &bytes, n_out, n_in).ok()).collect()
}

/// The best of the measurements of each product.
fn print_table(measured: &[Measured], peak: Option<f64>) {
    println!("{} threads, {}", pool::global().n_threads(), InstructionSet::chosen().name());
    if let Some(peak) = peak {
        println!("peak of int8 dot products: {:.0} GOP/s", peak / 1e9);
    }
    for lines in measured.chunk_by(|a, b| a.name == b.name && a.n_rows == b.n_rows) {
        let Some(best) = lines.iter().min_by_key(|line| line.time) else { continue };
        let seconds = best.time.as_secs_f64();
        let rate = best.operations as f64 / seconds;
        let of_peak =
            peak.map_or(String::new(), |peak| format!(", {:3.0} % of the peak", 100.0 * rate / peak));
        let read = match best.n_rows {
            1 => format!(", {:.1} GB/s", best.weight_bytes as f64 / seconds / 1e9),
            _ => String::new(),
        };
        println!("{:16} {:4} rows: {:6.1} GOP/s{of_peak}{read}", best.name, best.n_rows, rate / 1e9);
    }
}

/// What all threads together reach with independent dot products in registers. `None` without VNNI.
#[cfg(target_arch = "x86_64")]
fn peak_operations_a_second() -> Option<f64> {
    if InstructionSet::chosen() != InstructionSet::Avx512 {
        return None;
    }
    /// Rounds a thread; each is eight instructions of sixteen lanes of four products.
    const ROUNDS: usize = 4_000_000;
    const OPERATIONS: usize = 8 * 16 * 4 * 2;
    let threads = pool::global().n_threads();
    let measure = |_| {
        let start = Instant::now();
        // SAFETY: AVX-512 with VNNI is there.
        pool::parallel(threads, &|_| unsafe { dot_products(ROUNDS) });
        (threads * ROUNDS * OPERATIONS) as f64 / start.elapsed().as_secs_f64()
    };
    (0..10).map(measure).reduce(f64::max)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak_operations_a_second() -> Option<f64> {
    None
}

/// # Safety
/// The processor has AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn dot_products(rounds: usize) {
    // SAFETY: writes registers only, all of which are declared.
    unsafe {
        std::arch::asm!(
            "2:",
            "vpdpbusd zmm0, zmm8, zmm9",
            "vpdpbusd zmm1, zmm8, zmm9",
            "vpdpbusd zmm2, zmm8, zmm9",
            "vpdpbusd zmm3, zmm8, zmm9",
            "vpdpbusd zmm4, zmm8, zmm9",
            "vpdpbusd zmm5, zmm8, zmm9",
            "vpdpbusd zmm6, zmm8, zmm9",
            "vpdpbusd zmm7, zmm8, zmm9",
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
