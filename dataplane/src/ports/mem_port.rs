//! A port in memory: the engine on one side, a test or a bench on the other.
//!
//! ```text
//!            fill       empty chunks  ------>
//!  engine    rx         frames        <------   far side
//! (MemPort)  tx         frames        ------>   (MemWire)
//!            completed  chunks        <------
//! ```
//! As with an AF_XDP socket, every chunk that crosses is the engine's own: one lent for reception comes back as a
//! received frame, one sent comes back when the far side is done with it. So [`Port::held`] counts what the far side
//! has, and the engine's books can be checked. Frames cross by ownership, without allocation after construction; bytes
//! are copied where a NIC would write or read them.

use std::{os::fd::BorrowedFd, sync::Arc};

use crossbeam::queue::ArrayQueue;
use xsk::{Chunk, ChunkCache, Frame, FrameBatch, Held};

use super::Port;
use crate::{
    counters::{PerWorker, PortCounters},
    tables::PortId,
};

/// Offset in its chunk at which a received frame starts, as with AF_XDP without headroom of its own. Units: bytes.
pub const RX_START_BYTES: usize = 256;

/// What `expect` says where a ring takes in no more chunks than crossed in the other direction.
const ROOM: &str = "a ring has a place for every chunk that is under way";

/// The four rings between both sides, of `ring_frames` places each.
#[derive(Debug)]
struct Rings {
    fill: ArrayQueue<Chunk>,
    rx: ArrayQueue<Frame>,
    tx: ArrayQueue<Frame>,
    completed: ArrayQueue<Chunk>,
}

/// The engine's side.
#[derive(Debug)]
pub struct MemPort {
    id: PortId,
    rings: Arc<Rings>,
    ring_frames: u32,
    held: Held,
    counters: PerWorker<PortCounters>,
}

/// The far side: wire and peer in one.
#[derive(Clone, Debug)]
pub struct MemWire {
    rings: Arc<Rings>,
}

/// A port and its far side. Up to `ring_frames` chunks are lent for reception, from `cache` to begin with, and up to
/// `ring_frames` frames wait for the far side.
///
/// # Panics
/// When `ring_frames` is 0.
#[must_use]
pub fn mem_port(id: PortId, ring_frames: u32, cache: &mut ChunkCache) -> (MemPort, MemWire) {
    let places = ring_frames as usize;
    let rings = Arc::new(Rings {
        fill: ArrayQueue::new(places),
        rx: ArrayQueue::new(places),
        tx: ArrayQueue::new(places),
        completed: ArrayQueue::new(places),
    });
    let wire = MemWire { rings: Arc::clone(&rings) };
    let mut port = MemPort { id, rings, ring_frames, held: Held::default(), counters: PerWorker::new(1) };
    port.refill(cache);
    (port, wire)
}

impl MemWire {
    /// Lets bytes arrive at the engine. Returns whether a chunk was lent for them and has room for them.
    #[must_use]
    pub fn send(&self, bytes: &[u8]) -> bool {
        self.send_at(RX_START_BYTES, bytes)
    }

    /// Lets bytes arrive that start at another offset in their chunk. Units: bytes.
    ///
    /// # Panics
    /// Never: the rings have as many places as there are chunks lent.
    #[must_use]
    pub fn send_at(&self, start: usize, bytes: &[u8]) -> bool {
        let Some(chunk) = self.rings.fill.pop() else { return false };
        match Frame::from_bytes(chunk, start, bytes) {
            Ok(frame) => self.rings.rx.push(frame).map(|()| true).expect(ROOM),
            Err(chunk) => self.rings.fill.push(chunk).map(|()| false).expect(ROOM),
        }
    }

    /// Looks at the oldest frame the engine sent and completes its transmission; `None`: there is none.
    ///
    /// # Panics
    /// Never: the rings have as many places as frames can be under way.
    pub fn receive<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let frame = self.rings.tx.pop()?;
        let seen = look(frame.bytes());
        self.rings.completed.push(frame.into_chunk()).expect(ROOM);
        Some(seen)
    }

    /// Frames the engine sent and the far side did not look at yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rings.tx.len()
    }
}

