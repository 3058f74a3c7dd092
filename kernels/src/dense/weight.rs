//! A dense weight matrix, packed once for the products.

use half::f16;

use super::{CHUNK, DenseType, PAIR_BYTES, element::to_bf16};
use crate::{pages::AlignedBytes, pool, quant::GROUP};

/// Bytes of a weight.
const WEIGHT_BYTES: usize = 2;

/// The values of a matrix do not fit its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {n_out} × {n_in} matrix has {expected} {unit}, not {actual}: the file is damaged")]
pub struct DenseSizeError {
    /// Rows of the matrix.
    pub n_out: usize,
    /// Weights in a row.
    pub n_in: usize,
    /// What is counted: bytes, or weights.
    pub unit: &'static str,
    /// How many the shape asks for.
    pub expected: usize,
    /// How many were given.
    pub actual: usize,
}

/// A matrix of bf16 or f16 weights, `[n_out, n_in]`, sixteen rows interleaved: two bytes a weight, up
/// to the rows that fill up the last sixteen and the inputs that fill up the last 32.
pub struct DenseWeight {
    dense_type: DenseType,
    n_out: usize,
    n_in: usize,
    /// The groups of sixteen rows, one after the other. bf16 weights lie in pairs of inputs,
    /// `[n_in / 2][16][2]`, f16 weights input by input, `[n_in][16]`.
    bytes: AlignedBytes,
}

impl std::fmt::Debug for DenseWeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DenseWeight({:?}, {} × {})", self.dense_type, self.n_out, self.n_in)
    }
}

impl DenseWeight {
    /// Rounds `weights`, `[n_out, n_in]`, to bf16 and packs them.
    ///
    /// # Errors
    /// When `weights` do not fit the shape.
    pub fn from_f32(weights: &[f32], n_out: usize, n_in: usize) -> Result<Self, DenseSizeError> {
        check("weights", n_out, n_in, n_out * n_in, weights.len())?;
        // The low half of the result is all there is of it.
        let bits = |row: usize, i: usize| to_bf16(weights[row * n_in + i]) as u16;
        Ok(Self::pack(DenseType::Bf16, n_out, n_in, bits))
    }

    /// Packs the rows of a file: `bytes` holds `[n_out, n_in]` weights of two bytes, the lower first.
    /// Subnormal bf16 weights become zero.
    ///
    /// # Errors
    /// When `bytes` do not fit the shape.
    pub fn from_bytes(
        dense_type: DenseType,
        bytes: &[u8],
        n_out: usize,
        n_in: usize,
    ) -> Result<Self, DenseSizeError> {
        check("bytes", n_out, n_in, n_out * n_in * WEIGHT_BYTES, bytes.len())?;
        let stored = |row: usize, i: usize| {
            let at = (row * n_in + i) * WEIGHT_BYTES;
            u16::from_le_bytes([bytes[at], bytes[at + 1]])
        };
        Ok(match dense_type {
            DenseType::Bf16 => Self::pack(dense_type, n_out, n_in, |row, i| {
                to_bf16(f32::from_bits(u32::from(stored(row, i)) << 16)) as u16
            }),
            DenseType::F16 => Self::pack(dense_type, n_out, n_in, stored),
        })
    }

    /// Packs the weights whose bits `bits(row, input)` tells.
    fn pack(
        dense_type: DenseType,
        n_out: usize,
        n_in: usize,
        bits: impl Fn(usize, usize) -> u16 + Sync,
    ) -> Self {
        let mut packed = Self { dense_type, n_out, n_in, bytes: AlignedBytes::zeroed(0) };
        let mut bytes = AlignedBytes::zeroed(packed.memory_bytes());
        let group_bytes = packed.group_bytes().max(1);
        pool::global().run_chunks(&mut bytes, group_bytes, &|group, out| {
            for row in 0..GROUP.min(n_out - group * GROUP) {
                for i in 0..n_in {
                    let at = packed.offset(row, i);
                    out[at..at + WEIGHT_BYTES].copy_from_slice(&bits(group * GROUP + row, i).to_le_bytes());
                }
            }
        });
        packed.bytes = bytes;
        packed
    }

