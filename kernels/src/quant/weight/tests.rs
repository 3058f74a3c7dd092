use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    pages::ALIGNMENT,
    test_weights::{dequantise, random_blocks},
};

#[rstest]
fn a_packed_row_is_the_row_of_the_file(
    #[values(0, 1, 2, 3, 4, 5, 6, 7)] block_type: usize,
    #[values(1, 15, 16, 17, 50)] n_out: usize,
    #[values(1, 3)] n_blocks: usize,
) {
    let block_type = BlockType::ALL[block_type];
    let n_in = n_blocks * block_type.block_len();
    let bytes = random_blocks(block_type, n_out * n_blocks, 7);
    let packed = PackedWeight::pack(block_type, &bytes, n_out, n_in).unwrap();
    let mut row = vec![f32::NAN; n_in];
    for (i, blocks) in bytes.chunks_exact(n_blocks * block_type.block_bytes()).enumerate() {
        packed.row(i, &mut row);
        let file = dequantise(block_type, blocks);
        for (span, (got, want)) in row.chunks(256).zip(file.chunks(256)).enumerate() {
            let error = largest_error(block_type, want, got);
            assert!(error <= 1.2, "row {i}, span {span}: off by {error} steps\n{got:?}\n{want:?}");
        }
    }
}

/// How far packed weights are from those of the file, in steps of the packed ones; those of types
/// without super-blocks must be the same.
fn largest_error(block_type: BlockType, file: &[f32], packed: &[f32]) -> f32 {
    let largest = file.iter().fold(0f32, |m, w| m.max(w.abs()));
    // The step follows from the scales: the largest weight that they allow need not be there.
    let step = if block_type.block_len() == 256 { largest.max(1e-30) / 100.0 } else { f32::MIN_POSITIVE };
    file.iter().zip(packed).fold(0f32, |m, (w, packed)| m.max((w - packed).abs() / step))
}

/// An error that all weights of a block have in common adds up over them, other than those of each.
#[rstest]
fn packed_weights_are_right_on_average(#[values(5, 6, 7)] block_type: usize) {
    let block_type = BlockType::ALL[block_type];
    let bytes = random_blocks(block_type, 1000, 3);
    let packed = PackedWeight::pack(block_type, &bytes, 1000, 256).unwrap();
    let mut row = vec![0.0; 256];
    let mut mean = 0.0;
    for (i, block) in bytes.chunks_exact(block_type.block_bytes()).enumerate() {
        packed.row(i, &mut row);
        let file = dequantise(block_type, block);
        let step = file.iter().fold(0f32, |m, w| m.max(w.abs())) / 126.0;
        let errors = row.iter().zip(&file).map(|(packed, w)| (packed - w) / step);
        mean += errors.sum::<f32>() / 256.0 / 1000.0;
    }
    assert!(mean.abs() < 0.1, "{mean} steps");
}

#[rstest]
fn a_packed_matrix_is_as_large_as_the_file(#[values(0, 1, 2, 3, 4, 5, 6, 7)] block_type: usize) {
    let block_type = BlockType::ALL[block_type];
    let bytes = random_blocks(block_type, 48, 1);
    let packed = PackedWeight::pack(block_type, &bytes, 48, block_type.block_len()).unwrap();
    let more = if block_type.block_len() == 256 { 48 * 2 } else { 0 };
    assert_eq!(packed.memory_bytes(), bytes.len() + more);
    assert_eq!(packed.groups(0..1).as_ptr().align_offset(ALIGNMENT), 0);
}

#[test]
fn rows_must_be_whole_blocks() {
    let error = PackedWeight::pack(BlockType::Q4_K, &[], 1, 896).unwrap_err();
    assert_eq!(error, PackError::RowLength { block_type: BlockType::Q4_K, n_in: 896 });
    assert!(error.to_string().contains("896") && error.to_string().contains("256"));
}

proptest! {
    #[test]
    fn bytes_must_fit_the_shape(n_out in 0usize..40, n_in in 0usize..4, n_bytes in 0usize..2000) {
        let packed = PackedWeight::pack(BlockType::Q8_0, &vec![0; n_bytes], n_out, n_in * 32);
        let expected = n_out * n_in * 34;
        match packed {
            Ok(packed) => prop_assert_eq!((packed.n_out(), packed.n_in(), n_bytes), (n_out, n_in * 32, expected)),
            Err(error) => prop_assert_eq!(
                error,
                PackError::Size { block_type: BlockType::Q8_0, n_out, n_in: n_in * 32, expected, actual: n_bytes }
            ),
        }
    }
}
