//! Counters: plain 64-bit integers with one writer each, readable by anyone at any time.
//!
//! Place on the path: the last stage adds to them. Each worker owns its own set, so an addition is a load, an add and
//! a store, without a lock prefix; the main thread sums the workers' sets when somebody asks.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use crate::verdict::{DropReason, Verdict};

/// A number that one thread adds to and others read. Units: as its field says.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning worker may call this: two writers would lose additions (never memory safety).
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Sets the value, for gauges.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value now.
    #[must_use]
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One counter per drop reason.
#[derive(Debug)]
pub struct DropCounters([Counter; DropReason::COUNT]);

impl Default for DropCounters {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Counter::default()))
    }
}

impl DropCounters {
    /// Counts one drop.
    #[inline]
    pub fn add(&self, reason: DropReason) {
        if let Some(counter) = self.0.get(reason.index()) {
            counter.add(1);
        }
    }

    /// Drops for `reason`. Units: frames.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason.index()).map_or(0, Counter::get)
    }

    /// All drops together. Units: frames.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(Counter::get).sum()
    }
}

/// What one worker did. Master invariant: each frame that it received or took over ends in one place,
/// `received + taken = forwarded + flooded + drops.total() + handed + reassembled + parked`, where only `parked` can become less
/// again.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Frames taken from receive rings.
    pub received: Counter,
    /// Frames sent to the one member that the FDB named.
    pub forwarded: Counter,
    /// Frames sent to at least one member of the flood set.
    pub flooded: Counter,
    /// Frames dropped, by reason.
    pub drops: DropCounters,
    /// Frames given to other workers: fragments of outer packets to the one that puts them together, packets of spread sessions to
    /// the one that has their flow.
    pub handed: Counter,
    /// Frames taken over from the workers that received them.
    pub taken: Counter,
    /// Fragments whose payload now stands in another fragment's chunk: all of a packet's but one, which ends like any frame.
    pub reassembled: Counter,
    /// Outer packets put together.
    pub reassembled_packets: Counter,
    /// Outer fragments sent beyond the first of their packet. What the transmit rings got is
    /// `forwarded + flooded + copies + extra_fragments`.
    pub extra_fragments: Counter,
    /// Copies made for floods, the original not counted.
    pub copies: Counter,
    /// Flood destinations that were left out, by the reason a unicast frame would have been dropped for.
    pub copy_drops: DropCounters,
    /// Batches with at least one frame.
    pub batches: Counter,
    /// Rounds over all queues.
    pub rounds: Counter,
    /// Times the worker went to sleep.
    pub sleeps: Counter,
    /// System calls that made the kernel send, or look for empty chunks, on the worker's present queues.
    pub kicks: Counter,
    /// Source addresses that found the FDB full and were not learned.
    pub fdb_full: Counter,
    /// Where the worker's chunks are.
    pub chunks: ChunkGauge,
    /// Gauge: fragments of outer packets that wait for the others.
    pub parked: Counter,
    /// Gauge: 1 while the worker's loop runs.
    pub running: Counter,
}

impl WorkerCounters {
    /// Counts what became of one frame.
    #[inline]
    pub fn count(&self, verdict: Verdict) {
        match verdict {
            Verdict::Forwarded => self.forwarded.add(1),
            Verdict::Flooded => self.flooded.add(1),
            Verdict::Dropped(reason) => self.drops.add(reason),
            Verdict::Handed => self.handed.add(1),
            Verdict::Reassembled => self.reassembled.add(1),
        }
    }

    /// How many frames have had their end at this worker: each of those received and taken over, but for the parked ones.
    #[must_use]
    pub fn ends(&self) -> u64 {
        let sent = self.forwarded.get() + self.flooded.get();
        sent + self.drops.total() + self.handed.get() + self.reassembled.get()
    }
}

/// Where the chunks are that one worker answers for. Units: chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// In the worker's private cache.
    pub cached: u64,
    /// Lent to the kernel for reception on the worker's queues.
    pub fill: u64,
    /// Handed to the kernel for transmission and not yet completed.
    pub tx: u64,
    /// With fragments of outer packets that wait for the others.
    pub parked: u64,
    /// All that the worker answers for: taken from the shared pool or from another worker, or come with a queue, and not
    /// given back.
    pub on_loan: u64,
}

impl Whereabouts {
    /// Whether every chunk is where the worker knows of it: `on_loan = cached + fill + tx + parked`.
    #[must_use]
    pub const fn is_conserved(&self) -> bool {
        self.on_loan == self.cached + self.fill + self.tx + self.parked
    }
}

/// [`Whereabouts`] of one moment, published by the worker once per round that had work and read whole by anyone.
///
/// A sequence lock: the sequence is odd while the worker writes, so a reader that saw it even and unchanged around its
/// reads has numbers of one round. The worker never waits.
#[derive(Debug, Default)]
pub struct ChunkGauge {
    sequence: AtomicU32,
    numbers: [Counter; 5],
}

