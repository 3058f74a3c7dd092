//! The oracle of the other instruction sets: weight by weight, in plain Rust, with the same bits.

use crate::quant::{
    BLOCK, BlockType, GROUP,
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

/// `sum` with the product of one span added: the operations of `kernel`, in its order.
fn add_span(block_type: BlockType, sum: f32, blocks: &[RowBlock], record: &[u32]) -> f32 {
    let zero_point = i32::from(block_type.zero_point().unwrap_or(0));
    let float = |word: usize| f32::from_bits(record[word]);
    let (mut products, mut minima) = (0, 0);
    for (block, words) in blocks.iter().zip(record.chunks_exact(BLOCK / 4)) {
        let activations = words.iter().flat_map(|word| word.to_le_bytes().map(u8::cast_signed));
        for (i, (q, x)) in block.quants.iter().zip(activations).enumerate() {
            let scale = i32::from(block.scales[i / (BLOCK / 2)]);
            products += scale * (i32::from(*q) - zero_point) * i32::from(x);
            minima += i32::from(block.minimum) * i32::from(x);
        }
    }
    let RowBlock { scale, minimum_scale, .. } = blocks[0];
    match block_type {
        BlockType::Q4_K | BlockType::Q5_K => {
            let both = (minima as f32).mul_add(minimum_scale, products as f32 * scale);
            both.mul_add(float(super_block::SCALE), sum)
        }
        BlockType::Q6_K => (products as f32 * scale).mul_add(float(super_block::SCALE), sum),
        _ => {
            let sum = (products as f32).mul_add(scale * float(block::SCALE), sum);
            let has_minimum = block_type.zero_point().is_none();
            if has_minimum { minimum_scale.mul_add(float(block::SCALED_SUM), sum) } else { sum }
        }
    }
}
