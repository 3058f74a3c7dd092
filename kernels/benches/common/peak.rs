//! The peak of an instruction: what all threads together reach with independent ones in registers.

#![allow(dead_code, reason = "each benchmark has one of the peaks")]

use std::time::Instant;

use tier0_kernels::{InstructionSet, pool};

/// The instruction that bounds a kernel.
#[derive(Clone, Copy)]
pub(crate) enum Peak {
    /// Dot products of four pairs of int8 (VNNI).
    Int8Dots,
    /// Dot products of two pairs of bf16.
    Bf16Dots,
    /// Multiply-adds of f32.
    F32MultiplyAdds,
}

/// Rounds of eight instructions a thread.
const ROUNDS: usize = 4_000_000;
/// Lanes of 32 bits in a register.
const LANES: usize = 16;

impl Peak {
    /// As in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Int8Dots => "int8 dot products",
            Self::Bf16Dots => "bf16 dot products",
            Self::F32MultiplyAdds => "f32 multiply-adds",
        }
    }

    /// A billion operations a second.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Int8Dots => "GOP/s",
            Self::Bf16Dots | Self::F32MultiplyAdds => "GFLOP/s",
        }
    }

    /// A multiplication and an addition for each pair in a lane.
    const fn operations_a_lane(self) -> usize {
        match self {
            Self::Int8Dots => 2 * 4,
            Self::Bf16Dots => 2 * 2,
            Self::F32MultiplyAdds => 2,
        }
    }

    /// The best of several measurements. `None` where the kernels do not use the instruction in registers
    /// of 512 bits.
    pub(crate) fn operations_a_second(self) -> Option<f64> {
        let rounds = self.rounds()?;
        let threads = pool::global().n_threads();
        let operations = threads * ROUNDS * 8 * LANES * self.operations_a_lane();
        let measure = |_| {
            let start = Instant::now();
            // SAFETY: the processor has the instruction, or there would be no function.
            pool::parallel(threads, &|_| unsafe { rounds() });
            operations as f64 / start.elapsed().as_secs_f64()
        };
        (0..10).map(measure).reduce(f64::max)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn rounds(self) -> Option<unsafe fn()> {
        None
    }

    /// [`ROUNDS`] of the instruction, if the processor has it.
    #[cfg(target_arch = "x86_64")]
    fn rounds(self) -> Option<unsafe fn()> {
        if InstructionSet::chosen() != InstructionSet::Avx512 {
            return None;
        }
        match self {
            Self::Int8Dots => Some(x86::int8_dots),
            Self::Bf16Dots => is_x86_feature_detected!("avx512bf16").then_some(x86::bf16_dots),
            Self::F32MultiplyAdds => Some(x86::f32_multiply_adds),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::ROUNDS;

    /// A function that runs [`ROUNDS`] times eight of an instruction, none of which waits for another.
    macro_rules! rounds {
        ($name:ident, $instruction:literal) => {
            /// # Safety
            /// The processor has the instruction, on registers of 512 bits.
            pub(super) unsafe fn $name() {
                // SAFETY: writes registers only, all of which are declared.
                unsafe {
                    std::arch::asm!(
                        "vpxord zmm8, zmm8, zmm8",
                        "vpxord zmm9, zmm9, zmm9",
                        "2:",
                        concat!($instruction, " zmm0, zmm8, zmm9"),
                        concat!($instruction, " zmm1, zmm8, zmm9"),
                        concat!($instruction, " zmm2, zmm8, zmm9"),
                        concat!($instruction, " zmm3, zmm8, zmm9"),
                        concat!($instruction, " zmm4, zmm8, zmm9"),
                        concat!($instruction, " zmm5, zmm8, zmm9"),
                        concat!($instruction, " zmm6, zmm8, zmm9"),
                        concat!($instruction, " zmm7, zmm8, zmm9"),
                        "dec {rounds}",
                        "jnz 2b",
                        rounds = inout(reg) ROUNDS => _,
                        out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                        out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                        out("zmm8") _, out("zmm9") _,
                        options(nomem, nostack),
                    );
                }
            }
        };
    }

    rounds!(int8_dots, "vpdpbusd");
    rounds!(bf16_dots, "vdpbf16ps");
    rounds!(f32_multiply_adds, "vfmadd231ps");
}
