//! What stands in for the rings: frames that are transmitted come to be received again.
//!
//! No queue between threads and no copy of a frame, so that little but the engine is measured: encapsulation never moves
//! the payload, so the outer headers are taken off again by moving the start forward, or put back in front of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use dataplane::ports::Port;
use dataplane::tables::PortId;
use xsk::{ChunkCache, Frame, FrameBatch, Held};

use super::Way;
use super::tables::{LAN, OUTER_BYTES, OUTER_IP_BYTES, WAN};

/// How a transmitted frame gets the shape back that it was received in.
#[derive(Debug, Clone, Copy)]
enum Restore {
    /// It has it.
    Nothing,
    /// Outer headers are taken off.
    Strip,
    /// The outer headers that were taken off still stand in front of it.
    PutBack,
    /// Other outer headers are taken off, and the first ones written in front.
    Rewrite([u8; OUTER_BYTES]),
}

/// Frames on their way round.
#[derive(Debug)]
pub(super) struct Circle {
    waiting: RefCell<VecDeque<Frame>>,
    receiver: PortId,
    restore: Restore,
    /// Frames that did not get their shape back; they are out of the circle.
    lost: Cell<u64>,
}

impl Circle {
    /// A circle of frames that take a way through the engine.
    pub(super) fn new(way: Way, frames: Vec<Frame>) -> Self {
        let outer = frames.first().and_then(|frame| frame.bytes().first_chunk().copied());
        let restore = match way {
            Way::Encap => Restore::Strip,
            Way::Decap => Restore::PutBack,
            Way::Relay => outer.map_or(Restore::Nothing, Restore::Rewrite),
        };
        let receiver = if way == Way::Encap { LAN } else { WAN };
        Self { waiting: RefCell::new(frames.into()), receiver, restore, lost: Cell::new(0) }
    }

    /// A circle of frames that nobody changes; they are received on the LAN.
    pub(super) fn unchanging(frames: Vec<Frame>) -> Self {
        let waiting = RefCell::new(frames.into());
        Self { waiting, receiver: LAN, restore: Restore::Nothing, lost: Cell::new(0) }
    }

    /// The LAN and the WAN of a circle.
    pub(super) fn ports(circle: &Rc<Self>) -> [CirclePort; 2] {
        [LAN, WAN].map(|id| CirclePort { id, circle: Rc::clone(circle) })
    }

    /// The bytes of every frame in the circle, in order.
    pub(super) fn contents(&self) -> Vec<Vec<u8>> {
        self.waiting.borrow().iter().map(|frame| frame.bytes().to_vec()).collect()
    }

    /// Gives a frame its first shape.
    #[inline]
    fn restored(&self, mut frame: Frame) -> Option<Frame> {
        match &self.restore {
            Restore::Nothing => {}
            Restore::Strip => frame.pull_front(OUTER_BYTES)?,
            Restore::PutBack => drop(frame.push_front(OUTER_BYTES)?),
            Restore::Rewrite(outer) => {
                frame.pull_front(OUTER_IP_BYTES)?;
                *frame.before_mut()? = *outer;
                frame.push_front(OUTER_BYTES)?;
            }
        }
        Some(frame)
    }
}

/// One side of a circle.
#[derive(Debug)]
pub(super) struct CirclePort {
    id: PortId,
    circle: Rc<Circle>,
}

impl Port for CirclePort {
    fn id(&self) -> PortId {
        self.id
    }

    #[inline]
    fn receive(&mut self, batch: &mut FrameBatch) -> usize {
        if self.id != self.circle.receiver {
            return 0;
        }
        let mut waiting = self.circle.waiting.borrow_mut();
        let count = batch.remaining_capacity().min(waiting.len());
        batch.extend(waiting.drain(..count));
        count
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        match self.circle.restored(frame) {
            Some(frame) => self.circle.waiting.borrow_mut().push_back(frame),
            None => self.circle.lost.set(self.circle.lost.get() + 1),
        }
        Ok(())
    }

    fn has_room(&mut self, _count: usize) -> bool {
        true
    }

    fn flush(&mut self) {}

    fn reclaim(&mut self, _cache: &mut ChunkCache) {}

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
