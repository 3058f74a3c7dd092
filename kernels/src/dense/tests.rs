use half::f16;
use proptest::prelude::*;

use super::{path::Path, *};
use crate::{gelu, pool::Pool, test_weights::Random};

/// A product of some size with random contents.
#[derive(Debug, Clone)]
struct Case {
    dense_type: DenseType,
    n_in: usize,
    n_out: usize,
    weights: Vec<f32>,
    x: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Case {
    fn new(dense_type: DenseType, [n_rows, n_out, n_in]: [usize; 3], biased: bool, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let weights = random.units(n_out * n_in);
        let x = random.units(n_rows * n_in);
        let bias = biased.then(|| random.units(n_out));
        Self { dense_type, n_in, n_out, weights, x, bias }
    }

    fn packed(&self) -> DenseWeight {
        match self.dense_type {
            DenseType::Bf16 => DenseWeight::from_f32(&self.weights, self.n_out, self.n_in).unwrap(),
            DenseType::F16 => {
                let bytes: Vec<u8> =
                    self.weights.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
                DenseWeight::from_bytes(DenseType::F16, &bytes, self.n_out, self.n_in).unwrap()
            }
        }
    }

    fn run(&self, pool: &Pool, path: Path, x: &[f32]) -> Vec<f32> {
        let mut rows = DenseRows::new();
        rows.fill_as(path.format(self.dense_type), x, self.n_in);
        let mut out = vec![f32::NAN; rows.n_rows() * self.n_out];
        let w = self.packed();
        DenseProduct { x: &rows, w: &w, bias: self.bias.as_deref() }.write_on(pool, path, &mut out);
        out
    }

    /// The product in f64, of weights and activations as they are stored, and the sum of the sizes of
    /// its terms.
    fn exact(&self) -> Vec<(f64, f64)> {
        let w = self.packed();
        let mut weights = vec![0f32; self.n_in];
        let mut exact = vec![(0.0, 0.0); self.x.len() / self.n_in * self.n_out];
        for column in 0..self.n_out {
            w.row(column, &mut weights);
            let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[column]));
            for (row, x) in self.x.chunks_exact(self.n_in).enumerate() {
                let stored = |x: f32| match self.dense_type {
                    DenseType::Bf16 => element::round_to_bf16(x),
                    DenseType::F16 => x,
                };
                let terms = x.iter().zip(&weights).map(|(x, w)| f64::from(stored(*x)) * f64::from(*w));
                let (sum, size) =
                    terms.fold((bias, bias.abs()), |(sum, size), term| (sum + term, size + term.abs()));
                exact[row * self.n_out + column] = (sum, size);
            }
        }
        exact
    }
}