impl MemPort {
    /// Counters of the port.
    #[must_use]
    pub fn counters(&self) -> &PerWorker<PortCounters> {
        &self.counters
    }

    /// Ends the port: every chunk goes to `cache`, frames nobody took included. Returns what the far side has in hand at
    /// this very moment, which is nothing unless it runs in another thread.
    pub fn close(mut self, cache: &mut ChunkCache) -> Held {
        self.reap(cache);
        while let Some(chunk) = self.rings.fill.pop() {
            self.held.fill -= 1;
            cache.give(chunk);
        }
        while let Some(frame) = self.rings.rx.pop() {
            self.held.fill -= 1;
            cache.give(frame.into_chunk());
        }
        while let Some(frame) = self.rings.tx.pop() {
            self.held.tx -= 1;
            cache.give(frame.into_chunk());
        }
        self.held
    }

    /// Takes back chunks the far side is done with.
    #[inline]
    fn reap(&mut self, cache: &mut ChunkCache) {
        while let Some(chunk) = self.rings.completed.pop() {
            self.held.tx -= 1;
            cache.give(chunk);
        }
    }

    /// Lends chunks for reception up to the size of the ring.
    #[inline]
    fn refill(&mut self, cache: &mut ChunkCache) {
        while self.held.fill < self.ring_frames
            && let Some(chunk) = cache.take()
        {
            self.held.fill += 1;
            self.rings.fill.push(chunk).expect(ROOM);
        }
    }
}

impl Port for MemPort {
    fn id(&self) -> PortId {
        self.id
    }

    #[inline]
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        let before = batch.len();
        while !batch.is_full() {
            let Some(frame) = self.rings.rx.pop() else { break };
            self.held.fill -= 1;
            batch.push(frame);
        }
        batch.len() - before
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.held.tx == self.ring_frames {
            return Err(frame);
        }
        self.rings.tx.push(frame)?;
        self.held.tx += 1;
        Ok(())
    }

    fn has_room(&mut self, count: usize) -> bool {
        (self.ring_frames - self.held.tx) as usize >= count
    }

    fn flush(&mut self) {}

    #[inline]
    fn reclaim(&mut self, cache: &mut ChunkCache) {
        self.reap(cache);
        self.refill(cache);
    }

    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn held(&self) -> Held {
        self.held
    }

    fn kicks(&self) -> u64 {
        0
    }

    fn note_partial_checksum(&self) {
        if let Some(counters) = self.counters.of(0) {
            counters.partial_checksums.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xsk::{Umem, UmemConfig};

    #[test]
    fn chunks_on_the_far_side_are_counted_and_come_back() {
        let config = UmemConfig { chunk_count: 64, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        let mut cache = ChunkCache::new(pool, 128);
        let (mut port, wire) = mem_port(PortId(0), 2, &mut cache);
        assert_eq!(port.held(), Held { fill: 2, tx: 0 });
        assert!(!wire.send(&[0; 2049]), "larger than a chunk");
        assert!(wire.send(&[7; 60]) && wire.send(&[8; 60]));
        assert!(!wire.send(&[9; 60]), "no chunk is lent any more");

        let mut batch = FrameBatch::new();
        assert_eq!(port.receive(&mut batch), 2);
        assert_eq!(port.held(), Held { fill: 0, tx: 0 });
        for frame in batch.drain(..) {
            port.transmit(frame).unwrap();
        }
        assert_eq!(port.held(), Held { fill: 0, tx: 2 });
        assert_eq!(wire.receive(<[u8]>::to_vec), Some(vec![7; 60]));
        assert_eq!((port.held().tx, wire.waiting()), (2, 1), "not taken back yet");
        port.reclaim(&mut cache);
        assert_eq!(port.held(), Held { fill: 2, tx: 1 });
        assert_eq!(port.close(&mut cache), Held::default());
        assert_eq!(cache.len() + cache.pool().free_count(), 64);
    }
}
