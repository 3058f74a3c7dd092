//! Reading the blocks of a GGUF file, as `dequantize_row_*` in `ggml-quants.c` of llama.cpp does.

use half::f16;

use super::{BLOCK, BlockType};

/// The scales and minima of eight blocks of 32, of 6 bits each: scales first.
const SIX_BIT_VALUES: usize = 16;

/// Where the parts of a block begin.
struct Parts<'a> {
    low: &'a [u8],
    high: &'a [u8],
}

/// The unsigned values of one block, in the order of the weights; `out` has the block's length.
pub(super) fn read_quants(block_type: BlockType, block: &[u8], out: &mut [u8]) {
    match block_type {
        BlockType::Q4_0 => nibbles(&block[2..], out),
        BlockType::Q4_1 => nibbles(&block[4..], out),
        BlockType::Q5_0 => five_bits(&Parts { high: &block[2..6], low: &block[6..] }, out),
        BlockType::Q5_1 => five_bits(&Parts { high: &block[4..8], low: &block[8..] }, out),
        BlockType::Q8_0 => {
            for (q, byte) in out.iter_mut().zip(&block[2..]) {
                *q = byte ^ 0x80;
            }
        }
        BlockType::Q4_K => nibbles(&block[16..], out),
        BlockType::Q5_K => five_bits_k(&Parts { high: &block[16..48], low: &block[48..] }, out),
        BlockType::Q6_K => six_bits_k(&Parts { low: &block[..128], high: &block[128..192] }, out),
    }
}

/// The block's own scale, and the scale of its minima, as f16 bits; 0 for a type without minima.
pub(super) fn read_scales(block_type: BlockType, block: &[u8]) -> [u16; 2] {
    let at = |i: usize| u16::from_le_bytes([block[i], block[i + 1]]);
    match block_type {
        BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => [at(0), 0],
        BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4_K | BlockType::Q5_K => [at(0), at(2)],
        BlockType::Q6_K => [at(208), 0],
    }
}

/// The 6-bit scales and minima of a Q4_K or Q5_K block: eight scales, then eight minima.
pub(super) fn read_six_bit_values(block: &[u8]) -> [u8; SIX_BIT_VALUES] {
    let packed = &block[4..16];
    let mut values = [0; SIX_BIT_VALUES];
    for i in 0..4 {
        values[i] = packed[i] & 63;
        values[8 + i] = packed[4 + i] & 63;
        values[4 + i] = packed[8 + i] & 15 | packed[i] >> 6 << 4;
        values[12 + i] = packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4;
    }
    values
}

/// The signed scales of a Q6_K block, one for each 16 weights.
pub(super) fn read_signed_scales(block: &[u8]) -> [i8; 16] {
    std::array::from_fn(|i| block[192 + i].cast_signed())
}

/// The value of an f16 given as bits.
pub(super) fn f16_value(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// Runs of nibbles: the low ones of a run are the first half of its weights, the high ones the
/// second. A run is 16 bytes in a block of 32 weights, 32 bytes in one of 256.
fn nibbles(bytes: &[u8], out: &mut [u8]) {
    let run = out.len().min(2 * BLOCK) / 2;
    for (bytes, out) in bytes.chunks_exact(run).zip(out.chunks_exact_mut(2 * run)) {
        let (low, high) = out.split_at_mut(run);
        for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
            *low = byte & 15;
            *high = byte >> 4;
        }
    }
}

/// A block of 32: nibbles, and the fifth bits in order.
fn five_bits(parts: &Parts<'_>, out: &mut [u8]) {
    nibbles(parts.low, out);
    for (i, q) in out.iter_mut().enumerate() {
        *q |= (parts.high[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// A block of 256: nibbles, and the fifth bits of the eight blocks of 32 as the bits of a byte.
fn five_bits_k(parts: &Parts<'_>, out: &mut [u8]) {
    nibbles(parts.low, out);
    for (bit, out) in out.chunks_exact_mut(BLOCK).enumerate() {
        for (q, high) in out.iter_mut().zip(parts.high) {
            *q |= (high >> bit & 1) << 4;
        }
    }
}

/// Two halves of 128 weights: 64 bytes of nibbles, whose low ones are the first 64 weights, and 32
/// bytes with the upper two bits of four blocks of 32.
fn six_bits_k(parts: &Parts<'_>, out: &mut [u8]) {
    let halves = parts.low.chunks_exact(64).zip(parts.high.chunks_exact(32));
    for ((low, high), out) in halves.zip(out.chunks_exact_mut(128)) {
        for (i, q) in out.iter_mut().enumerate() {
            let nibble = low[i % 64] >> (i / 64 * 4) & 15;
            *q = nibble | (high[i % 32] >> (i / 32 * 2) & 3) << 4;
        }
    }
}
