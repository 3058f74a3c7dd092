//! The tile functions of each instruction set: those of [`kernel`] and [`super_block`] compiled for its
//! features.

use super::{
    kernel::{self, Stream, for_rows},
    quants::{Bytes, FiveBits, Nibbles, Quants},
    scaling::{Centred, Scaling, WithMinimum},
    super_block::{self, Q4K, Q5K, Q6K, SuperBlocks},
};
use crate::{
    cpu::InstructionSet,
    quant::{BlockType, GROUP},
    simd,
};

/// One group with one tile, of 1 to 16 rows: `(weights, records, sums)`.
pub(super) type TileFn = unsafe fn(Stream<'_>, &[u32], &mut [[f32; GROUP]]);
/// Writes the bytes of a group of super-blocks.
pub(super) type UnpackFn = unsafe fn(&[u8], &mut [u8]);

/// The functions of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// That for a type and a number of rows.
    pub(super) packed: fn(BlockType, usize) -> TileFn,
    /// Up to so many rows, super-blocks are better unpacked in registers than beforehand.
    pub(super) few_rows: usize,
    /// That for super-blocks' bytes and a number of rows.
    pub(super) of_bytes: fn(usize) -> TileFn,
    /// What makes the bytes, for types that have super-blocks.
    pub(super) unpack: fn(BlockType) -> Option<UnpackFn>,
}

impl Tiles {
    /// Those of an instruction set; none for plain Rust. They ask for a processor that has it.
    pub(super) fn of(set: InstructionSet) -> Option<Self> {
        match set {
            InstructionSet::Scalar => None,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => Some(avx2::TILES),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AvxVnni if is_x86_feature_detected!("avxvnni") => Some(avx_vnni::TILES),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AvxVnni => Some(avx512_vnni_vl::TILES),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => Some(avx512::TILES),
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => Some(neon::TILES),
        }
    }
}

/// Defines a module with the tile functions of one instruction set.
macro_rules! tile_functions {
    ($module:ident, $set:ty, $features:literal, few_rows: $few_rows:literal) => {
        mod $module {
            use super::*;

            pub(super) const TILES: Tiles = Tiles { packed, few_rows: $few_rows, of_bytes, unpack };

            fn packed(block_type: BlockType, n_rows: usize) -> TileFn {
                match block_type {
                    BlockType::Q4_0 => for_rows!(n_rows, tile, Nibbles, Centred<3>),
                    BlockType::Q4_1 => for_rows!(n_rows, tile, Nibbles, WithMinimum),
                    BlockType::Q5_0 => for_rows!(n_rows, tile, FiveBits, Centred<4>),
                    BlockType::Q5_1 => for_rows!(n_rows, tile, FiveBits, WithMinimum),
                    BlockType::Q8_0 => for_rows!(n_rows, tile, Bytes, Centred<7>),
                    BlockType::Q4_K => for_rows!(n_rows, super_tile, Q4K),
                    BlockType::Q5_K => for_rows!(n_rows, super_tile, Q5K),
                    BlockType::Q6_K => for_rows!(n_rows, super_tile, Q6K),
                }
            }

            fn of_bytes(n_rows: usize) -> TileFn {
                for_rows!(n_rows, tile_of_bytes)
            }

            fn unpack(block_type: BlockType) -> Option<UnpackFn> {
                match block_type {
                    BlockType::Q4_K => Some(unpack_of::<Q4K>),
                    BlockType::Q5_K => Some(unpack_of::<Q5K>),
                    BlockType::Q6_K => Some(unpack_of::<Q6K>),
                    _ => None,
                }
            }

            /// # Safety
            /// The processor has these features.
            #[target_feature(enable = $features)]
            unsafe fn tile<Q: Quants, K: Scaling, const C: usize>(
                weights: Stream<'_>,
                records: &[u32],
                out: &mut [[f32; GROUP]],
            ) {
                // SAFETY: as this function.
                unsafe { kernel::tile::<$set, Q, K, C>(weights, records, out) }
            }

            /// # Safety
            /// The processor has these features.
            #[target_feature(enable = $features)]
            unsafe fn super_tile<T: SuperBlocks, const C: usize>(
                weights: Stream<'_>,
                records: &[u32],
                out: &mut [[f32; GROUP]],
            ) {
                // SAFETY: as this function.
                unsafe { super_block::tile::<$set, T, C>(weights, records, out) }
            }

            /// # Safety
            /// The processor has these features.
            #[target_feature(enable = $features)]
            unsafe fn tile_of_bytes<const C: usize>(
                weights: Stream<'_>,
                records: &[u32],
                out: &mut [[f32; GROUP]],
            ) {
                // SAFETY: as this function.
                unsafe { super_block::tile_of_bytes::<$set, C>(weights, records, out) }
            }

            /// # Safety
            /// The processor has these features.
            #[target_feature(enable = $features)]
            unsafe fn unpack_of<T: SuperBlocks>(group: &[u8], out: &mut [u8]) {
                // SAFETY: as this function.
                unsafe { super_block::unpack::<$set, T>(group, out) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tile_functions!(avx512, simd::Avx512, "avx512f,avx512bw,avx512vnni", few_rows: 16);
#[cfg(target_arch = "x86_64")]
tile_functions!(avx2, simd::Avx2, "avx2,fma,f16c", few_rows: 8);
#[cfg(target_arch = "x86_64")]
tile_functions!(avx_vnni, simd::Avx2<simd::AvxVnni>, "avx2,fma,f16c,avxvnni", few_rows: 16);
#[cfg(target_arch = "x86_64")]
tile_functions!(avx512_vnni_vl, simd::Avx2<simd::Avx512VnniVl>, "avx2,fma,f16c,avx512vl,avx512vnni", few_rows: 16);
#[cfg(target_arch = "aarch64")]
tile_functions!(neon, simd::Neon, "neon,dotprod", few_rows: 16);
