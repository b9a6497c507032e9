//! Huge pages without reservation: where the kernel may use them for ordinary memory, if it is asked.
//!
//! Source: `MADV_HUGEPAGE`, madvise(2); Documentation/admin-guide/mm/transhuge.rst, v6.12.

use core::mem::MaybeUninit;

use rustix::mm::{Advice, madvise};

use super::HUGE_PAGE_BYTES;

/// Asks the kernel to put huge pages under memory that nobody has written to yet, where one lies in it as a whole. A hint: nothing changes but how
/// fast the memory is, and nothing at all where the kernel has none to give, or was told not to.
pub fn ask_for_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    let bytes = memory.as_mut_ptr_range();
    let (first, end) = (bytes.start.cast::<u8>(), bytes.end.addr());
    let before = first.addr().next_multiple_of(HUGE_PAGE_BYTES) - first.addr();
    let inside = end.saturating_sub(first.addr() + before) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    // Miri has no pages.
    if inside == 0 || cfg!(miri) {
        return;
    }
    // SAFETY: the range is whole pages inside of `memory`, which is borrowed mutably; the advice changes neither contents nor rights. That it may
    // fail is of no interest: it is a hint.
    let _ = unsafe { madvise(first.wrapping_add(before).cast(), inside, Advice::LinuxHugepage) };
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The flags of the mapping that an address is in, as the kernel tells them.
    pub(in crate::sys) fn flags_at(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_in = false;
        for line in maps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let bounds = range.map(|(from, to)| [from, to].map(|word| usize::from_str_radix(word, 16)));
            if let Some([Ok(from), Ok(to)]) = bounds {
                is_in = (from..to).contains(&address);
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_in) {
                return flags.to_owned();
            }
        }
        panic!("no mapping has {address:x}")
    }

    /// Whether the kernel has any to ask for.
    pub(in crate::sys) fn is_possible() -> bool {
        std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists()
    }

    #[test]
    #[cfg_attr(miri, ignore = "it has no pages")]
    fn whole_huge_pages_inside_are_asked_for_and_nothing_beside_them() {
        let is_possible = is_possible();
        let mut memory = Vec::<u64>::with_capacity(8 * HUGE_PAGE_BYTES / 8);
        let first = memory.as_ptr().addr();
        assert!(!flags_at(first + 3 * HUGE_PAGE_BYTES).contains("hg"));
        ask_for_huge_pages(memory.spare_capacity_mut());
        assert_eq!(flags_at(first + 3 * HUGE_PAGE_BYTES).contains("hg"), is_possible);
        assert!(
            !flags_at(first).contains("hg"),
            "the allocator's memory begins behind a few bytes of its own"
        );
        // Too small to have one.
        ask_for_huge_pages(Vec::<u8>::with_capacity(HUGE_PAGE_BYTES / 2).spare_capacity_mut());
        ask_for_huge_pages(Vec::<u8>::new().spare_capacity_mut());
    }
}
