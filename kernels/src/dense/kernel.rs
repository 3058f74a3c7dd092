//! One tile of activation rows with some panels of weight rows, in registers.

use super::{
    CHUNK, DenseType, PAIR_BYTES,
    activations::MAX_TILE_ROWS,
    lanes::{Lanes, WidenedBf16, WidenedF16},
    path::Path,
    scalar,
    tile_args::TileArgs,
};
use crate::{cpu::InstructionSet, quant::NR, simd};

/// Panels of weight rows that a call takes, at most.
pub(super) const MAX_PANELS: usize = 4;
/// Sums of a call, at most: see [`panels_at_once`].
pub(super) const MAX_SUMS: usize = MAX_TILE_ROWS * 2 * NR;

/// Panels to give a call with so many rows: as many sums as there are registers for.
pub(super) fn panels_at_once(n_rows: usize) -> usize {
    if n_rows <= MAX_TILE_ROWS / 2 { MAX_PANELS } else { MAX_PANELS / 2 }
}

/// `sums[r][i]`: row `r` of the tile times weight row `i` of the args, `[n_rows][16 · n_panels]`. The
/// machine must have the path; the lines must be in its format.
///
/// # Panics
/// When the lengths do not fit one another.
pub(super) fn multiply(path: Path, dense_type: DenseType, args: &TileArgs<'_>, sums: &mut [f32]) {
    let n_chunks = args.panel_bytes / (NR * CHUNK * 2);
    let chunk_lines = path.format(dense_type).chunk_lines();
    assert_eq!(args.lines.len(), n_chunks * args.n_rows * chunk_lines);
    assert_eq!(sums.len(), args.n_rows * args.n_panels() * NR);
    match path {
        Path::Widened(InstructionSet::Scalar) => scalar::multiply(dense_type, args, sums),
        // SAFETY: the machine has the path, and the lengths are those above; so in all that follows.
        #[cfg(target_arch = "x86_64")]
        Path::Bf16Pairs => unsafe {
            match dense_type {
                DenseType::Bf16 => avx512::bf16_pairs(args, sums),
                DenseType::F16 => avx512::f16(args, sums),
            }
        },
        // SAFETY: see above.
        #[cfg(target_arch = "x86_64")]
        Path::Widened(InstructionSet::Avx512) => unsafe {
            match dense_type {
                DenseType::Bf16 => avx512::bf16(args, sums),
                DenseType::F16 => avx512::f16(args, sums),
            }
        },
        // SAFETY: see above.
        #[cfg(target_arch = "x86_64")]
        Path::Widened(InstructionSet::Avx2 | InstructionSet::AvxVnni) => unsafe {
            match dense_type {
                DenseType::Bf16 => avx2::bf16(args, sums),
                DenseType::F16 => avx2::f16(args, sums),
            }
        },
        // SAFETY: see above.
        #[cfg(target_arch = "aarch64")]
        Path::Widened(InstructionSet::Neon) => unsafe {
            match dense_type {
                DenseType::Bf16 => neon::bf16(args, sums),
                DenseType::F16 => neon::f16(args, sums),
            }
        },
    }
}

