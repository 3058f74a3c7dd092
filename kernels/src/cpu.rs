//! Which instruction set the kernels use: asked of the processor once.

use std::sync::OnceLock;

/// What forces a lower instruction set than the processor has: `scalar`, `avx2`, `avx-vnni`,
/// `avx512` or `neon`.
const CPU_VARIABLE: &str = "TIER0_CPU";

/// A way to compute; each gives the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// Plain Rust: the oracle of the others.
    Scalar,
    /// Eight weight rows a register; AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 with the byte products of VNNI on its registers, in the encoding of AVX-VNNI or of AVX-512.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// Sixteen weight rows a register; AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Four weight rows a register; NEON with dot products.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl InstructionSet {
    /// What this machine has, the best last.
    pub fn available() -> Vec<Self> {
        let mut sets = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
            {
                let has_avx512_vnni =
                    is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni");
                sets.push(Self::Avx2);
                if is_x86_feature_detected!("avxvnni") || has_avx512_vnni {
                    sets.push(Self::AvxVnni);
                }
                if has_avx512_vnni
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                {
                    sets.push(Self::Avx512);
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            sets.push(Self::Neon);
        }
        sets
    }

    /// What the kernels use: the best that the machine has, or the one that `TIER0_CPU` names if the
    /// machine has it.
    pub fn chosen() -> Self {
        static CHOSEN: OnceLock<InstructionSet> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let available = Self::available();
            let named = std::env::var(CPU_VARIABLE).unwrap_or_default();
            let forced = available.iter().find(|set| set.name() == named.trim());
            forced.or(available.last()).copied().unwrap_or(Self::Scalar)
        })
    }

    /// Whether sixteen rows at once are faster than eight and eight: without VNNI, too much lies in the
    /// way of sixteen registers.
    pub(crate) fn has_large_tiles(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => false,
            _ => true,
        }
    }

    /// As `TIER0_CPU` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
        }
    }
}

/// Defines a function that calls `$plain`, an `#[inline(always)]` one written so that it vectorises,
/// compiled for each instruction set. All give the same bits.
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident $(<$generic:ident: $bound:path>)? ($($argument:ident: $type:ty),* $(,)?) = $plain:ident;
    ) => {
        $(#[$meta])*
        $visibility fn $name $(<$generic: $bound>)? ($($argument: $type),*) {
            /// # Safety
            /// The processor has these features.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
            unsafe fn avx512 $(<$generic: $bound>)? ($($argument: $type),*) {
                $plain($($argument),*);
            }
            /// # Safety
            /// The processor has these features.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2 $(<$generic: $bound>)? ($($argument: $type),*) {
                $plain($($argument),*);
            }
            match $crate::cpu::InstructionSet::chosen() {
                // SAFETY: the processor has what was chosen.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::InstructionSet::Avx2 | $crate::cpu::InstructionSet::AvxVnni => unsafe {
                    avx2($($argument),*)
                },
                _ => $plain($($argument),*),
            }
        }
    };
}
pub(crate) use vectorised;
