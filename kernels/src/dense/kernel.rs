//! One tile of activation rows with some groups of weight rows, in registers.

use super::{
    CHUNK, DenseType, PAIR_BYTES,
    lanes::{Lanes, WidenedBf16, WidenedF16},
    path::Path,
    rows::{Line, MAX_TILE_ROWS},
    scalar,
};
use crate::{cpu::InstructionSet, quant::GROUP, simd};

/// Groups of weight rows that a call takes, at most.
pub(super) const MAX_GROUPS: usize = 4;
/// Sums of a call, at most: see [`groups_at_once`].
pub(super) const MAX_SUMS: usize = MAX_TILE_ROWS * 2 * GROUP;

/// What is multiplied by a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel<'a> {
    /// Whole groups, see [`super::DenseWeight`].
    pub(super) weights: &'a [u8],
    pub(super) group_bytes: usize,
    pub(super) n_rows: usize,
    /// A tile: `[chunk][row][line]`.
    pub(super) lines: &'a [Line],
}

impl Panel<'_> {
    pub(super) fn n_groups(&self) -> usize {
        self.weights.len() / self.group_bytes
    }
}

/// Groups to give a call with so many rows: as many sums as there are registers for.
pub(super) fn groups_at_once(n_rows: usize) -> usize {
    if n_rows <= MAX_TILE_ROWS / 2 { MAX_GROUPS } else { MAX_GROUPS / 2 }
}

/// `sums[r][i]`: row `r` of the tile times weight row `i` of the panel, `[n_rows][16 · n_groups]`. The
/// machine must have the path; the lines must be in its format.
///
/// # Panics
/// When the lengths do not fit one another.
pub(super) fn multiply(path: Path, dense_type: DenseType, panel: &Panel<'_>, sums: &mut [f32]) {
    let n_chunks = panel.group_bytes / (GROUP * CHUNK * 2);
    let chunk_lines = path.format(dense_type).chunk_lines();
    assert_eq!(panel.lines.len(), n_chunks * panel.n_rows * chunk_lines);
    assert_eq!(sums.len(), panel.n_rows * panel.n_groups() * GROUP);
    match path {
        Path::Widened(InstructionSet::Scalar) => scalar::multiply(dense_type, panel, sums),
        // SAFETY: the machine has the path, and the lengths are those above; so in all that follows.
        #[cfg(target_arch = "x86_64")]
        Path::Bf16Pairs => unsafe {
            match dense_type {
                DenseType::Bf16 => avx512::bf16_pairs(panel, sums),
                DenseType::F16 => avx512::f16(panel, sums),
            }
        },
        // SAFETY: see above.
        #[cfg(target_arch = "x86_64")]
        Path::Widened(InstructionSet::Avx512) => unsafe {
            match dense_type {
                DenseType::Bf16 => avx512::bf16(panel, sums),
                DenseType::F16 => avx512::f16(panel, sums),
            }
        },
        // SAFETY: see above.
        #[cfg(target_arch = "x86_64")]
        Path::Widened(InstructionSet::Avx2 | InstructionSet::AvxVnni) => unsafe {
            match dense_type {
                DenseType::Bf16 => avx2::bf16(panel, sums),
                DenseType::F16 => avx2::f16(panel, sums),
            }
        },
        // SAFETY: see above.
        #[cfg(target_arch = "aarch64")]
        Path::Widened(InstructionSet::Neon) => unsafe {
            match dense_type {
                DenseType::Bf16 => neon::bf16(panel, sums),
                DenseType::F16 => neon::f16(panel, sums),
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
        $visibility unsafe fn $name(panel: &Panel<'_>, sums: &mut [f32]) {
            // SAFETY: as this function.
            unsafe {
                match panel.n_rows {
                    1 => tile::<$lanes, 1, $few>(panel, sums),
                    2 => tile::<$lanes, 2, $few>(panel, sums),
                    3 => tile::<$lanes, 3, $few>(panel, sums),
                    4 => tile::<$lanes, 4, $few>(panel, sums),
                    5 => tile::<$lanes, 5, $few>(panel, sums),
                    6 => tile::<$lanes, 6, $few>(panel, sums),
                    7 => tile::<$lanes, 7, $many>(panel, sums),
                    8 => tile::<$lanes, 8, $many>(panel, sums),
                    9 => tile::<$lanes, 9, $many>(panel, sums),
                    10 => tile::<$lanes, 10, $many>(panel, sums),
                    11 => tile::<$lanes, 11, $many>(panel, sums),
                    _ => tile::<$lanes, 12, $many>(panel, sums),
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
/// The processor has the instructions of `L`. The panel has `C` rows of lines in the format of `L`, as
/// many as its weights have inputs; `sums` has room for `C` rows of its groups.
#[inline(always)]
unsafe fn tile<L: Lanes, const C: usize, const U: usize>(panel: &Panel<'_>, sums: &mut [f32]) {
    let n_registers = panel.n_groups() * (GROUP / L::ROWS);
    let whole = n_registers / U * U;
    for first in (0..whole).step_by(U) {
        // SAFETY: as this function.
        unsafe { registers::<L, C, U>(panel, first, sums) };
    }
    for first in whole..n_registers {
        // SAFETY: as this function.
        unsafe { registers::<L, C, 1>(panel, first, sums) };
    }
}

/// [`tile`] for the weight rows of registers `first..first + U`.
///
/// # Safety
/// As [`tile`]; the panel has so many registers of weight rows.
#[inline(always)]
unsafe fn registers<L: Lanes, const C: usize, const U: usize>(
    panel: &Panel<'_>,
    first: usize,
    sums: &mut [f32],
) {
    let stride = panel.n_groups() * GROUP;
    let pair_words = L::FORMAT.chunk_lines();
    let row_words = pair_words * CHUNK / 2;
    // SAFETY: the weights go over all pairs of inputs of a group, the activations over all pairs of
    // the tile's lines; both are as many, and `sums` has `C` rows of `stride`.
    unsafe {
        let mut weights: [*const u8; U] = std::array::from_fn(|u| {
            let row = (first + u) * L::ROWS;
            panel.weights.as_ptr().add(row / GROUP * panel.group_bytes + row % GROUP * L::ROW_BYTES)
        });
        let mut lanes = [[L::zero(); U]; C];
        for lines in panel.lines.chunks_exact(C * pair_words) {
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
