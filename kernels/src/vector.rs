//! Dot products and scaled sums over short vectors, in an order fixed by the length alone.

use half::bf16;

/// Independent partial sums of a dot product: enough to fill the widest vector registers, and few
/// enough that head sizes of 64 and up need no tail.
const LANES: usize = 16;

/// What a KV cache may hold.
pub trait KvElement: Copy + Send + Sync {
    /// The value as f32, exactly.
    fn to_f32(self) -> f32;
}

impl KvElement for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

impl KvElement for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        // Two integer operations that vectorise; `bf16::to_f32` branches on NaN.
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// `Σ a[i]·b[i]`.
#[inline]
pub(crate) fn dot<T: KvElement>(a: &[f32], b: &[T]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y.to_f32()).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] = x[lane].mul_add(y[lane].to_f32(), sums[lane]);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + tail
}

/// `out[i] += scale·v[i]`.
#[inline]
pub(crate) fn add_scaled<T: KvElement>(out: &mut [f32], v: &[T], scale: f32) {
    debug_assert_eq!(out.len(), v.len());
    for (o, x) in out.iter_mut().zip(v) {
        *o = x.to_f32().mul_add(scale, *o);
    }
}
