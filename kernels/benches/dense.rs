//! How fast products with dense weights are, for the shapes of all-MiniLM-L6-v2 and a larger one.
//!
//! Criterion reports operations a second, a multiplication and an addition being two. At the end
//! stands a table with the fraction of the peak of bf16 dot products, measured in the same run, and
//! for single rows the rate at which weights are read. The time includes laying out the activations.

#![allow(missing_docs, clippy::print_stdout, reason = "criterion's macros; a benchmark prints its results")]

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use tier0_kernels::{DenseProduct, DenseRows, DenseType, DenseWeight, pool};

/// `[n_out, n_in]` of MiniLM (attention, up, down), and of an output matrix.
const SHAPES: [[usize; 2]; 4] = [[384, 384], [1536, 384], [384, 1536], [8960, 1536]];
const ROWS: [usize; 6] = [1, 4, 12, 64, 384, 512];
/// Weights that one measurement goes through at single rows, so that they come from memory.
const WEIGHT_BYTES: usize = 128 << 20;

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
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    let peak = peak_operations_a_second();
    let measured = RefCell::new(Vec::new());
    let mut group = criterion.benchmark_group("dense");
    for dense_type in [DenseType::Bf16, DenseType::F16] {
        for shape in SHAPES {
            bench_weight(&mut group, dense_type, shape, &measured);
        }
    }
    group.finish();
    criterion.final_summary();
    // Before and after, as other work on the machine may hide it.
    let peak = peak.into_iter().chain(peak_operations_a_second()).reduce(f64::max);
    print_table(&measured.borrow(), peak);
}

/// All numbers of rows with one type and shape.
fn bench_weight(
    group: &mut BenchmarkGroup<'_, WallTime>,
    dense_type: DenseType,
    [n_out, n_in]: [usize; 2],
    measured: &RefCell<Vec<Measured>>,
) {
    let mut weights = Vec::new();
    for n_rows in ROWS {
        let name = format!("{dense_type:?} {n_out}×{n_in}");
        let operations = 2 * n_rows * n_out * n_in;
        group.throughput(Throughput::Elements(operations as u64));
        group.bench_function(BenchmarkId::new(&name, n_rows), |bencher| {
            if weights.is_empty() {
                weights = pack(dense_type, n_out, n_in);
            }
            let x: Vec<f32> = (0..n_rows * n_in).map(|i| (i * 7919 % 1001) as f32 / 500.0 - 1.0).collect();
            let (mut rows, mut out) = (DenseRows::new(), vec![0f32; n_rows * n_out]);
            // A single row waits for its weights; more of them are measured with those of one model.
            let copies = if n_rows == 1 { weights.len() } else { weights.len().min(6) };
            bencher.iter_custom(|n_iterations| {
                let start = Instant::now();
                for i in 0..n_iterations as usize {
                    rows.fill(&x, n_in, dense_type);
                    DenseProduct { x: &rows, w: &weights[i % copies], bias: None }.write(&mut out);
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

/// Copies of a matrix, as many as make up [`WEIGHT_BYTES`].
fn pack(dense_type: DenseType, n_out: usize, n_in: usize) -> Vec<DenseWeight> {
    // An f16 or bf16 between 0.5 and 1 in size, whatever the lower bits are.
    let exponent: u16 = if dense_type == DenseType::Bf16 { 0x3f00 } else { 0x3800 };
    let bits = |i: usize| exponent | (i * 7919 % 127) as u16 | ((i * 31 % 2) as u16) << 15;
    let bytes: Vec<u8> = (0..n_out * n_in).flat_map(|i| bits(i).to_le_bytes()).collect();
    let copies = WEIGHT_BYTES.div_ceil(bytes.len());
    (0..copies).filter_map(|_| DenseWeight::from_bytes(dense_type, &bytes, n_out, n_in).ok()).collect()
}

/// The best of the measurements of each product.
fn print_table(measured: &[Measured], peak: Option<f64>) {
    println!("{} threads", pool::global().n_threads());
    if let Some(peak) = peak {
        println!("peak of bf16 dot products: {:.0} GFLOP/s", peak / 1e9);
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
        println!("{:16} {:4} rows: {:6.1} GFLOP/s{of_peak}{read}", best.name, best.n_rows, rate / 1e9);
    }
}

/// What all threads together reach with independent dot products in registers. `None` without AVX-512
/// BF16.
#[cfg(target_arch = "x86_64")]
fn peak_operations_a_second() -> Option<f64> {
    if !is_x86_feature_detected!("avx512bf16") {
        return None;
    }
    /// Rounds a thread; each is eight instructions of sixteen lanes of two products.
    const ROUNDS: usize = 4_000_000;
    const OPERATIONS: usize = 8 * 16 * 2 * 2;
    let threads = pool::global().n_threads();
    let measure = |_| {
        let start = Instant::now();
        // SAFETY: AVX-512 BF16 is there.
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
/// The processor has AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn dot_products(rounds: usize) {
    // SAFETY: writes registers only, all of which are declared.
    unsafe {
        std::arch::asm!(
            "vpxord zmm8, zmm8, zmm8",
            "vpxord zmm9, zmm9, zmm9",
            "2:",
            "vdpbf16ps zmm0, zmm8, zmm9",
            "vdpbf16ps zmm1, zmm8, zmm9",
            "vdpbf16ps zmm2, zmm8, zmm9",
            "vdpbf16ps zmm3, zmm8, zmm9",
            "vdpbf16ps zmm4, zmm8, zmm9",
            "vdpbf16ps zmm5, zmm8, zmm9",
            "vdpbf16ps zmm6, zmm8, zmm9",
            "vdpbf16ps zmm7, zmm8, zmm9",
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
