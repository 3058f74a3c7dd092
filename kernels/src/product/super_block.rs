//! The product of sixteen weight rows of super-blocks with a few rows of activations.
//!
//! The weights of a super-block are bytes of one step (`quant::steps`), so that a product is a sum of
//! integers over 256 weights and one multiplication of floats. A single tile makes the bytes in
//! registers on its way; for several, [`unpack`] writes them once into the cache, and each tile reads
//! them there: [`tile_of_bytes`]. Both come to the same integers, and to the same bits.

use super::{
    kernel::{Ahead, Stream},
    quants::{FiveBits, Nibbles, Quants, SixBits},
    scaling::add_scaled,
};
use crate::{
    quant::{
        BLOCK, GROUP, MAX_TILE_ROWS, SUPER_BLOCK,
        record::super_block::{SCALE, START, WORDS},
        steps,
        tile::{F16_ROW, FACTORS, OFFSETS, PLANE, SIX_BIT_BYTES, unpack_six_bit_values},
    },
    simd::Simd,
};

/// Blocks of 32 in a super-block.
const BLOCKS: usize = SUPER_BLOCK / BLOCK;
/// Words of activations in a block, and registers of its weights.
const BLOCK_WORDS: usize = BLOCK / 4;
/// Quads of weights in a super-block.
const QUADS: usize = SUPER_BLOCK / 4;
/// Bytes of an unpacked span: sixteen steps as f32, the shares of sixteen rows as a product with them
/// begins with, then the planes.
pub(super) const UNPACKED_BYTES: usize = UNPACKED_PLANES + QUADS * PLANE;
/// Where the shares and the planes begin in it.
const SHARES: usize = 4 * GROUP;
const UNPACKED_PLANES: usize = SHARES + 4 * GROUP;

/// A type with super-blocks.
pub(super) trait SuperBlocks {
    /// How its weights lie.
    type Quants: Quants;
    /// Bytes of the header of a span.
    const HEADER: usize;
    /// Bytes of a block's share of a span: its planes and as much of the header.
    const SHARE: usize = {
        assert!(Self::HEADER.is_multiple_of(BLOCKS));
        Self::HEADER / BLOCKS + Self::Quants::BYTES
    };
    /// Bytes of a span.
    const SPAN_BYTES: usize = BLOCKS * Self::SHARE;
    /// What is read once for a span.
    type Span;

    /// # Safety
    /// A whole header lies at `header`.
    unsafe fn span(header: *const u8) -> Self::Span;
    /// Factor and offset for each half of a block; `common` is what the factors have in common.
    ///
    /// # Safety
    /// As for [`Simd`]; a whole header lies at `header`, `row` is a multiple of `S::ROWS` below 16 and
    /// `block` below [`BLOCKS`].
    unsafe fn halves<S: Simd>(
        span: &Self::Span,
        common: S::Int,
        header: *const u8,
        row: usize,
        block: usize,
    ) -> [[S::Int; 2]; 2];
}

/// Four bits, and scales of six bits.
pub(super) struct Q4K;
/// Five bits, and scales of six bits.
pub(super) struct Q5K;
/// Six bits, and signed scales of half blocks.
pub(super) struct Q6K;

/// A type with scales of six bits.
macro_rules! six_bit_scales {
    ($type:ty, $quants:ty) => {
        impl SuperBlocks for $type {
            type Quants = $quants;
            const HEADER: usize = OFFSETS + BLOCKS * GROUP;
            type Span = [u8; BLOCKS * GROUP];

            #[inline(always)]
            unsafe fn span(header: *const u8) -> Self::Span {
                // SAFETY: as this function; the packed scales begin at `FACTORS`.
                unpack_six_bit_values(unsafe { &*header.add(FACTORS).cast::<[u8; SIX_BIT_BYTES]>() })
            }

            #[inline(always)]
            unsafe fn halves<S: Simd>(
                scales: &Self::Span,
                common: S::Int,
                header: *const u8,
                row: usize,
                block: usize,
            ) -> [[S::Int; 2]; 2] {
                // SAFETY: as this function; the header ends with a row of offsets for each block.
                unsafe {
                    let at = block * GROUP + row;
                    let scale = S::load_upper_bytes(scales.as_ptr().add(at));
                    [[S::mul_high16(scale, common), S::load_bytes(header.add(OFFSETS + at))]; 2]
                }
            }
        }
    };
}
six_bit_scales!(Q4K, Nibbles);
six_bit_scales!(Q5K, FiveBits);

impl SuperBlocks for Q6K {
    type Quants = SixBits;
    const HEADER: usize = FACTORS + 2 * BLOCKS * GROUP;
    type Span = ();

    #[inline(always)]
    unsafe fn span(_: *const u8) {}

