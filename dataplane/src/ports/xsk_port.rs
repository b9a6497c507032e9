//! The real port: one AF_XDP socket on one queue of an interface.

use std::os::fd::{AsFd, BorrowedFd};

use xsk::{ChunkCache, Frame, FrameBatch, Held, XskQueue};

use super::Port;
use crate::{
    counters::{PerWorker, PortCounters},
    tables::PortId,
};

/// One worker's AF_XDP socket.
#[derive(Debug)]
pub struct XskPort {
    id: PortId,
    queue: XskQueue,
    worker: usize,
    counters: PerWorker<PortCounters>,
}

impl XskPort {
    /// Puts an open socket into the hands of worker `worker`.
    #[must_use]
    pub fn new(id: PortId, queue: XskQueue, worker: usize, counters: PerWorker<PortCounters>) -> Self {
        Self { id, queue, worker, counters }
    }

    /// The socket, to read its statistics or to close it.
    #[must_use]
    pub fn into_queue(self) -> XskQueue {
        self.queue
    }

    #[inline]
    fn count(&self, count: impl FnOnce(&PortCounters)) {
        if let Some(counters) = self.counters.of(self.worker) {
            count(counters);
        }
    }
}

impl Port for XskPort {
    fn id(&self) -> PortId {
        self.id
    }

    #[inline]
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        let before = batch.len();
        let received = self.queue.receive(batch);
        let bytes: usize = batch.iter().skip(before).map(Frame::len).sum();
        self.count(|counters| {
            counters.rx_frames.add(received as u64);
            counters.rx_bytes.add(bytes as u64);
        });
        received
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        let bytes = frame.len() as u64;
        self.queue.transmit(frame)?;
        self.count(|counters| {
            counters.tx_frames.add(1);
            counters.tx_bytes.add(bytes);
        });
        Ok(())
    }

    #[inline]
    fn has_room(&mut self, count: usize) -> bool {
        self.queue.has_tx_room(count)
    }

    #[inline]
    fn flush(&mut self) {
        self.queue.flush();
    }

    #[inline]
    fn reclaim(&mut self, cache: &mut ChunkCache) {
        self.queue.reap(cache);
        self.queue.refill(cache);
    }

    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.as_fd())
    }

    fn held(&self) -> Held {
        self.queue.held()
    }

    fn kicks(&self) -> u64 {
        let counts = self.queue.counts();
        counts.tx_kicks + counts.rx_kicks
    }

    fn note_partial_checksum(&self) {
        self.count(|counters| counters.partial_checksums.add(1));
    }
}