fn case() -> impl Strategy<Value = Case> {
    let types = prop::sample::select(&[DenseType::Bf16, DenseType::F16][..]);
    let shape = (0usize..40, 0usize..150, 1usize..140);
    (types, shape, any::<bool>(), any::<u64>()).prop_map(
        |(dense_type, (n_rows, n_out, n_in), biased, seed)| {
            Case::new(dense_type, [n_rows, n_out, n_in], biased, seed)
        },
    )
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn every_path_agrees_with_f64_and_with_the_others(case in case()) {
        let pool = Pool::new(1);
        let exact = case.exact();
        let oracle = case.run(&pool, Path::available()[0], &case.x);
        for (sum, (exact, size)) in oracle.iter().zip(exact) {
            let error = (f64::from(*sum) - exact).abs();
            prop_assert!(error <= size * f64::from(f32::EPSILON) * case.n_in as f64, "{sum}, not {exact}");
        }
        for path in Path::available() {
            prop_assert_eq!(bits(&case.run(&pool, path, &case.x)), bits(&oracle), "{:?}", path);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_on_many_threads(case in case()) {
        let together = case.run(&Pool::new(3), Path::chosen(), &case.x);
        if case.n_out > 0 {
            for (x, out) in case.x.chunks_exact(case.n_in).zip(together.chunks_exact(case.n_out)) {
                prop_assert_eq!(bits(&case.run(&Pool::new(1), Path::chosen(), x)), bits(out));
            }
        }
    }

    #[test]
    fn fused_products_are_those_of_single_steps(case in case(), n_next in 1usize..40) {
        let w = case.packed();
        let mut x = DenseRows::new();
        x.fill(&case.x, case.n_in, case.dense_type);
        let product = DenseProduct { x: &x, w: &w, bias: case.bias.as_deref() };
        let mut out = vec![f32::NAN; x.n_rows() * case.n_out];
        product.write(&mut out);

        let mut sums = vec![0.25; out.len()];
        product.add_to(&mut sums);
        let want: Vec<f32> = out.iter().map(|x| 0.25 + x).collect();
        prop_assert_eq!(bits(&sums), bits(&want));

        if case.n_out > 0 {
            let next = Case::new(case.dense_type, [0, n_next, case.n_out], false, 7).packed();
            let (mut rows, mut fused) = (DenseRows::new(), DenseRows::new());
            gelu(&mut out);
            rows.fill(&out, case.n_out, case.dense_type);
            product.gelu_rows(&mut fused, case.dense_type);
            let product_of = |rows: &DenseRows| {
                let mut out = vec![f32::NAN; rows.n_rows() * n_next];
                DenseProduct { x: rows, w: &next, bias: None }.write(&mut out);
                bits(&out)
            };
            prop_assert_eq!(product_of(&fused), product_of(&rows));
        }
    }
}

/// Shapes large enough to be cut into many tasks, and with every number of rows in a tile.
#[test]
fn large_products_are_cut_without_gaps() {
    for n_rows in [1, 5, 24, 61, 131] {
        let case = Case::new(DenseType::Bf16, [n_rows, 640, 384], true, n_rows as u64);
        let one = case.run(&Pool::new(1), Path::chosen(), &case.x);
        assert_eq!(bits(&case.run(&Pool::new(4), Path::chosen(), &case.x)), bits(&one), "{n_rows} rows");
        let row = n_rows / 2;
        let alone = case.run(&Pool::new(1), Path::chosen(), &case.x[row * 384..][..384]);
        assert_eq!(bits(&alone), bits(&one[row * 640..][..640]), "{n_rows} rows");
    }
}

/// The order and the rounding of the processor's bf16 dot products, over the whole range of exponents.
#[test]
fn bf16_dot_products_round_as_the_other_paths_do() {
    let mut random = Random::new(3);
    for spread in [2, 20, 60] {
        let mut scaled = |n: usize| -> Vec<f32> {
            let values = random.units(n);
            values
                .iter()
                .map(|x| x * 2f32.powi((random.next() % (2 * spread)) as i32 - spread as i32))
                .collect()
        };
        let mut case = Case::new(DenseType::Bf16, [7, 48, 96], false, 1);
        case.weights = scaled(48 * 96);
        case.x = scaled(7 * 96);
        let pool = Pool::new(1);
        let oracle = case.run(&pool, Path::available()[0], &case.x);
        for path in Path::available() {
            assert_eq!(bits(&case.run(&pool, path, &case.x)), bits(&oracle), "{path:?}, 2^±{spread}");
        }
    }
}

#[test]
fn subnormal_numbers_count_as_zero() {
    let tiny = f32::from_bits(0x007f_0000);
    let mut case = Case::new(DenseType::Bf16, [1, 1, 2], false, 1);
    (case.weights, case.x) = (vec![tiny, 1.0], vec![2f32.powi(127), 1.0]);
    for path in Path::available() {
        assert_eq!(case.run(&Pool::new(1), path, &case.x), [1.0], "{path:?}");
    }
}

#[test]
#[should_panic(expected = "rows must be filled for F16")]
fn rows_for_another_type_are_refused() {
    let case = Case::new(DenseType::F16, [1, 1, 2], false, 1);
    let mut rows = DenseRows::new();
    rows.fill(&case.x, 2, DenseType::Bf16);
    DenseProduct { x: &rows, w: &case.packed(), bias: None }.write(&mut [0.0]);
}
