//! Prefetch: asks the CPU for memory that is needed soon, or to bring it nearer to another CPU.
//!
//! Place on the path: before a pass that looks up a table larger than the caches, once for each of its looks; some time before frames
//! that another CPU had are looked at; and behind what was written for another CPU. What is not here: which tables and frames those are. It is in this crate because it takes `unsafe`, of which the engine has none.

/// Bytes that move between memory, caches and CPUs at once.
pub(crate) const LINE_BYTES: usize = 64;

/// Asks the CPU to bring the cache line that `place` begins in nearer. A hint: nothing is read, and nothing happens where the CPU has no
/// such instruction.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    prefetch_at(core::ptr::from_ref(place).cast());
}

/// The same for the line that an address, of anything or nothing, lies in.
#[inline(always)]
pub(crate) fn prefetch_at(place: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads no memory that a program could see, and faults for no address; SSE, which has it, is part of
        // x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

/// Asks the CPU for the line that an address lies in as one that is written soon: other CPUs' copies are given up ahead of the write, which
/// then waits for none of them.
#[inline(always)]
pub(crate) fn prefetch_for_write(place: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // SAFETY: as for `prefetch_at`; a CPU of 64 bits that does not have the instruction does nothing. The intrinsic does not stand for
        // it where the compiler may not take it for granted.
        unsafe {
            core::arch::asm!("prefetchw byte ptr [{place}]", place = in(reg) place, options(nostack, preserves_flags));
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

/// Tells the CPU that the line an address lies in is for another one: it may put it where all of them have it near. A hint: a CPU that does
/// not have the instruction does nothing. Source: `CLDEMOTE`, Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
#[inline(always)]
pub(crate) fn demote(place: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        // SAFETY: the instruction changes no memory that a program could see, and faults for no address; where there is none, it is one of the
        // codes that do nothing.
        unsafe {
            core::arch::asm!("cldemote byte ptr [{place}]", place = in(reg) place, options(nostack, preserves_flags));
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}
