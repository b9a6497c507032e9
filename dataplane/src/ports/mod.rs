//! Ports: where frames come from and go to.
//!
//! Place on the path: first and last. The engine is written against [`Port`]; [`xsk_port`] is the real thing,
//! [`mem_port`] stands in for it in tests and benches.

mod fill_in;
pub mod mem_port;
pub mod xsk_port;

use std::os::fd::BorrowedFd;

use xsk::{ChecksumRequest, ChunkCache, Frame, FrameBatch};

pub use fill_in::fill_in;

use crate::tables::PortId;

/// One worker's hold on one queue of a port. All calls are for that worker's thread alone.
pub trait Port {
    /// The port this queue belongs to.
    fn id(&self) -> PortId;

    /// Moves waiting frames into `batch`, up to the room left in it. Returns how many. Chunks of what makes no frame go to `cache`.
    fn receive(&mut self, cache: &mut ChunkCache, batch: &mut FrameBatch) -> usize;

    /// Queues a frame; it leaves with the next [`Port::flush`].
    ///
    /// # Errors
    /// Gives the frame back when the ring has not room for all of it, or it has more segments than [`Port::max_segments`].
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame>;

    /// [`Port::transmit`] for the next `count` frames that an iterator has. `Some`: the one that was refused, and how many were queued before it;
    /// those behind it stay in the iterator. `None`: all were queued, or there were fewer.
    #[inline]
    fn transmit_row(
        &mut self,
        frames: &mut impl Iterator<Item = Frame>,
        count: usize,
    ) -> Option<(Frame, usize)> {
        for passed in 0..count {
            if let Err(frame) = self.transmit(frames.next()?) {
                return Some((frame, passed));
            }
        }
        None
    }

    /// [`Port::transmit`] for a frame whose checksum is still to be filled in: by the NIC or the kernel where the port has that, else here.
    ///
    /// # Errors
    /// As [`Port::transmit`]; the frame is then as it was.
    fn transmit_requesting(&mut self, frame: Frame, request: ChecksumRequest) -> Result<(), Frame>;

    /// Either of the two.
    ///
    /// # Errors
    /// As [`Port::transmit`].
    #[inline]
    fn transmit_with(&mut self, frame: Frame, request: Option<ChecksumRequest>) -> Result<(), Frame> {
        match request {
            None => self.transmit(frame),
            Some(request) => self.transmit_requesting(frame, request),
        }
    }

    /// Chunks that one frame to be transmitted may stand in; 1 where the port has no multi-buffer.
    fn max_segments(&self) -> usize;

    /// Whether the ring takes `count` frames more.
    fn has_room(&mut self, count: usize) -> bool;

    /// Whether [`Port::receive`] and [`Port::reclaim`] would do nothing now: nothing came, nothing was completed, and all chunks are lent that can be.
    fn is_quiet(&self) -> bool;

    /// Sends what was queued. Tells whether that took a system call.
    fn flush(&mut self) -> bool;

    /// Takes back chunks whose transmission is over and lends new ones for reception.
    fn reclaim(&mut self, cache: &mut ChunkCache);

    /// Before a sleep: makes the other side of the rings look at what it has not come to yet, however lately that was done. Nobody would do so
    /// again until there is something to receive.
    fn wake_before_sleep(&mut self);

    /// Whether frames wait to be received.
    fn has_received(&self) -> bool;

    /// What to wait on for frames, the same for as long as the port is attached; `None` for ports in memory.
    fn wait_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Chunks the other side of the rings holds: lent for reception, queued for transmission.
    fn held(&self) -> xsk::Held;

    /// System calls made so far to wake the other side of the rings.
    fn kicks(&self) -> u64;

    /// Notes a sampled frame whose checksum was never filled in.
    fn note_partial_checksum(&self);
}

/// The queues one worker serves.
#[derive(Debug)]
pub struct PortSet<P> {
    ports: Vec<P>,
    /// Position in `ports` of a queue to transmit on, by [`PortId`].
    tx_position: Vec<Option<u16>>,
    /// Extra flushes that this round has left.
    extra_flushes: u32,
}

/// Extra flushes of full transmit rings in one round: enough for floods to many members, and a bound on system calls
/// when the other side takes nothing.
const EXTRA_FLUSHES: u32 = 8;

impl<P> Default for PortSet<P> {
    fn default() -> Self {
        Self { ports: Vec::new(), tx_position: Vec::new(), extra_flushes: EXTRA_FLUSHES }
    }
}

impl<P: Port> PortSet<P> {
    /// Adds a queue. The first queue of a port is the one the worker transmits on.
    pub fn attach(&mut self, port: P) {
        self.ports.push(port);
        self.index();
    }

    /// Takes out all queues of a port.
    pub fn detach(&mut self, id: PortId) -> Vec<P> {
        let (gone, kept) = self.ports.drain(..).partition(|port| port.id() == id);
        self.ports = kept;
        self.index();
        gone
    }

    fn index(&mut self) {
        let ids = self.ports.iter().map(|port| port.id().index() + 1).max().unwrap_or(0);
        self.tx_position = vec![None; ids];
        for (position, port) in (0u16..).zip(&self.ports) {
            if let Some(slot) = self.tx_position.get_mut(port.id().index()) {
                slot.get_or_insert(position);
            }
        }
    }

    /// The queue to transmit on towards `id`.
    #[inline]
    pub fn tx(&mut self, id: PortId) -> Option<&mut P> {
        let position = (*self.tx_position.get(id.index())?)?;
        self.ports.get_mut(usize::from(position))
    }

    /// Makes room in a full transmit ring, and tries once more.
    ///
    /// # Errors
    /// Gives the frame back when there is still no room, or the round's extra flushes are used up.
    #[cold]
    pub fn retry(
        &mut self,
        id: PortId,
        frame: Frame,
        request: Option<ChecksumRequest>,
        cache: &mut ChunkCache,
    ) -> Result<(), Frame> {
        match self.flush_full(id, cache) {
            Some(port) => port.transmit_with(frame, request),
            None => Err(frame),
        }
    }

    /// Makes room for `count` frames in a full transmit ring. Returns whether it takes them now.
    #[cold]
    pub fn make_room(&mut self, id: PortId, count: usize, cache: &mut ChunkCache) -> bool {
        self.flush_full(id, cache).is_some_and(|port| port.has_room(count))
    }

    /// Sends what a full ring holds; `None`: the round's extra flushes are used up.
    fn flush_full(&mut self, id: PortId, cache: &mut ChunkCache) -> Option<&mut P> {
        self.extra_flushes = self.extra_flushes.checked_sub(1)?;
        let port = self.tx(id)?;
        port.flush();
        port.reclaim(cache);
        Some(port)
    }

    /// Whether there is nothing to receive or to reclaim: [`Port::is_quiet`].
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.ports.iter().all(P::is_quiet)
    }

    /// Sends what was queued on every queue, and begins a new round. Tells whether that took a system call.
    pub fn flush(&mut self) -> bool {
        self.extra_flushes = EXTRA_FLUSHES;
        self.ports.iter_mut().fold(false, |called, port| port.flush() | called)
    }

    /// Every queue.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut P> {
        self.ports.iter_mut()
    }

    /// Every queue.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        self.ports.iter()
    }

    /// The queue at a position, in order of attachment.
    #[inline]
    pub fn at(&mut self, position: usize) -> Option<&mut P> {
        self.ports.get_mut(position)
    }

    /// All queues, taken apart.
    #[must_use]
    pub fn into_ports(self) -> Vec<P> {
        self.ports
    }

    /// Number of queues.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ports.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }
}
