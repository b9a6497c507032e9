//! The memory for frames.

use core::ptr::NonNull;
#[cfg(not(miri))]
use core::{mem::MaybeUninit, slice};
use std::io;

#[cfg(not(miri))]
use super::ask_for_huge_pages;

/// Size of the huge pages that are asked for. Units: bytes.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Step in which pages are touched: no kernel has smaller ones. Units: bytes.
#[cfg(not(miri))]
const PAGE_BYTES: usize = 4096;

/// `len` zeroed bytes, aligned to a page, present in memory, for the life of the process; all of it on huge pages that were reserved, or where
/// the kernel has some to give.
///
/// Bench: `scaling`, one tunnel of the cheapest frames, 49 -> 40 cycles on one worker: two frames fill a small page.
#[cfg(not(miri))]
pub(crate) fn map_frame_memory(len: usize, reserved_huge_pages: bool) -> io::Result<NonNull<u8>> {
    use rustix::mm::MapFlags;

    if reserved_huge_pages {
        let flags = MapFlags::HUGETLB | MapFlags::HUGE_2MB | MapFlags::POPULATE;
        return map(len.next_multiple_of(HUGE_PAGE_BYTES), flags);
    }
    // A huge page begins at a multiple of its size. What is mapped around takes addresses, but no memory: nobody writes to it.
    let mapped = map(len + HUGE_PAGE_BYTES, MapFlags::empty())?;
    let before = mapped.addr().get().next_multiple_of(HUGE_PAGE_BYTES) - mapped.addr().get();
    let base = mapped.map_addr(|address| address.saturating_add(before));
    // SAFETY: `len` bytes from `base` on lie in the mapping, which begins less than a huge page before and is longer by one. It is new,
    // so nobody else has them, and any bytes will do for `MaybeUninit`.
    let memory = unsafe { slice::from_raw_parts_mut(base.cast::<MaybeUninit<u8>>().as_ptr(), len) };
    ask_for_huge_pages(memory);
    // A page comes when it is first written to. `MAP_POPULATE` would have brought small ones, before anything could be asked for.
    for byte in memory.iter_mut().step_by(PAGE_BYTES) {
        byte.write(0);
    }
    Ok(base)
}

/// A new mapping of memory that is nobody else's.
#[cfg(not(miri))]
fn map(len: usize, flags: rustix::mm::MapFlags) -> io::Result<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the place (null hint, no fixed flag), so no existing mapping is touched.
    let address = unsafe { mmap_anonymous(core::ptr::null_mut(), len, access, flags | MapFlags::PRIVATE)? };
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// As on a kernel, but from the allocator, and never freed: Miri has no memory mappings of its own.
#[cfg(miri)]
pub(crate) fn map_frame_memory(len: usize, reserved_huge_pages: bool) -> io::Result<NonNull<u8>> {
    use std::alloc::{Layout, alloc_zeroed};

    let align = if reserved_huge_pages { HUGE_PAGE_BYTES } else { 4096 };
    let layout = Layout::from_size_align(len, align).map_err(io::Error::other)?;
    assert_ne!(layout.size(), 0, "the caller maps at least one chunk");
    // SAFETY: the layout's size is not zero.
    let address = unsafe { alloc_zeroed(layout) };
    NonNull::new(address).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::super::huge_pages::tests::{flags_at, is_possible};
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it has no pages")]
    fn huge_pages_are_asked_for_where_a_whole_one_fits_and_all_of_it_can_be_used() {
        let len = HUGE_PAGE_BYTES + 3 * 4096;
        let base = map_frame_memory(len, false).unwrap();
        assert_eq!(base.addr().get() % HUGE_PAGE_BYTES, 0);
        assert_eq!(flags_at(base.addr().get()).contains("hg"), is_possible());
        assert!(!flags_at(base.addr().get() + HUGE_PAGE_BYTES).contains("hg"), "not for what is left over");
        let mut present = vec![0; len / PAGE_BYTES];
        // SAFETY: the kernel writes a byte for each page of `len` bytes, which are mapped, and there are as many.
        let asked = unsafe { libc::mincore(base.as_ptr().cast(), len, present.as_mut_ptr()) };
        assert!(asked == 0 && present.iter().all(|page| page & 1 == 1), "before anybody else wrote to it");
        // SAFETY: as long as it was asked for, new, and never unmapped.
        let memory = unsafe { std::slice::from_raw_parts_mut(base.as_ptr(), len) };
        assert!(memory.iter().all(|byte| *byte == 0));
        memory.fill(7);
        let small = map_frame_memory(4096, false).unwrap();
        assert!(!flags_at(small.addr().get()).contains("hg"));
    }
}