/// Defines a function that calls [`tile`] with so many rows, compiled for the features; registers of
/// weights are `$few` for up to half a tile of rows, else `$many`.
macro_rules! tiles {
    ($visibility:vis fn $name:ident = $lanes:ty, $features:literal, $few:literal, $many:literal) => {
        /// # Safety
        /// As [`tile`].
        #[target_feature(enable = $features)]
        $visibility unsafe fn $name(args: &TileArgs<'_>, sums: &mut [f32]) {
            // SAFETY: as this function.
            unsafe {
                match args.n_rows {
                    1 => tile::<$lanes, 1, $few>(args, sums),
                    2 => tile::<$lanes, 2, $few>(args, sums),
                    3 => tile::<$lanes, 3, $few>(args, sums),
                    4 => tile::<$lanes, 4, $few>(args, sums),
                    5 => tile::<$lanes, 5, $few>(args, sums),
                    6 => tile::<$lanes, 6, $few>(args, sums),
                    7 => tile::<$lanes, 7, $many>(args, sums),
                    8 => tile::<$lanes, 8, $many>(args, sums),
                    9 => tile::<$lanes, 9, $many>(args, sums),
                    10 => tile::<$lanes, 10, $many>(args, sums),
                    11 => tile::<$lanes, 11, $many>(args, sums),
                    _ => tile::<$lanes, 12, $many>(args, sums),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::*;
    use crate::dense::lanes::Bf16Pairs;

    tiles!(pub(super) fn bf16_pairs = Bf16Pairs, "avx512f,avx512bw,avx512bf16", 4, 2);
    tiles!(pub(super) fn bf16 = WidenedBf16<simd::Avx512>, "avx512f,avx512bw", 4, 2);
    tiles!(pub(super) fn f16 = WidenedF16<simd::Avx512>, "avx512f,avx512bw", 4, 2);
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::*;

    tiles!(pub(super) fn bf16 = WidenedBf16<simd::Avx2>, "avx2,fma,f16c", 2, 1);
    tiles!(pub(super) fn f16 = WidenedF16<simd::Avx2>, "avx2,fma,f16c", 2, 1);
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::*;

    tiles!(pub(super) fn bf16 = WidenedBf16<simd::Neon>, "neon", 4, 2);
    tiles!(pub(super) fn f16 = WidenedF16<simd::Neon>, "neon", 4, 2);
}

/// [`multiply`] for `C` rows, `U` registers of weights at a time.
///
/// # Safety
/// The processor has the instructions of `L`. The args has `C` rows of lines in the format of `L`, as
/// many as its weights have inputs; `sums` has room for `C` rows of its panels.
#[inline(always)]
unsafe fn tile<L: Lanes, const C: usize, const U: usize>(args: &TileArgs<'_>, sums: &mut [f32]) {
    let n_registers = args.n_panels() * (NR / L::ROWS);
    let whole = n_registers / U * U;
    for first in (0..whole).step_by(U) {
        // SAFETY: as this function.
        unsafe { registers::<L, C, U>(args, first, sums) };
    }
    for first in whole..n_registers {
        // SAFETY: as this function.
        unsafe { registers::<L, C, 1>(args, first, sums) };
    }
}

/// [`tile`] for the weight rows of registers `first..first + U`.
///
/// # Safety
/// As [`tile`]; the args has so many registers of weight rows.
#[inline(always)]
unsafe fn registers<L: Lanes, const C: usize, const U: usize>(
    args: &TileArgs<'_>,
    first: usize,
    sums: &mut [f32],
) {
    let stride = args.n_panels() * NR;
    let pair_words = L::FORMAT.chunk_lines();
    let row_words = pair_words * CHUNK / 2;
    // SAFETY: the weights go over all pairs of inputs of a panel, the activations over all pairs of
    // the tile's lines; both are as many, and `sums` has `C` rows of `stride`.
    unsafe {
        let mut weights: [*const u8; U] = std::array::from_fn(|u| {
            let row = (first + u) * L::ROWS;
            args.weights.as_ptr().add(row / NR * args.panel_bytes + row % NR * L::ROW_BYTES)
        });
        let mut lanes = [[L::zero(); U]; C];
        for lines in args.lines.chunks_exact(C * pair_words) {
            let x = lines.as_ptr().cast::<u32>();
            for pair in 0..CHUNK / 2 {
                for step in 0..L::STEPS {
                    let w = weights.map(|from| L::weights(from, step));
                    for (c, lanes) in lanes.iter_mut().enumerate() {
                        let inputs = L::inputs(x.add(c * row_words + pair * pair_words), step);
                        for (lanes, w) in lanes.iter_mut().zip(w) {
                            *lanes = L::add(*lanes, w, inputs);
                        }
                    }
                }
                weights = weights.map(|from| from.add(PAIR_BYTES));
            }
        }
        for (c, lanes) in lanes.into_iter().enumerate() {
            for (u, lanes) in lanes.into_iter().enumerate() {
                L::store(sums.as_mut_ptr().add(c * stride + (first + u) * L::ROWS), lanes);
            }
        }
    }
}
