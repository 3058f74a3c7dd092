//! The packed layout: sixteen weight rows interleaved, so that one 512-bit register carries the same
//! four weights of all sixteen, and a product needs no sum across lanes.
//!
//! A *span* is one GGUF block of each of the sixteen rows: a header with the scales, then the quantised
//! weights of each block of 32.
//!
//! - Header: 16 scales (f16), and 16 minima (f16) where the type has them. In super-blocks, whose
//!   weights are [bytes of one step](super::steps), 16 steps (f16) and 16 times what their factors have
//!   in common (i16); then for Q4_K and Q5_K 128 scales of 6 bits, `[block][row]`, the last 32 of them
//!   in the upper bits of the first 96, and the offsets, `[block][row]`; for Q6_K the signed scales,
//!   `[half block][row]`. That is as large as the file's header, and two bytes a row more in
//!   super-blocks.
//! - Weights of a block of 32, in *quads* of four neighbours: a plane is 64 bytes, `[row][4]`.
//!   8 bits: eight planes, one a quad. Fewer: four planes of nibbles, quad `j` low and quad `j + 4`
//!   high; then for 5 bits one plane with the fifth bit of quad `j` in bit `j`, for 6 bits two planes
//!   (quads 0–3, quads 4–7) with the upper two bits of quad `j` in bits `2·(j mod 4)` and up. In
//!   super-blocks the two bytes of each sixteen bits are swapped, as scaling swaps them back.

use super::{
    BLOCK, BlockType, GROUP, SUPER_BLOCK, gguf,
    steps::{self, Signed, SixBits},
};

/// Quads in a block of 32.
const QUADS: usize = BLOCK / 4;
/// Bytes of one plane: four weights of each row.
pub(crate) const PLANE: usize = 4 * GROUP;
/// Bytes of sixteen f16.
pub(crate) const F16_ROW: usize = 2 * GROUP;
/// Scales of 6 bits in a span.
const SIX_BIT_VALUES: usize = 8 * GROUP;
/// Bytes that they take.
pub(crate) const SIX_BIT_BYTES: usize = SIX_BIT_VALUES * 6 / 8;
/// Those of them that lie in the upper bits of the others.
const SPLIT_VALUES: usize = SIX_BIT_VALUES - SIX_BIT_BYTES;
/// Where the factors of a super-block begin in its header.
pub(crate) const FACTORS: usize = 2 * F16_ROW;
/// Where the offsets begin in the header of a super-block with 6-bit scales.
pub(crate) const OFFSETS: usize = FACTORS + SIX_BIT_BYTES;

/// Bytes of the header of a span.
const fn header_bytes(block_type: BlockType) -> usize {
    match block_type {
        BlockType::Q4_K | BlockType::Q5_K => OFFSETS + 8 * GROUP,
        BlockType::Q6_K => FACTORS + 16 * GROUP,
        _ => GROUP * block_type.header_bytes(),
    }
}

/// Bytes of the quantised weights of a block of 32 of sixteen rows.
const fn quant_bytes(block_type: BlockType) -> usize {
    GROUP * BLOCK * block_type.bits() / 8
}

/// Bytes of a span.
pub(crate) const fn span_bytes(block_type: BlockType) -> usize {
    header_bytes(block_type) + block_type.block_len() / BLOCK * quant_bytes(block_type)
}

/// Writes one GGUF block of `row` (0 to 15) into its `span`, which was all zeros there.
pub(super) fn pack(block_type: BlockType, block: &[u8], row: usize, span: &mut [u8]) {
    let (header, quants) = span.split_at_mut(header_bytes(block_type));
    let mut values = [0; SUPER_BLOCK];
    gguf::read_quants(block_type, block, &mut values[..block_type.block_len()]);
    pack_header(block_type, block, &values, row, header);
    let values = &mut values[..block_type.block_len()];
    if block_type.block_len() == SUPER_BLOCK {
        values.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
    }
    let blocks = values.chunks_exact(BLOCK).zip(quants.chunks_exact_mut(quant_bytes(block_type)));
    for (values, planes) in blocks {
        pack_quants(block_type.bits(), values, row, planes);
    }
}

/// The header of a block whose quantised weights are the first of `quants`.
fn pack_header(
    block_type: BlockType,
    block: &[u8],
    quants: &[u8; SUPER_BLOCK],
    row: usize,
    header: &mut [u8],
) {
    let [scale, minimum] = gguf::read_scales(block_type, block);
    let mut put = |at: usize, value: [u8; 2]| header[at + 2 * row..][..2].copy_from_slice(&value);
    match block_type {
        BlockType::Q4_K | BlockType::Q5_K => {
            let most = (1 << block_type.bits()) - 1;
            let scales = [scale, minimum].map(gguf::f16_value);
            let packed = SixBits::new(scales, gguf::read_six_bit_values(block), quants, most);
            put(0, packed.steps.step.to_le_bytes());
            put(F16_ROW, packed.steps.common.to_le_bytes());
            for (block, scale) in packed.scales.into_iter().enumerate() {
                put_six_bits(&mut header[FACTORS..OFFSETS], block * GROUP + row, scale);
            }
            for (block, offset) in packed.offsets.into_iter().enumerate() {
                header[OFFSETS + block * GROUP + row] = offset;
            }
        }
        BlockType::Q6_K => {
            let packed = Signed::new(gguf::f16_value(scale), gguf::read_signed_scales(block));
            put(0, packed.steps.step.to_le_bytes());
            put(F16_ROW, packed.steps.common.to_le_bytes());
            for (half, scale) in packed.scales.into_iter().enumerate() {
                header[FACTORS + half * GROUP + row] = scale.cast_unsigned();
            }
        }
        _ => {
            put(0, scale.to_le_bytes());
            if block_type.zero_point().is_none() {
                put(F16_ROW, minimum.to_le_bytes());
            }
        }
    }
}

