//! A ring in plain memory: both ends in one process, without a kernel and without privileges.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::{Consumer, Producer, RingMemory, RingWords, Slot};

/// The words of one ring in plain memory.
#[derive(Debug)]
pub struct HeapRing<T> {
    producer: CachePadded<AtomicU32>,
    consumer: CachePadded<AtomicU32>,
    flags: AtomicU32,
    slots: Box<[UnsafeCell<T>]>,
}

// SAFETY: the slots are reached only through the one `Producer` and the one `Consumer` that `pair` makes, each of which touches
// only the slots that the indices, atomics themselves, give to it; values in slots are `Send`.
unsafe impl<T: Slot> Sync for HeapRing<T> {}

// SAFETY: the words lie in the heap block of the `Arc`, which a move of the `Arc` does not move, and live as long as any clone of
// it; `pair` makes the slots a power of two in number and is the only maker, of one end each, with no other access to the fields.
unsafe impl<T: Slot> RingMemory<T> for Arc<HeapRing<T>> {
    fn words(&self) -> RingWords<T> {
        let first = self.slots.as_ptr().cast::<T>().cast_mut();
        RingWords {
            producer: NonNull::from(&*self.producer),
            consumer: NonNull::from(&*self.consumer),
            flags: NonNull::from(&self.flags),
            slots: NonNull::new(first).expect("a slice's address is not null"),
            size: u32::try_from(self.slots.len()).expect("made from a u32"),
        }
    }
}

/// The two ends of a ring in plain memory.
pub type HeapEnds<T> = (Producer<T, Arc<HeapRing<T>>>, Consumer<T, Arc<HeapRing<T>>>);

/// A new ring of `size` slots, all `blank`, whose indices start at `first`; its two ends.
///
/// # Panics
///
/// When `size` is not a power of two.
#[must_use]
pub fn pair<T: Slot>(size: u32, blank: T, first: u32) -> HeapEnds<T> {
    assert!(size.is_power_of_two(), "a ring's size is a power of two");
    let ring = Arc::new(HeapRing {
        producer: CachePadded::new(AtomicU32::new(first)),
        consumer: CachePadded::new(AtomicU32::new(first)),
        flags: AtomicU32::new(0),
        slots: (0..size).map(|_| UnsafeCell::new(blank)).collect(),
    });
    (Producer::new(Arc::clone(&ring)), Consumer::new(ring))
}