    #[inline(always)]
    unsafe fn halves<S: Simd>(
        (): &(),
        common: S::Int,
        header: *const u8,
        row: usize,
        block: usize,
    ) -> [[S::Int; 2]; 2] {
        // SAFETY: as this function; the header ends with two rows of scales for each block.
        unsafe {
            let scales = header.add(FACTORS + 2 * block * GROUP + row);
            [
                with_offset::<S>(S::mul_high16(S::load_upper_bytes(scales), common)),
                with_offset::<S>(S::mul_high16(S::load_upper_bytes(scales.add(GROUP)), common)),
            ]
        }
    }
}

/// The factor, and the offset with which `q` stands for `q − 32`.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn with_offset<S: Simd>(factor: S::Int) -> [S::Int; 2] {
    // SAFETY: as this function. `32·factor/256 = factor/8`.
    unsafe { [factor, S::sub_bytes(S::splat_byte(steps::ZERO), S::eighth_bytes(factor))] }
}

/// The quads `J` and `J + 4` of a block of 32, scaled by the factors and offsets of `halves`.
///
/// # Safety
/// As for [`Simd`]; the planes of the block lie at `planes`, the wanted rows first.
#[inline(always)]
unsafe fn weights<S: Simd, Q: Quants, const J: usize>(
    planes: *const u8,
    halves: [[S::Int; 2]; 2],
) -> [S::Int; 2] {
    // SAFETY: as this function.
    unsafe {
        let mut w = Q::pair::<S, J>(planes);
        for (w, [factor, offset]) in w.iter_mut().zip(halves) {
            *w = S::add_bytes(S::scale_bytes(*w, factor), S::from_biased(offset));
        }
        w
    }
}

/// Adds the products of the quads `J` and `J + 4` of a block with each of `C` records, `x` the block's
/// words in the first.
///
/// # Safety
/// As [`weights`]; the records lie one behind the other.
#[inline(always)]
unsafe fn dot<S: Simd, Q: Quants, const C: usize, const J: usize>(
    products: &mut [S::Int; C],
    planes: *const u8,
    halves: [[S::Int; 2]; 2],
    x: *const u32,
) {
    // SAFETY: as this function.
    unsafe {
        for (w, x) in weights::<S, Q, J>(planes, halves).into_iter().zip([x.add(J), x.add(J + 4)]) {
            for (c, product) in products.iter_mut().enumerate() {
                *product = S::dot_bytes(*product, w, x.add(c * WORDS));
            }
        }
    }
}

/// Where the products with `C` records start.
///
/// # Safety
/// As [`dot`].
#[inline(always)]
unsafe fn start<S: Simd, const C: usize>(record: *const u32) -> [S::Int; C] {
    // SAFETY: as this function.
    unsafe {
        let mut products = [S::zero_int(); C];
        for (c, product) in products.iter_mut().enumerate() {
            *product = S::start_biased(record.add(c * WORDS + START));
        }
        products
    }
}

/// Adds the products of a span with `C` records to the sums in `out`, from its row `row` on.
///
/// # Safety
/// As [`dot`]; `out` is `C` long.
#[inline(always)]
unsafe fn finish<S: Simd, const C: usize>(
    out: &mut [[f32; GROUP]],
    products: [S::Int; C],
    step: S::Float,
    record: *const u32,
    row: usize,
) {
    for (c, (product, out)) in products.into_iter().zip(out).enumerate() {
        // SAFETY: as this function.
        unsafe {
            let out = out.as_mut_ptr().add(row);
            let sum = add_scaled::<S>(S::load_f32(out), product, step, record.add(c * WORDS + SCALE));
            S::store(out, sum);
        }
    }
}

/// `out[c][r]`: row `r` of the sixteen of `weights` times row `c` of the `C` of `records`.
///
/// # Panics
/// When the lengths do not fit one another.
///
/// # Safety
/// The processor has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, T: SuperBlocks, const C: usize>(
    weights: Stream<'_>,
    records: &[u32],
    out: &mut [[f32; GROUP]],
) {
    let Stream { group, .. } = weights;
    let ahead = Ahead::of(weights, T::SHARE, C);
    let n_spans = group.len() / T::SPAN_BYTES;
    assert_eq!(group.len(), n_spans * T::SPAN_BYTES);
    assert_eq!(records.len(), n_spans * C * WORDS);
    assert_eq!(out.len(), C);
    out.fill([0.0; GROUP]);
    for (header, records) in group.chunks_exact(T::SPAN_BYTES).zip(records.chunks_exact(C * WORDS)) {
        let (header, record) = (header.as_ptr(), records.as_ptr());
        // SAFETY: a whole span, and `C` records.
        unsafe {
            let span = T::span(header);
            for row in (0..GROUP).step_by(S::ROWS) {
                let common = S::load_16_twice(header.add(F16_ROW + 2 * row));
                let mut products = start::<S, C>(record);
                for block in 0..BLOCKS {
                    let planes = header.add(T::HEADER + block * T::Quants::BYTES);
                    ahead.fetch::<S>(header.add(block * T::SHARE));
                    let halves = T::halves::<S>(&span, common, header, row, block);
                    let (planes, x) = (planes.add(4 * row), record.add(block * BLOCK_WORDS));
                    // A few weights at a time: while they are multiplied, the processor unpacks the next.
                    dot::<S, T::Quants, C, 0>(&mut products, planes, halves, x);
                    dot::<S, T::Quants, C, 1>(&mut products, planes, halves, x);
                    dot::<S, T::Quants, C, 2>(&mut products, planes, halves, x);
                    dot::<S, T::Quants, C, 3>(&mut products, planes, halves, x);
                }
                finish::<S, C>(out, products, S::load_f16(header.add(2 * row)), record, row);
            }
        }
    }
}

