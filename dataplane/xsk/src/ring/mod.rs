//! Rings: single-producer single-consumer queues over memory that two parties see.
//!
//! ```text
//! producer index ->  written by the Producer, read by the Consumer
//! consumer index ->  written by the Consumer, read by the Producer
//! flags          ->  written by the kernel, read by the Producer (bit 0: wake me)
//! slots          ->  size of them, a power of two; slot = index & (size - 1)
//! ```
//!
//! Indices run freely over all 32 bits; `producer - consumer` (wrapping) is the number of filled slots. A party writes or
//! reads slots first and publishes its own index afterwards with *release*; the other loads that index with *acquire* before
//! it touches the slots. Each end keeps its own index and its last view of the other's in private words, so that the shared
//! cache lines are touched once per batch.
//!
//! The memory may be the kernel's (an AF_XDP ring of a socket) or plain ([`pair`]), where a test plays the kernel.
//! Place on the path: under [`XskQueue`](crate::XskQueue). What is not here: what an entry means.
//! Source: <https://docs.kernel.org/6.12/networking/af_xdp.html#rings>.

mod consumer;
mod ends;
mod heap;
mod producer;

use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

use crate::prefetch::LINE_BYTES;

pub use consumer::Consumer;
pub(crate) use ends::Ends;
pub use heap::{HeapEnds, HeapRing, pair};
pub use producer::Producer;

/// Bit of the flags word by which the kernel asks for a system call. Source: `XDP_RING_NEED_WAKEUP`, linux/if_xdp.h, v6.12.
const NEED_WAKEUP: u32 = 1;

/// What one slot of a ring can hold.
///
/// # Safety
///
/// Every bit pattern is a value of the type, because the kernel may write anything; in a ring that is shared with it, the layout is the kernel's.
pub unsafe trait Slot: Copy + Send + 'static {}

// SAFETY: an integer has no forbidden bit pattern. Fill and completion rings hold `__u64` addresses.
unsafe impl Slot for u64 {}

/// One entry of an RX or TX ring: where a frame, or a segment of one, lies. Byte order: the machine's.
/// Source: `struct xdp_desc`, linux/if_xdp.h, v6.12.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Offset of its first byte from the UMEM's. Units: bytes.
    pub ring_address: u64,
    /// Length of the frame or segment. Units: bytes.
    pub len: u32,
    /// Flags: [`CONTINUED`](Descriptor::CONTINUED), [`METADATA`](Descriptor::METADATA), both or 0.
    pub options: u32,
}

impl Descriptor {
    /// The frame goes on with the next entry. Source: `XDP_PKT_CONTD`, linux/if_xdp.h, v6.6.
    pub const CONTINUED: u32 = 1;

    /// In a TX ring: metadata stands in front of the frame. Source: `XDP_TX_METADATA`, linux/if_xdp.h, v6.8.
    pub const METADATA: u32 = 2;

    /// Whether the frame goes on with the next entry.
    #[must_use]
    #[inline]
    pub const fn is_continued(&self) -> bool {
        self.options & Self::CONTINUED != 0
    }
}

// SAFETY: three integers without padding (8 + 4 + 4 = 16 bytes), none of which has a forbidden bit pattern; `repr(C)` in the
// kernel's field order.
unsafe impl Slot for Descriptor {}

/// Slots that a cache line holds; 1 where it holds none as a whole.
const fn per_line<T>() -> usize {
    match LINE_BYTES.checked_div(size_of::<T>()) {
        Some(count @ 1..) => count,
        _ => 1,
    }
}

/// Where a ring's words stand.
#[derive(Debug)]
pub struct RingWords<T> {
    /// Index of the next slot to be written.
    pub producer: NonNull<AtomicU32>,
    /// Index of the next slot to be read.
    pub consumer: NonNull<AtomicU32>,
    /// Flags of the consumer for the producer.
    pub flags: NonNull<AtomicU32>,
    /// First slot.
    pub slots: NonNull<T>,
    /// Number of slots, a power of two.
    pub size: u32,
}

/// Memory that a ring stands in.
///
/// # Safety
///
/// As long as the value lives, moved or not: the words that `words` names are valid, aligned and initialised, with `size` slots
/// from the first on, `size` a power of two; `words` always names the same; and the words are used by exactly one producer
/// and one consumer, both keeping to the protocol in the module's description.
pub unsafe trait RingMemory<T: Slot> {
    /// Where the words stand.
    fn words(&self) -> RingWords<T>;
}

/// The words of one ring together with the memory that keeps them valid: what both ends are made of.
#[derive(Debug)]
struct Shared<T, M> {
    words: RingWords<T>,
    #[allow(dead_code, reason = "held so that the words stay valid")]
    memory: M,
}

// SAFETY: the pointers name atomics, and slots of which this end touches only those that the protocol gives to it (the promise
// of `RingMemory`), from whichever thread it is on; values in slots are `Send`; the memory's owner is `Send` by the bound.
unsafe impl<T: Slot, M: Send> Send for Shared<T, M> {}

impl<T: Slot, M: RingMemory<T>> Shared<T, M> {
    /// Takes hold of a ring's memory.
    fn new(memory: M) -> Self {
        let words = memory.words();
        assert!(words.size.is_power_of_two(), "a ring's size is a power of two");
        Self { words, memory }
    }

    /// The producer's index.
    #[inline]
    fn producer(&self) -> &AtomicU32 {
        // SAFETY: valid while `memory` lives, which is as long as `self` (promise of `RingMemory`).
        unsafe { self.words.producer.as_ref() }
    }

    /// The consumer's index.
    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as in `producer`.
        unsafe { self.words.consumer.as_ref() }
    }

    /// The flags.
    #[inline]
    fn flags(&self) -> &AtomicU32 {
        // SAFETY: as in `producer`.
        unsafe { self.words.flags.as_ref() }
    }

    /// Number of slots.
    #[inline]
    fn size(&self) -> u32 {
        self.words.size
    }

    /// Address of the slot for a freely running index.
    #[inline]
    fn slot(&self, index: u32) -> NonNull<T> {
        self.slots().at(index)
    }

    /// The slots by themselves, for a loop over some of them: held in registers, whatever is written meanwhile.
    #[inline]
    fn slots(&self) -> Slots<T> {
        Slots { first: self.words.slots, mask: self.words.size - 1 }
    }
}

/// Where the slots of one ring stand. Made by [`Shared::slots`] only, and used while that lives.
struct Slots<T> {
    first: NonNull<T>,
    /// Number of slots less one.
    mask: u32,
}

impl<T> Slots<T> {
    /// Address of the slot for a freely running index.
    #[inline]
    fn at(&self, index: u32) -> NonNull<T> {
        // SAFETY: the number of slots is a power of two (checked in `Shared::new`), so what is left of the index is below it.
        unsafe { self.first.add((index & self.mask) as usize) }
    }
}

#[cfg(test)]
mod tests;
