//! Producer: the writing end of a ring (fill and TX rings of a socket).

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{NEED_WAKEUP, RingMemory, Shared, Slot, per_line};
use crate::prefetch::{demote, prefetch_for_write};

/// The writing end of a ring. Entries become visible to the other end with [`publish`](Producer::publish).
#[derive(Debug)]
pub struct Producer<T, M> {
    pub(super) shared: Shared<T, M>,
    /// Index of the next slot to write; ahead of the shared one by what is not yet published.
    next: u32,
    /// The shared producer index.
    published: u32,
    /// Last view of the consumer's index.
    consumed: u32,
}

impl<T: Slot, M: RingMemory<T>> Producer<T, M> {
    /// The writing end of the ring in `memory`, going on where its indices stand.
    pub fn new(memory: M) -> Self {
        let shared = Shared::new(memory);
        let next = shared.producer().load(Relaxed);
        let consumed = shared.consumer().load(Acquire);
        Self { shared, next, published: next, consumed }
    }

    /// Number of slots.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.shared.size()
    }

    /// Slots that can be written now. Looks at the consumer's index only when the last view of it gives fewer than `wanted`.
    #[inline]
    pub fn free_count(&mut self, wanted: u32) -> u32 {
        let free = self.free_by_last_view();
        if free >= wanted {
            return free;
        }
        // Acquire: the consumer's reads of the slots happen before the writes that follow here.
        self.consumed = self.shared.consumer().load(Acquire);
        self.free_by_last_view()
    }

    /// Whether nothing can be written now. Looks at the consumer's index and does no more: who writes then looks again.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        self.next.wrapping_sub(self.shared.consumer().load(Relaxed)) >= self.shared.size()
    }

    /// Writes one entry, not yet visible to the other end.
    ///
    /// # Errors
    ///
    /// Gives the entry back when the ring is full.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), T> {
        if self.free_count(1) == 0 {
            return Err(entry);
        }
        let slot = self.shared.slot(self.next);
        // SAFETY: valid, aligned and in bounds by `Shared::slot`; not read by the other end now: `free_count` showed that it has
        // consumed what the slot held before (acquire), and it does not look past the published index.
        unsafe { slot.write(entry) };
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Writes up to `count` entries, as many as there is room for and `next` gives; how many. Not yet visible to the other end. Should
    /// `next` panic, none is written.
    #[inline]
    pub fn push_while(&mut self, count: u32, mut next: impl FnMut() -> Option<T>) -> u32 {
        let count = self.free_count(count).min(count);
        let (slots, first) = (self.shared.slots(), self.next);
        let mut written = 0;
        while written < count
            && let Some(entry) = next()
        {
            // SAFETY: as in `push`: `count` slots can be written from `next` on.
            unsafe { slots.at(first.wrapping_add(written)).write(entry) };
            written += 1;
        }
        self.next = first.wrapping_add(written);
        written
    }

    /// Asks the CPU for the next `count` slots, to be written soon: the other end's CPU has them. No more than are free by the last view.
    #[inline]
    pub fn prefetch(&self, count: u32) {
        for ahead in (0..count.min(self.free_by_last_view())).step_by(per_line::<T>()) {
            prefetch_for_write(self.shared.slot(self.next.wrapping_add(ahead)).as_ptr().cast());
        }
    }

    /// Makes all written entries visible to the other end; tells how many were new.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        let count = self.unpublished();
        if count != 0 {
            // Release: the slots' contents are visible before the index that names them.
            self.shared.producer().store(self.next, Release);
            self.published = self.next;
        }
        count
    }

    /// Tells the CPU that the `count` entries published last are for another one; not always of the line that the next ones begin in.
    #[inline]
    pub fn demote(&self, count: u32) {
        let first = self.published.wrapping_sub(count);
        for behind in (0..count).step_by(per_line::<T>()) {
            demote(self.shared.slot(first.wrapping_add(behind)).as_ptr().cast());
        }
    }

    /// Entries written and not published.
    #[must_use]
    #[inline]
    pub fn unpublished(&self) -> u32 {
        self.next.wrapping_sub(self.published)
    }

    /// Entries published that the other end has not consumed yet. Looks at its index only when the last view left some.
    #[must_use]
    #[inline]
    pub fn unconsumed(&mut self) -> u32 {
        if self.consumed == self.published {
            return 0;
        }
        self.consumed = self.shared.consumer().load(Acquire);
        self.published.wrapping_sub(self.consumed)
    }

    /// Index of the first entry that the other end had not consumed when its index was last looked at.
    #[must_use]
    #[inline]
    pub fn consumed(&self) -> u32 {
        self.consumed
    }

    /// Whether the other end asks to be woken.
    ///
    /// Read without a fence: a request that is set at this very moment may be missed once, so callers ask again for as long as
    /// entries stay unconsumed.
    #[must_use]
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.shared.flags().load(Relaxed) & NEED_WAKEUP != 0
    }

    /// Free slots by the last view of the consumer's index; none when the other end claims to have consumed what was never written.
    #[inline]
    fn free_by_last_view(&self) -> u32 {
        self.shared.size().saturating_sub(self.next.wrapping_sub(self.consumed))
    }
}
