//! The block types of GGUF that a matrix may have.

/// How a GGUF file quantises a matrix (`ggml-quants.c` of llama.cpp defines the types).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "these are the names of the format")]
pub enum BlockType {
    /// 4 bits; a scale per 32.
    Q4_0,
    /// 4 bits; a scale and a minimum per 32.
    Q4_1,
    /// 5 bits; a scale per 32.
    Q5_0,
    /// 5 bits; a scale and a minimum per 32.
    Q5_1,
    /// 8 bits; a scale per 32.
    Q8_0,
    /// 4 bits; scales and minima of 6 bits per 32, and scales of these per 256.
    Q4_K,
    /// 5 bits; scales and minima of 6 bits per 32, and scales of these per 256.
    Q5_K,
    /// 6 bits; scales of 8 bits per 16, and a scale of these per 256.
    Q6_K,
}

impl BlockType {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Q4_0, Self::Q4_1, Self::Q5_0, Self::Q5_1, Self::Q8_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    /// Weights in one block of the file.
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of one block of the file.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
        }
    }

    /// Bits of one quantised weight, without its share of the scales.
    pub(crate) const fn bits(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q4_K => 4,
            Self::Q5_0 | Self::Q5_1 | Self::Q5_K => 5,
            Self::Q6_K => 6,
            Self::Q8_0 => 8,
        }
    }

    /// The unsigned value that stands for a weight of zero, for the types without minima.
    pub(crate) const fn zero_point(self) -> Option<u8> {
        match self {
            Self::Q4_0 => Some(8),
            Self::Q5_0 => Some(16),
            Self::Q6_K => Some(32),
            Self::Q8_0 => Some(128),
            Self::Q4_1 | Self::Q5_1 | Self::Q4_K | Self::Q5_K => None,
        }
    }

    /// Bytes of the scales in one block of the file.
    pub(crate) const fn header_bytes(self) -> usize {
        self.block_bytes() - self.block_len() * self.bits() / 8
    }
}
