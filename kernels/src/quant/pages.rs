//! Asking the system for huge pages: a product that streams its weights once then spends less time on
//! finding where each page lies.

/// Bytes of a huge page where they are most common; only whole ones are asked for.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Asks that `bytes`, not yet touched, lie on huge pages where the system has them. A wish: nothing
/// else depends on it.
#[cfg(target_os = "linux")]
pub(super) fn prefer_huge_pages(bytes: &mut [u8]) {
    let start = bytes.as_mut_ptr().align_offset(HUGE_PAGE).min(bytes.len());
    let whole = &mut bytes[start..];
    let len = whole.len() / HUGE_PAGE * HUGE_PAGE;
    if len > 0 {
        // SAFETY: the range lies inside `bytes`; the advice does not change what it holds.
        unsafe { libc::madvise(whole.as_mut_ptr().cast(), len, libc::MADV_HUGEPAGE) };
    }
}

/// Other systems choose by themselves.
#[cfg(not(target_os = "linux"))]
pub(super) fn prefer_huge_pages(_: &mut [u8]) {}
