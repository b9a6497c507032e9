//! Where a tunnel's peer was last heard, when that is not where it was thought to be: written by workers, read by the main thread.
//!
//! Place on the path: `decap` writes it for a packet whose session and cookie are right and whose source is new, which is
//! rare; the main thread takes the newest over, and publishes tables in which that source is the tunnel's. It stands outside
//! the snapshots, like the counters, and as there each worker writes a part of its own.
//! Not in it: how often a peer may move, and what follows when it has (the main thread).

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use crate::counters::PerWorker;

/// A peer's end of a tunnel over UDP, as it stands in its packets. Byte order: host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerEnd {
    /// Its address, in the form of [`super::sessions::Endpoint::remote`].
    pub address: u128,
    /// Its UDP port.
    pub port: u16,
}

/// A sighting of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where it was heard.
    pub end: PeerEnd,
    /// Grows from sighting to sighting of a tunnel, whichever worker had it.
    pub ticket: u64,
}

/// The sightings of one tunnel's peer.
#[derive(Debug)]
pub struct PeerWatch {
    by_worker: PerWorker<Slot>,
    /// The last ticket given out.
    tickets: AtomicU64,
    /// Sightings up to this ticket have been dealt with.
    done: AtomicU64,
}

/// One worker's last sighting: a sequence lock, as in [`crate::counters::ChunkGauge`].
#[derive(Debug, Default)]
struct Slot {
    sequence: AtomicU32,
    high: AtomicU64,
    low: AtomicU64,
    port: AtomicU64,
    /// 0: none yet.
    ticket: AtomicU64,
}

impl Slot {
    /// The numbers as they stand; whole only for the worker that writes them.
    fn peek(&self) -> Sighting {
        let address = u128::from(self.high.load(Relaxed)) << 64 | u128::from(self.low.load(Relaxed));
        let port = u16::try_from(self.port.load(Relaxed)).unwrap_or(0);
        Sighting { end: PeerEnd { address, port }, ticket: self.ticket.load(Relaxed) }
    }

    fn write(&self, sighting: Sighting) {
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Relaxed);
        // The odd sequence is visible before any number that follows.
        fence(Release);
        let [high, low] = halves(sighting.end.address);
        self.high.store(high, Relaxed);
        self.low.store(low, Relaxed);
        self.port.store(u64::from(sighting.end.port), Relaxed);
        self.ticket.store(sighting.ticket, Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// The numbers of one sighting. Waits for a worker that is in the middle of writing, which takes it nanoseconds.
    fn read(&self) -> Sighting {
        loop {
            let before = self.sequence.load(Acquire);
            let sighting = self.peek();
            // The numbers are read before the sequence is looked at again.
            fence(Acquire);
            if before.is_multiple_of(2) && before == self.sequence.load(Relaxed) {
                return sighting;
            }
            core::hint::spin_loop();
        }
    }
}

fn halves(address: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, tail @ ..] = address.to_be_bytes();
    [[a, b, c, d, e, f, g, h], tail].map(u64::from_be_bytes)
}

impl PeerWatch {
    /// Nobody was heard yet, by workers `0..workers`.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self { by_worker: PerWorker::new(workers), tickets: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// Notes that the peer was heard at `end`; a repetition that nobody has looked at yet stores nothing. Only worker `worker`
    /// may call this.
    pub fn note(&self, worker: usize, end: PeerEnd) {
        let Some(slot) = self.by_worker.of(worker) else { return };
        let last = slot.peek();
        if last.end == end && last.ticket > self.done.load(Relaxed) {
            return;
        }
        let ticket = self.tickets.fetch_add(1, Relaxed).wrapping_add(1);
        slot.write(Sighting { end, ticket });
    }

    /// The newest sighting that was not dealt with.
    #[must_use]
    pub fn newest(&self) -> Option<Sighting> {
        let done = self.done.load(Relaxed);
        let open = self.by_worker.iter().map(Slot::read).filter(|sighting| sighting.ticket > done);
        open.max_by_key(|sighting| sighting.ticket)
    }

    /// Deals with a sighting and all before it: the same end, when it is heard again, is a new sighting. Main thread only.
    pub fn deal_with(&self, sighting: Sighting) {
        self.done.fetch_max(sighting.ticket, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(number: u16) -> PeerEnd {
        // Every part differs with the number, so that parts of two ends make neither.
        let part = u128::from(number);
        PeerEnd { address: part << 100 | part << 40 | part, port: number }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Heard { worker: usize, end: u16 },
        Look,
    }

    proptest! {
        /// The model: the last end that was heard since the last look is the one that a look finds, but for ends that were
        /// heard again by the worker whose word on it is still open.
        #[test]
        fn a_look_finds_what_was_noted_last(steps in proptest::collection::vec(prop_oneof![
            (0_usize..3, 1_u16..5).prop_map(|(worker, end)| Step::Heard { worker, end }),
            Just(Step::Look),
        ], 0..60)) {
            let watch = PeerWatch::new(3);
            let mut last: Option<u16> = None;
            let mut open: [Option<u16>; 3] = [None; 3];
            for step in steps {
                match step {
                    Step::Heard { worker, end: number } => {
                        watch.note(worker, end(number));
                        if open[worker] != Some(number) {
                            open[worker] = Some(number);
                            last = Some(number);
                        }
                    }
                    Step::Look => {
                        let newest = watch.newest();
                        prop_assert_eq!(newest.map(|sighting| sighting.end), last.map(end));
                        if let Some(sighting) = newest {
                            watch.deal_with(sighting);
                        }
                        (last, open) = (None, [None; 3]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_sighting_stays_until_it_is_dealt_with_and_the_same_end_can_be_seen_again() {
        let watch = PeerWatch::new(1);
        assert_eq!(watch.newest(), None);
        watch.note(0, end(7));
        watch.note(0, end(7));
        let first = watch.newest().unwrap();
        assert_eq!((first.end, first.ticket), (end(7), 1), "the repetition stored nothing");
        assert_eq!(watch.newest(), Some(first));
        watch.deal_with(first);
        assert_eq!(watch.newest(), None);
        watch.note(0, end(7));
        assert_eq!(watch.newest().map(|sighting| sighting.end), Some(end(7)));
    }

    #[test]
    fn a_worker_that_does_not_exist_notes_nothing() {
        let watch = PeerWatch::new(1);
        watch.note(1, end(7));
        assert_eq!(watch.newest(), None);
    }

    #[test]
    fn what_is_read_while_a_worker_writes_is_one_sighting() {
        let watch = PeerWatch::new(1);
        let is_over = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..100_000_u32).for_each(|round| watch.note(0, end(u16::try_from(round % 60_000).unwrap())));
                is_over.store(1, Relaxed);
            });
            while is_over.load(Relaxed) == 0 {
                if let Some(sighting) = watch.newest() {
                    assert_eq!(sighting.end, end(sighting.end.port));
                }
            }
        });
        assert_eq!(watch.newest().unwrap().ticket, 100_000);
    }
}