/// Writes value number `i`: whole, or two bits each into the upper bits of three others.
fn put_six_bits(packed: &mut [u8], i: usize, value: u8) {
    match i.checked_sub(SIX_BIT_BYTES) {
        None => packed[i] |= value,
        Some(i) => (0..3).for_each(|k| packed[k * SPLIT_VALUES + i] |= (value >> (2 * k) & 3) << 6),
    }
}

/// The packed 6-bit values of sixteen rows, doubled, each in its own byte.
#[inline(always)]
pub(crate) fn unpack_six_bit_values(packed: &[u8; SIX_BIT_BYTES]) -> [u8; SIX_BIT_VALUES] {
    let mut values = [0; SIX_BIT_VALUES];
    for i in 0..SIX_BIT_BYTES {
        values[i] = packed[i] << 1 & 126;
    }
    for i in 0..SPLIT_VALUES {
        let bits = |k: usize| packed[k * SPLIT_VALUES + i] & 0xc0;
        values[SIX_BIT_BYTES + i] = bits(0) >> 5 | bits(1) >> 3 | bits(2) >> 1;
    }
    values
}

/// The four weights of a quad, a byte each.
fn quad(values: &[u8], j: usize) -> u32 {
    u32::from_le_bytes([values[4 * j], values[4 * j + 1], values[4 * j + 2], values[4 * j + 3]])
}

fn pack_quants(bits: usize, values: &[u8], row: usize, planes: &mut [u8]) {
    let mut put = |plane: usize, word: u32| {
        planes[plane * PLANE + 4 * row..][..4].copy_from_slice(&word.to_le_bytes());
    };
    if bits == 8 {
        (0..QUADS).for_each(|j| put(j, quad(values, j)));
        return;
    }
    let nibbles = |j| quad(values, j) & 0x0f0f_0f0f;
    (0..4).for_each(|j| put(j, nibbles(j) | nibbles(j + 4) << 4));
    let upper = |j| quad(values, j) >> 4 & 0x0f0f_0f0f;
    match bits {
        5 => put(4, (0..QUADS).fold(0, |word, j| word | upper(j) << j)),
        6 => (0..2).for_each(|p| put(4 + p, (0..4).fold(0, |word, j| word | upper(4 * p + j) << (2 * j)))),
        _ => {}
    }
}

/// One block of 32 of one row: a weight is `scale·q + minimum`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RowBlock {
    pub(crate) quants: [i16; BLOCK],
    pub(crate) scale: f32,
    pub(crate) minimum: f32,
}

/// Reads the block of 32 number `block` of `row` out of a span.
pub(crate) fn unpack(block_type: BlockType, span: &[u8], row: usize, block: usize) -> RowBlock {
    let (header, quants) = span.split_at(header_bytes(block_type));
    let bits_at = |at: usize| u16::from_le_bytes([header[at + 2 * row], header[at + 2 * row + 1]]);
    let mut planes = quants.chunks_exact(quant_bytes(block_type)).skip(block);
    let quants = planes.next().map_or([0; BLOCK], |planes| unpack_quants(block_type.bits(), planes, row));
    let common = || bits_at(F16_ROW).cast_signed();
    let (quants, minimum) = match block_type {
        BlockType::Q4_K | BlockType::Q5_K => {
            let mut packed = [0; SIX_BIT_BYTES];
            packed.copy_from_slice(&header[FACTORS..OFFSETS]);
            let scale = unpack_six_bit_values(&packed)[block * GROUP + row] / 2;
            let factor = steps::factor_of_six_bits(scale, common());
            let offset = header[OFFSETS + block * GROUP + row];
            (weight_bytes(quants, |_| (factor, offset)), 0.0)
        }
        BlockType::Q6_K => {
            let half = |i: usize| {
                let scale = header[FACTORS + (2 * block + i / (BLOCK / 2)) * GROUP + row];
                let factor = steps::factor_of_signed(scale.cast_signed(), common());
                (factor, steps::offset_of_signed(factor))
            };
            (weight_bytes(quants, half), 0.0)
        }
        _ => match block_type.zero_point() {
            Some(zero) => (quants.map(|q| i16::from(q) - i16::from(zero)), 0.0),
            None => (quants.map(i16::from), gguf::f16_value(bits_at(F16_ROW))),
        },
    };
    RowBlock { quants, scale: gguf::f16_value(bits_at(0)), minimum }
}

/// Signed weights of a super-block of which these are the bits; `factor` gives factor and offset.
fn weight_bytes(quants: [u8; BLOCK], factor: impl Fn(usize) -> (i16, u8)) -> [i16; BLOCK] {
    std::array::from_fn(|i| {
        let (factor, offset) = factor(i);
        i16::from(steps::byte(quants[i ^ 1], factor, offset)) - i16::from(steps::ZERO)
    })
}

fn unpack_quants(bits: usize, planes: &[u8], row: usize) -> [u8; BLOCK] {
    let word = |plane: usize| quad(&planes[plane * PLANE + 4 * row..], 0);
    let mut values = [0; BLOCK];
    for (j, out) in values.chunks_exact_mut(4).enumerate() {
        let nibbles = || word(j % 4) >> (j / 4 * 4) & 0x0f0f_0f0f;
        let quad = match bits {
            8 => word(j),
            5 => nibbles() | (word(4) >> j & 0x0101_0101) << 4,
            6 => nibbles() | (word(4 + j / 4) >> (j % 4 * 2) & 0x0303_0303) << 4,
            _ => nibbles(),
        };
        out.copy_from_slice(&quad.to_le_bytes());
    }
    values
}
