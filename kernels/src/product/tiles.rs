//! The tile functions of each instruction set: [`kernel::tile`] compiled for its features.

use super::{
    kernel::{self, TileFn, select_tile},
    quants::{Bytes, FiveBits, Nibbles, Quants, SixBits},
    scaling::{Centred, Scaling, SignedScales, SixBitScales, WithMinimum},
};
use crate::{
    quant::{BlockType, GROUP},
    simd,
};

/// Defines a module with the tile functions of one instruction set.
macro_rules! tile_functions {
    ($module:ident, $set:ty, $features:literal) => {
        pub(super) mod $module {
            use super::*;

            #[doc = concat!("The tile function for a type and a number of rows, 1 to 16. It asks for ", $features, ".")]
            pub(in crate::product) fn tile_fn(block_type: BlockType, n_rows: usize) -> TileFn {
                select_tile!(tile, block_type, n_rows)
            }

            /// # Safety
            /// The processor has these features.
            #[target_feature(enable = $features)]
            unsafe fn tile<Q: Quants, K: Scaling, const C: usize>(
                group: &[u8],
                records: &[u32],
                out: &mut [[f32; GROUP]],
            ) {
                // SAFETY: as this function.
                unsafe { kernel::tile::<$set, Q, K, C>(group, records, out) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tile_functions!(avx512, simd::Avx512, "avx512f,avx512bw,avx512vnni");
#[cfg(target_arch = "x86_64")]
tile_functions!(avx2, simd::Avx2, "avx2,fma,f16c");
#[cfg(target_arch = "aarch64")]
tile_functions!(neon, simd::Neon, "neon,dotprod");
