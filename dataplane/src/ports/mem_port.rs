//! A port in memory: the engine on one side, a test or a bench on the other.
//!
//! Frames cross by ownership, without a copy and without allocation after construction. The far side plays both wire
//! and peer: what it does not take back stays on loan, as on a real transmit ring.

use std::{os::fd::BorrowedFd, sync::Arc};

use crossbeam::queue::ArrayQueue;
use xsk::{ChunkCache, Frame, FrameBatch, Held};

use super::Port;
use crate::{
    counters::{PerWorker, PortCounters},
    tables::PortId,
};

/// The engine's side.
#[derive(Debug)]
pub struct MemPort {
    id: PortId,
    to_engine: Arc<ArrayQueue<Frame>>,
    from_engine: Arc<ArrayQueue<Frame>>,
    counters: PerWorker<PortCounters>,
}

/// The far side.
#[derive(Clone, Debug)]
pub struct MemWire {
    to_engine: Arc<ArrayQueue<Frame>>,
    from_engine: Arc<ArrayQueue<Frame>>,
}

/// A port and its far side; each direction holds up to `ring_frames`.
///
/// # Panics
/// When `ring_frames` is 0.
#[must_use]
pub fn mem_port(id: PortId, ring_frames: usize) -> (MemPort, MemWire) {
    let to_engine = Arc::new(ArrayQueue::new(ring_frames));
    let from_engine = Arc::new(ArrayQueue::new(ring_frames));
    let wire = MemWire { to_engine: Arc::clone(&to_engine), from_engine: Arc::clone(&from_engine) };
    (MemPort { id, to_engine, from_engine, counters: PerWorker::new(1) }, wire)
}

impl MemWire {
    /// Lets a frame arrive at the engine.
    ///
    /// # Errors
    /// Gives the frame back when the ring is full.
    pub fn send(&self, frame: Frame) -> Result<(), Frame> {
        self.to_engine.push(frame)
    }

    /// Takes a frame the engine sent.
    #[must_use]
    pub fn receive(&self) -> Option<Frame> {
        self.from_engine.pop()
    }
}

impl MemPort {
    /// Counters of the port.
    #[must_use]
    pub fn counters(&self) -> &PerWorker<PortCounters> {
        &self.counters
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
            let Some(frame) = self.to_engine.pop() else { break };
            batch.push(frame);
        }
        batch.len() - before
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        self.from_engine.push(frame)
    }

    fn flush(&mut self) {}

    fn reclaim(&mut self, _cache: &mut ChunkCache) {}

    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn held(&self) -> Held {
        Held { fill: 0, tx: 0 }
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
