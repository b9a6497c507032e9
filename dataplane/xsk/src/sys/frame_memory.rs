//! The memory for frames.

use core::ptr::NonNull;
use std::io;

/// Size of the huge pages that are asked for. Units: bytes.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// `len` zeroed bytes, aligned to a page, present in memory, for the life of the process.
#[cfg(not(miri))]
pub(crate) fn map_frame_memory(len: usize, huge_pages: bool) -> io::Result<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

    let access = ProtFlags::READ | ProtFlags::WRITE;
    let (len, flags) = if huge_pages {
        (len.next_multiple_of(HUGE_PAGE_BYTES), MapFlags::HUGETLB | MapFlags::HUGE_2MB)
    } else {
        (len, MapFlags::empty())
    };
    // SAFETY: the kernel chooses the place (null hint, no fixed flag), so no existing mapping is touched.
    let address = unsafe {
        mmap_anonymous(core::ptr::null_mut(), len, access, flags | MapFlags::PRIVATE | MapFlags::POPULATE)?
    };
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// As on a kernel, but from the allocator, and never freed: Miri has no memory mappings of its own.
#[cfg(miri)]
pub(crate) fn map_frame_memory(len: usize, huge_pages: bool) -> io::Result<NonNull<u8>> {
    use std::alloc::{Layout, alloc_zeroed};

    let align = if huge_pages { HUGE_PAGE_BYTES } else { 4096 };
    let layout = Layout::from_size_align(len, align).map_err(io::Error::other)?;
    assert_ne!(layout.size(), 0, "the caller maps at least one chunk");
    // SAFETY: the layout's size is not zero.
    let address = unsafe { alloc_zeroed(layout) };
    NonNull::new(address).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}
