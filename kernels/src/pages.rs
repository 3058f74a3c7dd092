//! Asking the system for huge pages: what streams through much memory once then spends less time on
//! finding where each page lies.

/// Where packed weights begin: on a cache line.
pub(crate) const ALIGNMENT: usize = 64;

/// Zeroed bytes that begin on a cache line and lie on huge pages where the system has them. They take
/// no memory before they are written.
pub(crate) struct AlignedBytes {
    bytes: Vec<u8>,
    /// Where in `bytes` they begin.
    start: usize,
    len: usize,
}

impl AlignedBytes {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        // Zeros from the system are not touched until a thread writes them.
        let mut bytes = vec![0u8; len + ALIGNMENT];
        prefer_huge_pages(&mut bytes);
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, len }
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

/// Bytes of a huge page where they are most common; only whole ones are asked for.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Asks that `memory`, not yet touched, lie on huge pages where the system has them. A wish: nothing
/// else depends on it.
#[cfg(target_os = "linux")]
pub(crate) fn prefer_huge_pages<T>(memory: &mut [T]) {
    let start = memory.as_mut_ptr().cast::<u8>();
    let n_bytes = size_of_val(memory);
    let first = start.align_offset(HUGE_PAGE).min(n_bytes);
    let len = (n_bytes - first) / HUGE_PAGE * HUGE_PAGE;
    if len > 0 {
        // SAFETY: the range lies inside `memory`; the advice does not change what it holds.
        unsafe { libc::madvise(start.add(first).cast(), len, libc::MADV_HUGEPAGE) };
    }
}

/// Other systems choose by themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prefer_huge_pages<T>(_: &mut [T]) {}