impl ChunkGauge {
    /// Publishes; only the owning worker may call this.
    #[inline]
    pub fn publish(&self, now: Whereabouts) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Relaxed);
        // The odd sequence is visible before any number that follows.
        fence(Release);
        let numbers = [now.cached, now.fill, now.tx, now.parked, now.on_loan];
        for (counter, number) in self.numbers.iter().zip(numbers) {
            counter.set(number);
        }
        self.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// The numbers of one round. Waits for a worker that is in the middle of publishing, which takes it nanoseconds.
    #[must_use]
    pub fn read(&self) -> Whereabouts {
        loop {
            let before = self.sequence.load(Acquire);
            let [cached, fill, tx, parked, on_loan] = self.numbers.each_ref().map(Counter::get);
            // The numbers are read before the sequence is looked at again.
            fence(Acquire);
            if before.is_multiple_of(2) && before == self.sequence.load(Relaxed) {
                return Whereabouts { cached, fill, tx, parked, on_loan };
            }
            core::hint::spin_loop();
        }
    }
}

/// What one worker did for one session, in both directions.
#[derive(Debug, Default)]
pub struct SessionCounters {
    /// Frames that came out of the pseudowire, whole and with the right cookie.
    pub rx_frames: Counter,
    /// Their bytes, inner Ethernet frame without FCS.
    pub rx_bytes: Counter,
    /// Frames sent into the pseudowire.
    pub tx_frames: Counter,
    /// Their bytes, inner Ethernet frame without FCS.
    pub tx_bytes: Counter,
    /// Of the frames received, those that came with the second cookie that the session accepts.
    pub rx_cookie_also: Counter,
    /// Of the frames received, those whose sequence number was looked at: in a session that observes.
    pub rx_numbered: Counter,
    /// Sequence numbers that did not come while the 64 behind them did. Units: packets.
    pub rx_lost: Counter,
    /// Frames with a lower sequence number than one before them.
    pub rx_late: Counter,
    /// Frames with a sequence number that came before.
    pub rx_duplicates: Counter,
    /// Times that a row of packets far from the expected sequence number became what is expected.
    pub rx_resyncs: Counter,
    /// Outer fragments sent for frames that did not fit the path whole.
    pub tx_fragments: Counter,
    /// Second, on the engine's clock, of the last frame received; 0: never.
    pub last_heard_s: AtomicU32,
    /// Frames that were dropped on the way in (after the session was known) or on the way out.
    pub drops: DropCounters,
    /// TCP SYN segments, of either direction, whose MSS was lowered.
    pub mss_clamped: Counter,
    /// Frames that left in several pieces because their IPv4 packet was too large.
    pub inner_fragmented: Counter,
    /// ICMP errors sent to the senders of frames that were too large.
    pub icmp_sent: Counter,
    /// ICMP errors that were due and not sent, because there had been enough in that second.
    pub icmp_limited: Counter,
}

impl SessionCounters {
    /// Notes that the peer was heard in second `now_s`; at most one store per second.
    #[inline]
    pub fn heard(&self, now_s: u32) {
        if self.last_heard_s.load(Relaxed) != now_s {
            self.last_heard_s.store(now_s, Relaxed);
        }
    }
}

/// What one worker did on one port.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Frames received.
    pub rx_frames: Counter,
    /// Their bytes as on the wire, without FCS.
    pub rx_bytes: Counter,
    /// Frames put on the transmit ring.
    pub tx_frames: Counter,
    /// Their bytes as on the wire, without FCS.
    pub tx_bytes: Counter,
    /// Of the frames received, those that stood in several chunks.
    pub rx_chained: Counter,
    /// Frames in several chunks that the kernel delivered and the port could not take; not among the frames received.
    pub rx_discarded: Counter,
    /// Of the frames put on the transmit ring, those that stood in several chunks.
    pub tx_chained: Counter,
    /// TCP or UDP frames seen whose checksum was never filled in (sampled: at most one look per batch).
    pub partial_checksums: Counter,
}

/// One `T` per worker, each on cache lines of its own; shared by all snapshots, so counts survive a reload.
#[derive(Debug)]
pub struct PerWorker<T>(Arc<[CachePadded<T>]>);

impl<T> Clone for PerWorker<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> PerWorker<T> {
    /// A set for workers `0..workers`.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| CachePadded::new(T::default())).collect())
    }
}

impl<T> PerWorker<T> {
    /// The part of worker `worker`; `None` when there are fewer workers.
    #[must_use]
    #[inline]
    pub fn of(&self, worker: usize) -> Option<&T> {
        self.0.get(worker).map(|padded| &**padded)
    }

    /// Every worker's part, worker 0 first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &**padded)
    }

    /// Sum of one number over all workers.
    pub fn sum(&self, number: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(number).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_as_of_one_round_while_a_worker_publishes() {
        let gauge = ChunkGauge::default();
        let is_over = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..200_000u64 {
                    gauge.publish(Whereabouts {
                        cached: round,
                        fill: 2 * round,
                        tx: 3 * round,
                        parked: 4 * round,
                        on_loan: 10 * round,
                    });
                }
                is_over.store(1, Relaxed);
            });
            while is_over.load(Relaxed) == 0 {
                let seen = gauge.read();
                assert!(seen.is_conserved(), "{seen:?}");
            }
        });
        assert_eq!(gauge.read().cached, 199_999);
    }

    #[test]
    fn a_missing_or_doubled_chunk_is_not_conserved() {
        let whole = Whereabouts { cached: 1, fill: 2, tx: 3, parked: 4, on_loan: 10 };
        assert!(whole.is_conserved());
        assert!(!Whereabouts { on_loan: 7, ..whole }.is_conserved());
        assert!(!Whereabouts { tx: 4, ..whole }.is_conserved());
        assert!(!Whereabouts { parked: 3, ..whole }.is_conserved());
    }
}
