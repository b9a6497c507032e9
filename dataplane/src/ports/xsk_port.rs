//! The real port: one AF_XDP socket on one queue of an interface.

use std::os::fd::{AsFd, BorrowedFd};

use xsk::{ChecksumRequest, ChunkCache, Frame, FrameBatch, Held, QueueCounts, XskQueue};

use super::{Port, fill_in};
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
    /// Whether somebody behind it fills in checksums.
    fills_in: bool,
    counters: PerWorker<PortCounters>,
    /// The queue's counts when they were last added to the counters.
    counted: QueueCounts,
}

impl XskPort {
    /// Puts an open socket into the hands of worker `worker`.
    #[must_use]
    pub fn new(id: PortId, queue: XskQueue, worker: usize, counters: PerWorker<PortCounters>) -> Self {
        Self { id, queue, worker, fills_in: false, counters, counted: QueueCounts::default() }
    }

    /// The same, with whether checksums of frames that ask for it are filled in by the NIC or the kernel; else they are here.
    /// Only with a queue that has TX metadata.
    #[must_use]
    pub fn with_checksum_offload(self, fills_in: bool) -> Self {
        Self { fills_in: fills_in && self.queue.has_tx_metadata(), ..self }
    }

    /// The socket, to read its statistics or to close it.
    #[must_use]
    pub fn into_queue(self) -> XskQueue {
        self.queue
    }

    /// Adds what the queue counted of frames in several chunks since the last time, if anything.
    fn count_chained(&mut self) {
        let now = self.queue.counts();
        if now == self.counted {
            return;
        }
        let before = std::mem::replace(&mut self.counted, now);
        self.count(|counters| {
            counters.rx_chained.add(now.rx_chained - before.rx_chained);
            counters.rx_discarded.add(now.rx_discarded - before.rx_discarded);
            counters.tx_chained.add(now.tx_chained - before.tx_chained);
        });
    }

    /// Adds a frame that was queued for transmission.
    #[inline]
    fn count_tx(&self, bytes: u64) {
        self.count(|counters| {
            counters.tx_frames.add(1);
            counters.tx_bytes.add(bytes);
        });
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
    fn receive(&mut self, cache: &mut ChunkCache, batch: &mut FrameBatch) -> usize {
        let before = batch.len();
        let received = self.queue.receive(cache, batch);
        if received == 0 {
            return 0;
        }
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
        self.count_tx(bytes);
        Ok(())
    }

    #[inline]
    fn transmit_row(
        &mut self,
        frames: &mut impl Iterator<Item = Frame>,
        count: usize,
    ) -> Option<(Frame, usize)> {
        let (taken, bytes, refused) = self.queue.transmit_row(frames, count);
        self.count(|counters| {
            counters.tx_frames.add(taken as u64);
            counters.tx_bytes.add(bytes);
        });
        refused.map(|frame| (frame, taken))
    }

    #[inline]
    fn transmit_requesting(&mut self, mut frame: Frame, request: ChecksumRequest) -> Result<(), Frame> {
        let bytes = frame.len() as u64;
        if self.fills_in {
            self.queue.transmit_requesting(frame, request)?;
        } else {
            // Tables of before the port came up as it is now. What the ring refuses is tried again, and must not be filled in twice.
            if !self.queue.has_tx_room(frame.segment_count()) {
                return Err(frame);
            }
            fill_in(&mut frame, request);
            self.queue.transmit(frame)?;
        }
        self.count_tx(bytes);
        Ok(())
    }

    #[inline]
    fn max_segments(&self) -> usize {
        self.queue.max_segments()
    }

    #[inline]
    fn has_room(&mut self, count: usize) -> bool {
        self.queue.has_tx_room(count)
    }

    #[inline]
    fn is_quiet(&self) -> bool {
        self.queue.is_quiet()
    }

    #[inline]
    fn flush(&mut self) -> bool {
        if self.queue.max_segments() > 1 {
            self.count_chained();
        }
        self.queue.flush()
    }

    #[inline]
    fn reclaim(&mut self, cache: &mut ChunkCache) {
        self.queue.reap(cache);
        self.queue.refill(cache);
    }

    fn wake_before_sleep(&mut self) {
        self.queue.wake_before_sleep();
    }

    fn has_received(&self) -> bool {
        self.queue.has_received()
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
