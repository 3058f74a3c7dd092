//! The packed layout: sixteen weight rows interleaved, so that one 512-bit register carries the same
//! four weights of all sixteen, and a product needs no sum across lanes.
//!
//! A *span* is one GGUF block of each of the sixteen rows, in exactly as many bytes: a header with the
//! scales, then the quantised weights of each block of 32.
//!
//! - Header: 16 scales (f16); 16 minima or scales of minima (f16) where the type has them; then for
//!   Q4_K and Q5_K 256 values of 6 bits, the scales `[block][row]` and the minima
//!   `[pair of blocks][row][block]`, the last 64 of them in the upper bits of the first 192; for Q6_K
//!   the signed scales, `[block][row][half of it]`.
//! - Weights of a block of 32, in *quads* of four neighbours: a plane is 64 bytes, `[row][4]`.
//!   8 bits: eight planes, one a quad. Fewer: four planes of nibbles, quad `j` low and quad `j + 4`
//!   high; then for 5 bits one plane with the fifth bit of quad `j` in bit `j`, for 6 bits two planes
//!   (quads 0–3, quads 4–7) with the upper two bits of quad `j` in bits `2·(j mod 4)` and up.

use super::{
    BLOCK, BlockType, GROUP,
    gguf::{self, SIX_BIT_VALUES},
};

/// Quads in a block of 32.
const QUADS: usize = BLOCK / 4;
/// Bytes of one plane: four weights of each row.
pub(crate) const PLANE: usize = 4 * GROUP;
/// Bytes of sixteen f16.
pub(crate) const F16_ROW: usize = 2 * GROUP;
/// Bytes of the sixteen 6-bit values of sixteen rows, packed.
pub(crate) const SIX_BIT_BYTES: usize = 12 * GROUP;

/// Bytes of a span.
pub(crate) const fn span_bytes(block_type: BlockType) -> usize {
    GROUP * block_type.block_bytes()
}

/// Bytes of the quantised weights of a block of 32 of sixteen rows.
const fn quant_bytes(block_type: BlockType) -> usize {
    GROUP * BLOCK * block_type.bits() / 8
}

/// Writes one GGUF block of `row` (0 to 15) into its `span`, which was all zeros there.
pub(super) fn pack(block_type: BlockType, block: &[u8], row: usize, span: &mut [u8]) {
    let (header, quants) = span.split_at_mut(GROUP * block_type.header_bytes());
    pack_header(block_type, block, row, header);
    let mut values = [0; 256];
    let values = &mut values[..block_type.block_len()];
    gguf::read_quants(block_type, block, values);
    let blocks = values.chunks_exact(BLOCK).zip(quants.chunks_exact_mut(quant_bytes(block_type)));
    for (values, planes) in blocks {
        pack_quants(block_type.bits(), values, row, planes);
    }
}

fn pack_header(block_type: BlockType, block: &[u8], row: usize, header: &mut [u8]) {
    let [scale, minimum] = gguf::read_scales(block_type, block);
    header[2 * row..][..2].copy_from_slice(&scale.to_le_bytes());
    if block_type.zero_point().is_none() {
        header[F16_ROW + 2 * row..][..2].copy_from_slice(&minimum.to_le_bytes());
    }
    match block_type {
        BlockType::Q4_K | BlockType::Q5_K => {
            let values = gguf::read_six_bit_values(block);
            let rest = &mut header[2 * F16_ROW..];
            for (i, value) in values.into_iter().enumerate() {
                let at = six_bit_position(i, row);
                match at.checked_sub(SIX_BIT_BYTES) {
                    None => rest[at] |= value,
                    Some(at) => (0..3).for_each(|i| rest[i * PLANE + at] |= (value >> (2 * i) & 3) << 6),
                }
            }
        }
        BlockType::Q6_K => {
            for (i, scale) in gguf::read_signed_scales(block).iter().enumerate() {
                header[F16_ROW + pair_position(i, row)] = *scale;
            }
        }
        _ => {}
    }
}

/// Where value `i` of `row` lies in `[i / 2][row][i % 2]`.
fn pair_position(i: usize, row: usize) -> usize {
    i / 2 * 2 * GROUP + 2 * row + i % 2
}

/// Where value `i` of `row` lies among the 6-bit values, of which the first eight are scales.
fn six_bit_position(i: usize, row: usize) -> usize {
    if i < 8 { i * GROUP + row } else { pair_position(i, row) }
}

/// The packed 6-bit values of sixteen rows, each in its own byte.
#[inline(always)]
pub(crate) fn unpack_six_bit_values(packed: &[u8; SIX_BIT_BYTES]) -> [u8; SIX_BIT_VALUES * GROUP] {
    let mut values = [0; SIX_BIT_VALUES * GROUP];
    for i in 0..SIX_BIT_BYTES {
        values[i] = packed[i] & 63;
    }
    for i in 0..PLANE {
        let (a, b, c) = (packed[i] >> 6, packed[PLANE + i] >> 6, packed[2 * PLANE + i] >> 6);
        values[SIX_BIT_BYTES + i] = a | b << 2 | c << 4;
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

/// One block of 32 of one row: a weight is `scale·scales[half]·(q − zero point) +
/// minimum_scale·minimum`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RowBlock {
    pub(crate) quants: [u8; BLOCK],
    pub(crate) scale: f32,
    /// 1 for the types that have but one scale.
    pub(crate) scales: [i8; 2],
    pub(crate) minimum_scale: f32,
    /// 1 for the types that have but one minimum, 0 for those with a zero point.
    pub(crate) minimum: u8,
}

/// Reads the block of 32 number `block` of `row` out of a span.
pub(crate) fn unpack(block_type: BlockType, span: &[u8], row: usize, block: usize) -> RowBlock {
    let (header, quants) = span.split_at(GROUP * block_type.header_bytes());
    let f16_at = |i: usize| gguf::f16_value(u16::from_le_bytes([header[i], header[i + 1]]));
    let scale = f16_at(2 * row);
    let minimum_scale = || f16_at(F16_ROW + 2 * row);
    let mut planes = quants.chunks_exact(quant_bytes(block_type)).skip(block);
    let quants = planes.next().map_or([0; BLOCK], |planes| unpack_quants(block_type.bits(), planes, row));
    let (scales, minimum_scale, minimum) = match block_type {
        BlockType::Q4_0 | BlockType::Q5_0 | BlockType::Q8_0 => ([1; 2], 0.0, 0),
        BlockType::Q4_1 | BlockType::Q5_1 => ([1; 2], minimum_scale(), 1),
        BlockType::Q4_K | BlockType::Q5_K => {
            let mut packed = [0; SIX_BIT_BYTES];
            packed.copy_from_slice(&header[2 * F16_ROW..]);
            let values = unpack_six_bit_values(&packed);
            let value = |i: usize| values[six_bit_position(i, row)];
            ([value(block).cast_signed(); 2], -minimum_scale(), value(8 + block))
        }
        BlockType::Q6_K => {
            let signed = |half| header[F16_ROW + pair_position(2 * block + half, row)].cast_signed();
            ([0, 1].map(signed), 0.0, 0)
        }
    };
    RowBlock { quants, scale, scales, minimum_scale, minimum }
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
