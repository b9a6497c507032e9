//! Belt: what stands in for the rings. Frames wait on it to be received, and end beside it when they are transmitted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use dataplane::ports::Port;
use dataplane::tables::PortId;
use xsk::{ChecksumRequest, ChunkCache, Frame, FrameBatch, Held};

/// Frames before and behind the engine.
#[derive(Debug)]
pub(super) struct Belt {
    /// In order of arrival.
    pub(super) arriving: VecDeque<Frame>,
    /// In order of transmission.
    pub(super) left: Vec<Frame>,
    /// Where they arrive.
    receiver: PortId,
    /// Most that one call of [`Port::receive`] hands over.
    pub(super) burst: usize,
}

impl Belt {
    /// An empty belt on which up to `frames` arrive at `receiver`.
    pub(super) fn new(receiver: PortId, burst: usize, frames: usize) -> Self {
        Self { arriving: VecDeque::with_capacity(frames), left: Vec::with_capacity(frames), receiver, burst }
    }
}

/// One end of a belt.
#[derive(Debug)]
pub(super) struct BeltPort {
    pub(super) id: PortId,
    pub(super) belt: Rc<RefCell<Belt>>,
}

impl Port for BeltPort {
    fn id(&self) -> PortId {
        self.id
    }

    #[inline]
    fn receive(&mut self, _: &mut ChunkCache, batch: &mut FrameBatch) -> usize {
        let mut belt = self.belt.borrow_mut();
        if self.id != belt.receiver {
            return 0;
        }
        let count = batch.remaining_capacity().min(belt.arriving.len()).min(belt.burst);
        batch.extend(belt.arriving.drain(..count));
        count
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        self.belt.borrow_mut().left.push(frame);
        Ok(())
    }

    /// As behind a card that fills checksums in: nothing is left to do here.
    #[inline]
    fn transmit_requesting(&mut self, frame: Frame, _: ChecksumRequest) -> Result<(), Frame> {
        self.transmit(frame)
    }

    fn max_segments(&self) -> usize {
        1
    }

    fn has_room(&mut self, _count: usize) -> bool {
        true
    }

    #[inline]
    fn is_quiet(&self) -> bool {
        let belt = self.belt.borrow();
        self.id != belt.receiver || belt.arriving.is_empty()
    }

    fn flush(&mut self) -> bool {
        false
    }

    fn reclaim(&mut self, _cache: &mut ChunkCache) {}

    fn wake_before_sleep(&mut self) {}

    fn has_received(&self) -> bool {
        !self.is_quiet()
    }

    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn held(&self) -> Held {
        Held::default()
    }

    fn kicks(&self) -> u64 {
        0
    }

    fn note_partial_checksum(&self) {}
}