/// Writes the spans of `group` into `out`, unpacked.
///
/// # Panics
/// When the lengths do not fit one another.
///
/// # Safety
/// The processor has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn unpack<S: Simd, T: SuperBlocks>(group: &[u8], out: &mut [u8]) {
    // The groups of a task are unpacked one behind the other.
    let next = &group[group.len()..];
    let ahead = Ahead::of(Stream { group, next }, T::SHARE, MAX_TILE_ROWS);
    assert_eq!(group.len() / T::SPAN_BYTES * UNPACKED_BYTES, out.len());
    for (header, out) in group.chunks_exact(T::SPAN_BYTES).zip(out.chunks_exact_mut(UNPACKED_BYTES)) {
        let header = header.as_ptr();
        let unpacked = out.as_mut_ptr();
        // SAFETY: a whole span, packed and unpacked.
        unsafe {
            let span = T::span(header);
            for row in (0..GROUP).step_by(S::ROWS) {
                S::store(unpacked.cast::<f32>().add(row), S::load_f16(header.add(2 * row)));
                let common = S::load_16_twice(header.add(F16_ROW + 2 * row));
                let mut shares = S::zero_int();
                for block in 0..BLOCKS {
                    let planes = header.add(T::HEADER + block * T::Quants::BYTES);
                    ahead.fetch::<S>(header.add(block * T::SHARE));
                    let halves = T::halves::<S>(&span, common, header, row, block);
                    let planes = planes.add(4 * row);
                    let pairs = [
                        weights::<S, T::Quants, 0>(planes, halves),
                        weights::<S, T::Quants, 1>(planes, halves),
                        weights::<S, T::Quants, 2>(planes, halves),
                        weights::<S, T::Quants, 3>(planes, halves),
                    ];
                    for (j, pair) in pairs.into_iter().enumerate() {
                        for (w, quad) in pair.into_iter().zip([j, j + 4]) {
                            let quad = block * BLOCK_WORDS + quad;
                            S::store_int(unpacked.add(UNPACKED_PLANES + quad * PLANE + 4 * row), w);
                            shares = S::add_share(shares, S::ready(w));
                        }
                    }
                }
                S::store_int(unpacked.add(SHARES + 4 * row), shares);
            }
        }
    }
}

/// [`tile`] for an unpacked group.
///
/// # Panics
/// When the lengths do not fit one another.
///
/// # Safety
/// The processor has the instruction set `S`.
#[inline(always)]
pub(super) unsafe fn tile_of_bytes<S: Simd, const C: usize>(
    weights: Stream<'_>,
    records: &[u32],
    out: &mut [[f32; GROUP]],
) {
    let Stream { group, .. } = weights;
    let n_spans = group.len() / UNPACKED_BYTES;
    assert_eq!(group.len(), n_spans * UNPACKED_BYTES);
    assert_eq!(records.len(), n_spans * C * WORDS);
    assert_eq!(out.len(), C);
    out.fill([0.0; GROUP]);
    for row in (0..GROUP).step_by(S::ROWS) {
        for (span, records) in group.chunks_exact(UNPACKED_BYTES).zip(records.chunks_exact(C * WORDS)) {
            let (span, record) = (span.as_ptr(), records.as_ptr());
            // SAFETY: a whole unpacked span, and `C` records.
            unsafe {
                let shares = S::load(span.add(SHARES + 4 * row));
                let mut products = [S::zero_int(); C];
                for (c, product) in products.iter_mut().enumerate() {
                    *product = S::start_ready(record.add(c * WORDS + START), shares);
                }
                for quad in 0..QUADS {
                    let w = S::ready(S::load(span.add(UNPACKED_PLANES + quad * PLANE + 4 * row)));
                    for (c, product) in products.iter_mut().enumerate() {
                        *product = S::dot_ready(*product, w, record.add(c * WORDS + quad));
                    }
                }
                finish::<S, C>(out, products, S::load_f32(span.cast::<f32>().add(row)), record, row);
            }
        }
    }
}
