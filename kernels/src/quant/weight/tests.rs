#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

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
        assert_eq!(row, dequantise(block_type, blocks), "row {i}");
    }
}

#[rstest]
fn a_packed_matrix_is_as_large_as_the_file(#[values(0, 1, 2, 3, 4, 5, 6, 7)] block_type: usize) {
    let block_type = BlockType::ALL[block_type];
    let bytes = random_blocks(block_type, 48, 1);
    let packed = PackedWeight::pack(block_type, &bytes, 48, block_type.block_len()).unwrap();
    assert_eq!(packed.memory_bytes(), bytes.len());
    assert_eq!(packed.group(0).as_ptr().align_offset(ALIGNMENT), 0);
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
