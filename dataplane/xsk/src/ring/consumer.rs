//! Consumer: the reading end of a ring (RX and completion rings of a socket).

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{NEED_WAKEUP, RingMemory, Shared, Slot};

/// The reading end of a ring. Slots become writable for the other end with [`release`](Consumer::release).
#[derive(Debug)]
pub struct Consumer<T, M> {
    pub(super) shared: Shared<T, M>,
    /// Index of the next slot to read; ahead of the shared one by what is not yet released.
    next: u32,
    /// The shared consumer index.
    released: u32,
    /// Last view of the producer's index.
    produced: u32,
}

impl<T: Slot, M: RingMemory<T>> Consumer<T, M> {
    /// The reading end of the ring in `memory`, going on where its indices stand.
    pub fn new(memory: M) -> Self {
        let shared = Shared::new(memory);
        let next = shared.consumer().load(Relaxed);
        let produced = shared.producer().load(Acquire);
        Self { shared, next, released: next, produced }
    }

    /// Number of slots.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.shared.size()
    }

    /// Entries that can be read now. Looks at the producer's index only when the last view of it gives fewer than `wanted`.
    #[inline]
    pub fn available(&mut self, wanted: u32) -> u32 {
        let ready = self.ready_by_last_view();
        if ready >= wanted {
            return ready;
        }
        // Acquire: the entries were written before the index that names them.
        self.produced = self.shared.producer().load(Acquire);
        self.ready_by_last_view()
    }

    /// Whether nothing can be read now. Looks at the producer's index and does no more: who reads then looks again.
    ///
    /// Bench: `compare --zero-copy`, encapsulation at the steady load, 2056 -> 1977 instructions per frame, with
    /// [`Producer::is_full`](super::Producer::is_full).
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.shared.producer().load(Relaxed) == self.next
    }

    /// Index of the entry that is read next; another one whenever some were read.
    #[must_use]
    #[inline]
    pub fn position(&self) -> u32 {
        self.next
    }

    /// Reads one entry; its slot stays taken until `release`.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let entry = self.peek(0)?;
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Reads up to `count` entries, for as long as `take` takes them: one that it refuses is the next to be read. How many it took; their slots
    /// stay taken until `release`. Should `take` panic, all of them are read again.
    #[inline]
    pub fn pop_while(&mut self, count: u32, mut take: impl FnMut(T) -> bool) -> u32 {
        let count = self.available(count).min(count);
        let (slots, first) = (self.shared.slots(), self.next);
        let mut taken = 0;
        while taken < count {
            // SAFETY: as in `peek`: `count` entries can be read from `next` on.
            let entry = unsafe { slots.at(first.wrapping_add(taken)).read() };
            if !take(entry) {
                break;
            }
            taken += 1;
        }
        self.next = first.wrapping_add(taken);
        taken
    }

    /// Looks at the entry `ahead` places behind the one that `pop` reads next.
    #[inline]
    pub fn peek(&mut self, ahead: u32) -> Option<T> {
        if self.available(ahead.saturating_add(1)) <= ahead {
            return None;
        }
        let slot = self.shared.slot(self.next.wrapping_add(ahead));
        // SAFETY: valid, aligned and in bounds by `Shared::slot`; written before the producer's index passed it (acquire in
        // `available`) and not rewritten before it is released; any bit pattern is a `T` (promise of `Slot`).
        Some(unsafe { slot.read() })
    }

    /// Steps back over the entry read last, which must not have been released: the next `pop` reads it again.
    pub fn unread(&mut self) {
        assert!(self.next != self.released, "an entry was read since the last release");
        self.next = self.next.wrapping_sub(1);
    }

    /// Gives the slots of all entries read so far back to the other end; tells how many those are.
    #[inline]
    pub fn release(&mut self) -> u32 {
        let count = self.next.wrapping_sub(self.released);
        if count != 0 {
            // Release: the entries have been read before their slots are given away.
            self.shared.consumer().store(self.next, Release);
            self.released = self.next;
        }
        count
    }

    /// Asks the other end to wake this one, or no longer. For tests that play the kernel.
    pub fn ask_for_wakeup(&mut self, wanted: bool) {
        self.shared.flags().store(if wanted { NEED_WAKEUP } else { 0 }, Relaxed);
    }

    /// Readable entries by the last view of the producer's index, at most a ring of them.
    #[inline]
    fn ready_by_last_view(&self) -> u32 {
        self.produced.wrapping_sub(self.next).min(self.shared.size())
    }
}