    /// Where weight `i` of row `row` of a group lies in it.
    fn offset(&self, row: usize, i: usize) -> usize {
        let in_pair = match self.dense_type {
            DenseType::Bf16 => 2 * row + i % 2,
            DenseType::F16 => i % 2 * GROUP + row,
        };
        i / 2 * PAIR_BYTES + in_pair * WEIGHT_BYTES
    }

    /// What the weights are stored as.
    pub fn dense_type(&self) -> DenseType {
        self.dense_type
    }

    /// Rows of the matrix: outputs of a product.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Weights in a row: inputs of a product.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Bytes that a product reads.
    pub fn memory_bytes(&self) -> usize {
        self.n_groups() * self.group_bytes()
    }

    /// Groups of sixteen rows.
    pub(super) fn n_groups(&self) -> usize {
        self.n_out.div_ceil(GROUP)
    }

    /// Bytes of one group.
    pub(super) fn group_bytes(&self) -> usize {
        self.n_in.next_multiple_of(CHUNK) * GROUP * WEIGHT_BYTES
    }

    /// `n` packed groups from number `first` on.
    pub(super) fn groups(&self, first: usize, n: usize) -> &[u8] {
        let group_bytes = self.group_bytes();
        &self.bytes[first * group_bytes..][..n * group_bytes]
    }

    /// The weights of row `row`, as floats, into `out`.
    ///
    /// # Panics
    /// When there is no such row, or `out` is not `n_in` long.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_out, "row {row} of a matrix with {} rows", self.n_out);
        assert_eq!(out.len(), self.n_in, "out must have the length of a row");
        let group = self.groups(row / GROUP, 1);
        for (i, out) in out.iter_mut().enumerate() {
            let at = self.offset(row % GROUP, i);
            let bits = u16::from_le_bytes([group[at], group[at + 1]]);
            *out = match self.dense_type {
                DenseType::Bf16 => f32::from_bits(u32::from(bits) << 16),
                DenseType::F16 => f16::from_bits(bits).to_f32(),
            };
        }
    }
}

fn check(
    unit: &'static str,
    n_out: usize,
    n_in: usize,
    expected: usize,
    actual: usize,
) -> Result<(), DenseSizeError> {
    if expected == actual { Ok(()) } else { Err(DenseSizeError { n_out, n_in, unit, expected, actual }) }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use proptest::prelude::*;

    use super::*;

    fn matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
        (1usize..40, 1usize..70).prop_flat_map(|(n_out, n_in)| {
            (Just(n_out), Just(n_in), proptest::collection::vec(-3f32..3.0, n_out * n_in))
        })
    }

    fn rows_of(weight: &DenseWeight) -> Vec<f32> {
        let mut rows = vec![f32::NAN; weight.n_out() * weight.n_in()];
        for (i, row) in rows.chunks_exact_mut(weight.n_in()).enumerate() {
            weight.row(i, row);
        }
        rows
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were_stored((n_out, n_in, weights) in matrix()) {
            let halves: Vec<u8> = weights.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
            let weight = DenseWeight::from_bytes(DenseType::F16, &halves, n_out, n_in).unwrap();
            let stored: Vec<f32> = weights.iter().map(|x| f16::from_f32(*x).to_f32()).collect();
            prop_assert_eq!(rows_of(&weight), stored);

            let rounded: Vec<f32> = weights.iter().map(|x| bf16::from_f32(*x).to_f32()).collect();
            prop_assert_eq!(&rows_of(&DenseWeight::from_f32(&weights, n_out, n_in).unwrap()), &rounded);
            let bytes: Vec<u8> = weights.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
            let weight = DenseWeight::from_bytes(DenseType::Bf16, &bytes, n_out, n_in).unwrap();
            prop_assert_eq!(&rows_of(&weight), &rounded);
        }
    }

    #[test]
    fn a_wrong_number_of_weights_is_told() {
        let error = DenseWeight::from_f32(&[0.0; 5], 2, 3).unwrap_err();
        assert_eq!(error.to_string(), "a 2 × 3 matrix has 6 weights, not 5: the file is damaged");
        let error = DenseWeight::from_bytes(DenseType::F16, &[0; 13], 2, 3).unwrap_err();
        assert_eq!((error.expected, error.actual), (12, 13));
    }
}
