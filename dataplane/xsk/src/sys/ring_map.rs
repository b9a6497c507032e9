//! The kernel's ring memory, mapped.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::xdp::XdpRingOffset;

use crate::ring::{RingMemory, RingWords, Slot};

/// One ring of a socket, mapped until dropped. The mapping keeps the socket alive in the kernel, too.
#[derive(Debug)]
pub(crate) struct RingMap<T> {
    base: NonNull<c_void>,
    len: usize,
    words: Offsets,
    size: u32,
    slot: core::marker::PhantomData<T>,
}

/// Where the words stand in the mapping, checked to lie inside it. Units: bytes.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    producer: usize,
    consumer: usize,
    flags: usize,
    slots: usize,
}

// SAFETY: an address range of the process; nothing about it belongs to a thread.
unsafe impl<T: Slot> Send for RingMap<T> {}

impl<T: Slot> RingMap<T> {
    /// Maps the ring of `size` slots that `fd` has at `page_offset`, laid out as `layout` says.
    ///
    /// # Safety
    ///
    /// `fd` is an AF_XDP socket whose ring at `page_offset` was made with `size` slots of the type `T` and is laid out as the kernel
    /// said in `layout`. It is mapped here for the first time, and the value goes into one `Producer` (fill and TX rings) or one
    /// `Consumer` (RX and completion rings).
    pub(super) unsafe fn new(
        fd: BorrowedFd<'_>,
        page_offset: u64,
        size: u32,
        layout: &XdpRingOffset,
    ) -> io::Result<Self> {
        let (words, len) =
            measure::<T>(size, layout).ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses the place (null hint, no fixed flag), so no existing mapping is touched.
        let address = unsafe { mmap(core::ptr::null_mut(), len, access, flags, fd, page_offset)? };
        let base = NonNull::new(address).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { base, len, words, size, slot: core::marker::PhantomData })
    }

    /// Address of something inside the mapping.
    fn at<U>(&self, offset: usize) -> NonNull<U> {
        // SAFETY: `measure` made `offset` (one of `self.words`) lie inside the mapping of `self.len` bytes.
        unsafe { self.base.cast::<u8>().add(offset) }.cast()
    }
}

/// Checks the kernel's layout: alignment of all words, no overflow; the words' places and the length that covers them all.
fn measure<T: Slot>(size: u32, layout: &XdpRingOffset) -> Option<(Offsets, usize)> {
    let word =
        |offset: u64| usize::try_from(offset).ok().filter(|offset| offset % align_of::<AtomicU32>() == 0);
    let words = Offsets {
        producer: word(layout.producer)?,
        consumer: word(layout.consumer)?,
        flags: word(layout.flags?)?,
        slots: usize::try_from(layout.desc).ok().filter(|offset| offset % align_of::<T>() == 0)?,
    };
    let last_word = words.producer.max(words.consumer).max(words.flags);
    let words_end = last_word.checked_add(size_of::<AtomicU32>())?;
    let slots_end = words.slots.checked_add((size as usize).checked_mul(size_of::<T>())?)?;
    size.is_power_of_two().then_some((words, words_end.max(slots_end)))
}

// SAFETY: the mapping stays until drop and does not move with the value; `measure` showed alignment and that all words and `size`
// slots lie inside, `size` a power of two; the kernel zeroed the memory and plays the other end; on our side there is one end and
// the right one by the promise of `RingMap::new`'s caller.
unsafe impl<T: Slot> RingMemory<T> for RingMap<T> {
    fn words(&self) -> RingWords<T> {
        RingWords {
            producer: self.at(self.words.producer),
            consumer: self.at(self.words.consumer),
            flags: self.at(self.words.flags),
            slots: self.at(self.words.slots),
            size: self.size,
        }
    }
}

impl<T> Drop for RingMap<T> {
    fn drop(&mut self) {
        // SAFETY: the range is what `mmap` gave for this value, unmapped nowhere else; all uses of its words are through the
        // `Producer` or `Consumer` that owns this value and is going with it.
        let result = unsafe { munmap(self.base.as_ptr(), self.len) };
        debug_assert!(result.is_ok(), "a mapping of our own can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Descriptor;

    const KERNEL_6_12: XdpRingOffset =
        XdpRingOffset { producer: 0, consumer: 128, desc: 256, flags: Some(132) };

    #[test]
    fn a_ring_is_as_long_as_its_last_slot() {
        let (words, len) = measure::<Descriptor>(2048, &KERNEL_6_12).unwrap();
        assert_eq!((words.producer, words.consumer, words.flags, words.slots), (0, 128, 132, 256));
        assert_eq!(len, 256 + 2048 * 16);
        assert_eq!(measure::<u64>(2048, &KERNEL_6_12).unwrap().1, 256 + 2048 * 8);
    }

    #[test]
    fn a_layout_that_cannot_be_is_refused() {
        assert!(measure::<u64>(1000, &KERNEL_6_12).is_none());
        assert!(measure::<u64>(8, &XdpRingOffset { producer: 2, ..KERNEL_6_12 }).is_none());
        assert!(measure::<u64>(8, &XdpRingOffset { desc: 260, ..KERNEL_6_12 }).is_none());
        assert!(measure::<u64>(8, &XdpRingOffset { desc: u64::MAX - 7, ..KERNEL_6_12 }).is_none());
        assert!(measure::<u64>(8, &XdpRingOffset { flags: None, ..KERNEL_6_12 }).is_none());
    }
}
