//! The oracle of the other instruction sets: weight by weight, in plain Rust, with the same bits.

use crate::quant::{BLOCK, BlockType, GROUP, RECORD_WORDS, tile};

/// `out[c][r]`: row `r` of the sixteen of `group` times row `c` of `records`, `[block][row]`.
pub(super) fn tile(block_type: BlockType, group: &[u8], records: &[u32], out: &mut [[f32; GROUP]]) {
    let blocks_per_span = block_type.block_len() / BLOCK;
    let n_rows = out.len();
    out.fill([0.0; GROUP]);
    for (i, records) in records.chunks_exact(n_rows * RECORD_WORDS).enumerate() {
        let span_bytes = tile::span_bytes(block_type);
        let span = &group[i / blocks_per_span * span_bytes..][..span_bytes];
        for r in 0..GROUP {
            let block = tile::unpack(block_type, span, r, i % blocks_per_span);
            for (record, out) in records.chunks_exact(RECORD_WORDS).zip(out.iter_mut()) {
                out[r] = add_block(block_type, out[r], &block, record);
            }
        }
    }
}

/// `sum` with the product of one block added: the operations of `kernel`, in its order.
fn add_block(block_type: BlockType, sum: f32, block: &tile::RowBlock, record: &[u32]) -> f32 {
    let zero_point = i32::from(block_type.zero_point().unwrap_or(0));
    let mut halves = [0i32; 2];
    let activations = record[..8].iter().flat_map(|word| word.to_le_bytes());
    for (i, (q, x)) in block.quants.iter().zip(activations).enumerate() {
        halves[i / (BLOCK / 2)] += (i32::from(*q) - zero_point) * i32::from(x.cast_signed());
    }
    let (scale, scaled_sum) = (f32::from_bits(record[8]), f32::from_bits(record[9]));
    match block_type {
        BlockType::Q6_K => {
            let first = halves[0] as f32 * block.scales[0];
            (halves[1] as f32).mul_add(block.scales[1], first).mul_add(scale, sum)
        }
        _ => {
            let sum = ((halves[0] + halves[1]) as f32).mul_add(block.scales[0] * scale, sum);
            if block_type.zero_point().is_some() { sum } else { block.minimum.mul_add(scaled_sum, sum) }
        }
    }
}
