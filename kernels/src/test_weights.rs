//! Random GGUF blocks, and what they mean by the definition of the format: written weight by weight,
//! independent of how the crate reads whole blocks.

use half::f16;

use crate::quant::BlockType;

/// A generator of test data that is the same everywhere (Marsaglia's xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// −1 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn units(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.unit()).collect()
    }
}

/// `n` blocks with random weights and with scales of a believable size.
pub(crate) fn random_blocks(block_type: BlockType, n: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes: Vec<u8> = (0..n * block_type.block_bytes()).map(|_| (random.next() >> 32) as u8).collect();
    let f16_at: &[usize] = match block_type {
        BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => &[0],
        BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4_K | BlockType::Q5_K => &[0, 2],
        BlockType::Q6_K => &[208],
    };
    for block in bytes.chunks_exact_mut(block_type.block_bytes()) {
        for &at in f16_at {
            block[at..at + 2].copy_from_slice(&f16::from_f32(random.unit() * 0.01).to_le_bytes());
        }
    }
    bytes
}

/// The weights of some blocks, one by one.
pub(crate) fn dequantise(block_type: BlockType, bytes: &[u8]) -> Vec<f32> {
    let weight = |i: usize| {
        let block = &bytes[i / block_type.block_len() * block_type.block_bytes()..];
        weight(block_type, block, i % block_type.block_len())
    };
    (0..bytes.len() / block_type.block_bytes() * block_type.block_len()).map(weight).collect()
}

/// Weight `i` of a block.
fn weight(block_type: BlockType, block: &[u8], i: usize) -> f32 {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let bit = |bytes: &[u8], i: usize| bytes[i / 8] >> (i % 8) & 1;
    let nibble_32 = |at: usize| block[at + i % 16] >> (i / 16 * 4) & 15;
    let nibble_256 = |at: usize| block[at + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
    let six_bits = |n: usize| -> (u8, u8) {
        let s = &block[4..16];
        if n < 4 {
            (s[n] & 63, s[n + 4] & 63)
        } else {
            ((s[n + 4] & 15) + (s[n - 4] >> 6) * 16, (s[n + 4] >> 4) + (s[n] >> 6) * 16)
        }
    };
    let with_minimum = |q: u8| {
        let (scale, minimum) = six_bits(i / 32);
        half(0) * f32::from(scale) * f32::from(q) - half(2) * f32::from(minimum)
    };
    match block_type {
        BlockType::Q4_0 => (f32::from(nibble_32(2)) - 8.0) * half(0),
        BlockType::Q4_1 => f32::from(nibble_32(4)) * half(0) + half(2),
        BlockType::Q5_0 => (f32::from(nibble_32(6) + 16 * bit(&block[2..], i)) - 16.0) * half(0),
        BlockType::Q5_1 => f32::from(nibble_32(8) + 16 * bit(&block[4..], i)) * half(0) + half(2),
        BlockType::Q8_0 => f32::from(block[2 + i].cast_signed()) * half(0),
        BlockType::Q4_K => with_minimum(nibble_256(16)),
        BlockType::Q5_K => with_minimum(nibble_256(48) + 16 * (block[16 + i % 32] >> (i / 32) & 1)),
        BlockType::Q6_K => {
            let (part, i) = (i / 128, i % 128);
            let low = block[part * 64 + i % 64] >> (i / 64 * 4) & 15;
            let high = block[128 + part * 32 + i % 32] >> (i / 32 * 2) & 3;
            let scale = block[192 + part * 8 + i / 16].cast_signed();
            half(208) * f32::from(scale) * (f32::from(low + 16 * high) - 32.0)
        }
    }
}
