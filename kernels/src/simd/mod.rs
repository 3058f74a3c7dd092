//! What the kernels need of an instruction set, and the instruction sets that have it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{Avx2, Avx512VnniVl, AvxVnni};
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

/// Registers of [`Simd::ROWS`] 32-bit lanes, one a weight row. Each implementation computes the same
/// bits: integers exactly, floats with one rounding an operation and fused multiply-adds.
///
/// # Safety
/// Calling any of the functions asks for a processor that has the instruction set; those that take
/// pointers read or write the whole register (or what they say) from there, at any alignment.
pub(crate) trait Simd {
    /// Weight rows in a register; divides 16.
    const ROWS: usize;
    /// Registers of lanes that there are.
    const N_REGISTERS: usize;
    /// Lanes of integers: 32 bits, or four bytes.
    type Int: Copy;
    /// Lanes of f32.
    type Float: Copy;
    /// Four bytes a lane, made ready for many products.
    type Ready: Copy;

    /// All bits of a register of integers.
    unsafe fn load(from: *const u8) -> Self::Int;
    /// `a & mask` with the same mask in every byte.
    unsafe fn and_byte(a: Self::Int, mask: u8) -> Self::Int;
    /// `a & mask | c` with the same mask in every byte.
    unsafe fn and_byte_or(a: Self::Int, mask: u8, c: Self::Int) -> Self::Int;
    /// Shifts left within lanes of at least 16 bits; what crosses a byte must be masked off.
    unsafe fn shift_left<const N: i32>(a: Self::Int) -> Self::Int;
    /// Shifts right within lanes of at least 16 bits; what crosses a byte must be masked off.
    unsafe fn shift_right<const N: i32>(a: Self::Int) -> Self::Int;
    /// `sum + Σ w·x` over the four bytes of each lane: `w` unsigned, at most 127; `x` the four signed
    /// bytes at `x`, for every lane.
    unsafe fn dot(sum: Self::Int, w: Self::Int, x: *const u32) -> Self::Int;
    /// Bytes that stand for themselves less 128, as [`Simd::dot_bytes`] takes them: adding to them is the
    /// same before and after.
    unsafe fn from_biased(w: Self::Int) -> Self::Int;
    /// [`Simd::dot`] with bytes of [`Simd::from_biased`], begun with [`Simd::start_biased`].
    unsafe fn dot_bytes(sum: Self::Int, w: Self::Int, x: *const u32) -> Self::Int;
    /// Where a sum of [`Simd::dot_bytes`] begins; at `start` is `−128·Σ x` over all of it.
    unsafe fn start_biased(start: *const u32) -> Self::Int;
    /// Makes bytes of [`Simd::from_biased`] ready for [`Simd::dot_ready`].
    unsafe fn ready(w: Self::Int) -> Self::Ready;
    /// [`Simd::dot_bytes`], begun with [`Simd::start_ready`].
    unsafe fn dot_ready(sum: Self::Int, w: Self::Ready, x: *const u32) -> Self::Int;
    /// Adds to `shares` what `w` alone contributes to a sum of [`Simd::dot_ready`], whatever it is
    /// multiplied with: for 64 registers at most, begun with zero.
    #[inline(always)]
    unsafe fn add_share(shares: Self::Int, _w: Self::Ready) -> Self::Int {
        shares
    }
    /// Where a sum of [`Simd::dot_ready`] begins; `shares` are those of all its weights.
    #[inline(always)]
    unsafe fn start_ready(start: *const u32, _shares: Self::Int) -> Self::Int {
        // SAFETY: as this function.
        unsafe { Self::start_biased(start) }
    }
    /// Zero in every lane.
    unsafe fn zero_int() -> Self::Int;
    /// The integer at `from`, times 2ᴺ, in every lane.
    unsafe fn splat_shifted<const N: i32>(from: *const u32) -> Self::Int;
    /// `⌊a·b/2¹⁶⌋` of signed sixteen-bit lanes.
    unsafe fn mul_high16(a: Self::Int, b: Self::Int) -> Self::Int;
    /// `⌊q·factor/256⌋`, its lowest eight bits, for every byte `q` below 128 and the signed factor in
    /// its sixteen bits. Of each two bytes the results are swapped.
    unsafe fn scale_bytes(q: Self::Int, factor: Self::Int) -> Self::Int;
    /// `⌊a/8⌋` of signed sixteen-bit lanes, its lowest eight bits, in both bytes.
    unsafe fn eighth_bytes(a: Self::Int) -> Self::Int;
    /// Bytewise sum, its lowest eight bits.
    unsafe fn add_bytes(a: Self::Int, b: Self::Int) -> Self::Int;
    /// Bytewise difference, its lowest eight bits.
    unsafe fn sub_bytes(a: Self::Int, b: Self::Int) -> Self::Int;
    /// The same byte everywhere.
    unsafe fn splat_byte(byte: u8) -> Self::Int;
    /// Lanewise sum.
    unsafe fn add_int(a: Self::Int, b: Self::Int) -> Self::Int;
    /// Lanes as floats.
    unsafe fn to_float(a: Self::Int) -> Self::Float;
    /// The nearest integers, of two equally near ones the even. What is not finite or too large becomes
    /// one whose lowest byte is zero.
    unsafe fn round(a: Self::Float) -> Self::Int;
    /// The sum of all lanes.
    unsafe fn sum(a: Self::Int) -> i32;
    /// Writes the lowest byte of every lane.
    unsafe fn store_bytes(to: *mut i8, a: Self::Int);
    /// Zero in every lane.
    unsafe fn zero() -> Self::Float;
    /// The float whose bits are at `from`, in every lane.
    unsafe fn splat(from: *const u32) -> Self::Float;
    /// `ROWS` floats.
    unsafe fn load_f32(from: *const f32) -> Self::Float;
    /// `ROWS` f16 as floats.
    unsafe fn load_f16(from: *const u8) -> Self::Float;
    /// `ROWS` bf16 as floats.
    unsafe fn load_bf16(from: *const u8) -> Self::Float;
    /// `ROWS` times sixteen bits, each in both halves of its lane.
    unsafe fn load_16_twice(from: *const u8) -> Self::Int;
    /// `ROWS` bytes, each as the upper byte of both halves of its lane.
    unsafe fn load_upper_bytes(from: *const u8) -> Self::Int;
    /// `ROWS` bytes, each in all four bytes of its lane.
    unsafe fn load_bytes(from: *const u8) -> Self::Int;
    /// `a·b`.
    unsafe fn mul(a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a·b + c`, rounded once.
    unsafe fn mul_add(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float;
    /// Writes a register of integers.
    unsafe fn store_int(to: *mut u8, a: Self::Int);
    /// Writes the lanes.
    unsafe fn store(to: *mut f32, a: Self::Float);
    /// Fetches the cache line at `from` ahead of its use; any address will do.
    unsafe fn prefetch(from: *const u8);
    /// [`Simd::prefetch`] into the second cache only.
    unsafe fn prefetch_to_second_cache(from: *const u8);
}
