//! The four rings of a queue and what may go in and out of them, over any ring memory.
//!
//! Place on the path: the middle of [`XskQueue`](crate::XskQueue). No system call is made here; `XskQueue` adds those, and tests
//! play the kernel at the other ends in plain memory.

use crate::chunk_cache::ChunkCache;
use crate::frame::{Frame, FrameBatch};
use crate::lent::Lent;
use crate::ring::{Descriptor, Ends, RingMemory};
use crate::sys::RingMap;

/// The four rings of one queue; `A` is the memory of address rings, `D` that of descriptor rings.
#[derive(Debug)]
pub(crate) struct Rings<A, D> {
    pub(crate) ends: Ends<A, D>,
    /// Entries from the kernel that named what it was not lent.
    pub(crate) bad_entries: u64,
}

/// The rings of a real queue.
pub(crate) type MappedRings = Rings<RingMap<u64>, RingMap<Descriptor>>;

impl<A: RingMemory<u64>, D: RingMemory<Descriptor>> Rings<A, D> {
    /// Received frames into `out`, as many as wait and fit; how many.
    #[inline]
    pub(crate) fn receive(&mut self, lent: &mut Lent, out: &mut FrameBatch) -> usize {
        let wanted = to_count(out.remaining_capacity());
        let ready = self.ends.rx.available(wanted).min(wanted);
        let before = out.len();
        for _ in 0..ready {
            let Some(entry) = self.ends.rx.pop() else { break };
            match lent.received(entry) {
                Some(frame) => out.push(frame),
                None => self.bad_entries += 1,
            }
        }
        self.ends.rx.release();
        out.len() - before
    }

    /// Writes the TX entry for `frame`, not yet visible to the kernel.
    #[inline]
    pub(crate) fn transmit(&mut self, lent: &mut Lent, frame: Frame) -> Result<(), Frame> {
        if self.ends.tx.free_count(1) == 0 {
            return Err(frame);
        }
        let entry = lent.for_tx(frame)?;
        let pushed = self.ends.tx.push(entry);
        debug_assert!(pushed.is_ok(), "room was seen above");
        Ok(())
    }

    /// Whether `count` more frames can be written.
    #[inline]
    pub(crate) fn has_tx_room(&mut self, count: usize) -> bool {
        let count = to_count(count);
        self.ends.tx.free_count(count) >= count
    }

    /// Chunks of completed transmissions into `cache`; how many.
    #[inline]
    pub(crate) fn reap(&mut self, lent: &mut Lent, cache: &mut ChunkCache) -> usize {
        let ready = self.ends.completion.available(self.ends.completion.size());
        let mut count = 0;
        for _ in 0..ready {
            let Some(entry) = self.ends.completion.pop() else { break };
            match lent.completed(entry) {
                Some(chunk) => {
                    cache.give(chunk);
                    count += 1;
                }
                None => self.bad_entries += 1,
            }
        }
        self.ends.completion.release();
        count
    }

    /// Lends empty chunks from `cache` until the fill ring is full or the cache empty, and publishes them; how many.
    #[inline]
    pub(crate) fn refill(&mut self, lent: &mut Lent, cache: &mut ChunkCache) -> usize {
        let room = self.ends.fill.free_count(self.ends.fill.size());
        for _ in 0..room {
            let Some(chunk) = cache.take() else { break };
            match lent.for_fill(chunk) {
                Ok(entry) => {
                    let pushed = self.ends.fill.push(entry);
                    debug_assert!(pushed.is_ok(), "room was seen above");
                }
                Err(foreign) => {
                    cache.give(foreign);
                    break;
                }
            }
        }
        self.ends.fill.publish() as usize
    }
}

/// A count of things in a batch.
#[inline]
fn to_count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "rings_tests.rs"]
mod tests;
