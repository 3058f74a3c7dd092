//! The cases that `check` tries: every combination of the sample values of some fields.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::facts::Facts;
use crate::schema::Schema;

/// Above this, cases are drawn instead of tried one and all.
pub(super) const MAX_CASES: usize = 100_000;

/// Any fixed number: the same playbook has to give the same findings.
const SEED: u64 = 0x7131_e205;

/// A field with the values that it takes.
struct Dimension {
    path: String,
    values: Vec<Value>,
}

/// All combinations of the values of some fields.
pub(super) struct Grid(Vec<Dimension>);

impl Grid {
    /// The grid over declared fields.
    pub(super) fn over<'a>(schema: &Schema, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let dimension =
            |path: &str| Some(Dimension { path: path.to_owned(), values: schema.get(path)?.values() });
        Self(paths.into_iter().filter_map(dimension).collect())
    }

    /// How many combinations there are.
    pub(super) fn n_cases(&self) -> u128 {
        self.0.iter().fold(1, |n, dimension| n.saturating_mul(dimension.values.len() as u128))
    }

    /// All combinations where there are no more than [`MAX_CASES`], else as many drawn ones. Each
    /// holds one index for every field.
    pub(super) fn cases(&self) -> Box<dyn Iterator<Item = Vec<usize>> + '_> {
        match usize::try_from(self.n_cases()) {
            Ok(n_cases) if n_cases <= MAX_CASES => Box::new((0..n_cases).map(|case| self.nth(case))),
            _ => {
                let mut random = ChaCha8Rng::seed_from_u64(SEED);
                Box::new((0..MAX_CASES).map(move |_| self.draw(&mut random)))
            }
        }
    }

    fn nth(&self, case: usize) -> Vec<usize> {
        let digit = |rest: &mut usize, dimension: &Dimension| {
            let digit = *rest % dimension.values.len();
            *rest /= dimension.values.len();
            Some(digit)
        };
        self.0.iter().scan(case, digit).collect()
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> Vec<usize> {
        self.0.iter().map(|dimension| random.random_range(0..dimension.values.len())).collect()
    }

    /// Puts the values of a combination into `facts`.
    pub(super) fn put(&self, case: &[usize], facts: &mut Facts) {
        for (dimension, &i) in self.0.iter().zip(case) {
            if let Some(value) = dimension.values.get(i) {
                facts.set(&dimension.path, value.clone());
            }
        }
    }

    /// Whether a field is one of the grid's.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|dimension| dimension.path == path)
    }

    /// The part of a combination that concerns these fields.
    pub(super) fn project(&self, case: &[usize], mut concerns: impl FnMut(&str) -> bool) -> Vec<usize> {
        self.0.iter().zip(case).filter(|(dimension, _)| concerns(&dimension.path)).map(|(_, &i)| i).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schema::Field;

    fn schema(n_samples: &[usize]) -> Schema {
        let mut schema = Schema::default();
        for (i, &n) in n_samples.iter().enumerate() {
            let samples = (0..n).map(Value::from).collect();
            schema.declare(&format!("order.f{i}"), Field { samples, optional: i == 0 });
        }
        schema
    }

    fn grid(n_samples: &[usize]) -> Grid {
        let schema = schema(n_samples);
        Grid::over(&schema, schema.iter().map(|(path, _)| path))
    }

    #[test]
    fn every_combination_comes_once_with_null_where_it_may_be() {
        let grid = grid(&[2, 3, 1]);
        let cases: BTreeSet<_> = grid.cases().collect();
        assert_eq!((cases.len(), grid.n_cases()), (9, 9));
        let mut facts = Facts::default();
        grid.put(&[2, 1, 0], &mut facts);
        assert_eq!(facts, Facts::from(serde_json::json!({"order": {"f0": null, "f1": 1, "f2": 0}})));
    }

    #[test]
    fn no_fields_are_one_case() {
        assert_eq!(grid(&[]).cases().collect::<Vec<_>>(), [Vec::<usize>::new()]);
    }

    #[test]
    fn too_many_combinations_are_drawn_and_the_same_every_time() {
        let grid = grid(&[99; 40]);
        assert_eq!(grid.n_cases(), u128::MAX);
        let draws: Vec<_> = grid.cases().take(100).collect();
        assert_eq!(draws, grid.cases().take(100).collect::<Vec<_>>());
        assert_eq!(grid.cases().count(), MAX_CASES);
        assert!(draws.iter().flatten().all(|&i| i <= 99));
    }
}
