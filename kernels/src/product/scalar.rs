//! The oracle of the other instruction sets: weight by weight, in plain Rust, with the same bits.

use crate::quant::{
    BLOCK, BlockType, GROUP, SUPER_BLOCK,
    record::{self, block, super_block},
    tile::{self, RowBlock},
};

/// `out[c][r]`: row `r` of the sixteen of `group` times row `c` of `records`, `[span][row]`.
pub(super) fn tile(block_type: BlockType, group: &[u8], records: &[u32], out: &mut [[f32; GROUP]]) {
    let record_words = record::words(block_type.block_len());
    let spans = group.chunks_exact(tile::span_bytes(block_type));
    out.fill([0.0; GROUP]);
    for (span, records) in spans.zip(records.chunks_exact(out.len() * record_words)) {
        for r in 0..GROUP {
            let blocks: Vec<RowBlock> = (0..block_type.block_len() / BLOCK)
                .map(|block| tile::unpack(block_type, span, r, block))
                .collect();
            for (record, out) in records.chunks_exact(record_words).zip(out.iter_mut()) {
                out[r] = add_span(block_type, out[r], &blocks, record);
            }
        }
    }
}

/// `sum` with the product of one span added: the operations of the kernels, in their order.
fn add_span(block_type: BlockType, sum: f32, blocks: &[RowBlock], record: &[u32]) -> f32 {
    let products = blocks.iter().zip(record.chunks_exact(BLOCK / 4)).flat_map(|(block, words)| {
        let activations = words.iter().flat_map(|word| word.to_le_bytes().map(u8::cast_signed));
        block.quants.iter().zip(activations).map(|(q, x)| i32::from(*q) * i32::from(x))
    });
    let products: i32 = products.sum();
    let RowBlock { scale, minimum, .. } = blocks[0];
    let float = |word: usize| f32::from_bits(record[word]);
    let is_super_block = block_type.block_len() == SUPER_BLOCK;
    let record_scale = float(if is_super_block { super_block::SCALE } else { block::SCALE });
    let sum = (products as f32).mul_add(scale * record_scale, sum);
    let has_minimum = !is_super_block && block_type.zero_point().is_none();
    if has_minimum { minimum.mul_add(float(block::SCALED_SUM), sum) } else { sum }
}
