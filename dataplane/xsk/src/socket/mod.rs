//! Queue: one receive and transmit queue of an interface, with its AF_XDP socket and four rings.
//!
//! Place on the path: its two ends. One worker owns it and calls, per turn: `receive`, `transmit` as often as it likes, `flush`, `reap`,
//! `refill`. None of these allocates; system calls are made only to wake the kernel. What is not here: which socket gets
//! which frames (the XDP program's map) and what is done with them.

mod config;
mod error;
mod kick;
mod link_pause;
mod loans;
mod open;
mod rings;
mod shared;
mod wake_pause;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub use config::{BindMode, BusyPoll, SocketConfig};
pub use error::{BindError, BindOperation};
use shared::ListedSocket;
pub(crate) use shared::SharedSockets;

use crate::chunk_cache::ChunkCache;
use crate::frame::{Frame, FrameBatch};
use crate::lent::Held;
use crate::statistics::{KernelStatistics, QueueCounts};
use crate::tx_metadata::ChecksumRequest;
use crate::umem::Umem;
use link_pause::LinkPause;
use loans::Loans;
use rings::{MappedRings, Overdue};
pub use wake_pause::FIRST_FLUSHES as WAKE_PAUSE_FLUSHES;
use wake_pause::WakePause;

/// One device and queue: its socket and its four rings.
///
/// Dropping it closes the queue and gives its chunks back to the pool; [`close`](XskQueue::close) does the same and tells how many.
#[derive(Debug)]
pub struct XskQueue {
    // Order matters: fields are dropped in this order, and chunks may be taken back only when rings and socket are gone.
    rings: MappedRings,
    socket: ListedSocket,
    loans: Loans,
    zero_copy: bool,
    tx_metadata: bool,
    need_wakeup: bool,
    busy_poll: bool,
    kick_limit: u32,
    link_pause: LinkPause,
    tx_wake: WakePause,
    fill_wake: WakePause,
    ifindex: u32,
    queue: u32,
    zero_copy_refusal: Option<BindError>,
}

impl XskQueue {
    /// Opens the queue `queue` of the interface `ifindex` in the calling thread's network namespace. The fill ring is populated from
    /// `cache` before the socket is bound.
    ///
    /// A queue that is busy is tried again for a quarter of a second: the kernel finishes closing an earlier socket later.
    ///
    /// # Errors
    ///
    /// What failed and why. All chunks are back in `cache` then, unless the kernel keeps those of a socket that was bound already: see
    /// [`close`](XskQueue::close).
    ///
    /// # Panics
    ///
    /// When `cache` holds chunks of another memory than `umem`.
    pub fn open(
        umem: &'static Umem,
        ifindex: u32,
        queue: u32,
        config: &SocketConfig,
        cache: &mut ChunkCache,
    ) -> Result<Self, BindError> {
        open::open(umem, ifindex, queue, config, cache)
    }

    /// Moves waiting frames into `out`, up to the room left in it; how many. Chunks of frames that cannot be taken go to `cache`:
    /// [`QueueCounts::rx_discarded`].
    #[inline]
    pub fn receive(&mut self, cache: &mut ChunkCache, out: &mut FrameBatch) -> usize {
        self.rings.receive(&mut self.loans.lent, cache, out)
    }

    /// Writes a frame to the TX ring, all of it or nothing; it leaves with the next [`flush`](XskQueue::flush).
    ///
    /// # Errors
    ///
    /// Gives the frame back when the ring has not room for it, the frame is empty, of another memory, of more segments than
    /// [`max_segments`](XskQueue::max_segments), or one of them has less than [`TX_METADATA_BYTES`](crate::TX_METADATA_BYTES) in front.
    #[inline]
    pub fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        self.rings.transmit(&mut self.loans.lent, frame)
    }

    /// [`transmit`](XskQueue::transmit) for a frame whose checksum the driver is to fill in; in copy mode the kernel does, or has the
    /// device do it, in the packet that it makes of the frame.
    ///
    /// # Errors
    ///
    /// As `transmit`; and for a queue without [`has_tx_metadata`](XskQueue::has_tx_metadata), and a checksum outside of the frame's head.
    #[inline]
    pub fn transmit_requesting(&mut self, frame: Frame, request: ChecksumRequest) -> Result<(), Frame> {
        if !self.tx_metadata {
            return Err(frame);
        }
        self.rings.transmit_requesting(request, &mut self.loans.lent, frame)
    }

    /// Whether the TX ring takes `count` frames more.
    #[inline]
    pub fn has_tx_room(&mut self, count: usize) -> bool {
        self.rings.has_tx_room(count)
    }

    /// [`transmit`](XskQueue::transmit) for the next `count` frames that an iterator has. How many were taken, and the bytes of these; the frame that was
    /// refused, if any.
    #[inline]
    pub fn transmit_row(
        &mut self,
        frames: &mut impl Iterator<Item = Frame>,
        count: usize,
    ) -> (usize, u64, Option<Frame>) {
        self.rings.transmit_row(&mut self.loans.lent, frames, count)
    }

    /// Whether `receive`, `reap` and `refill` would do nothing now, not even a system call.
    #[must_use]
    #[inline]
    pub fn is_quiet(&self) -> bool {
        !self.busy_poll && self.rings.is_quiet()
    }

    /// Shows the kernel what was written and, where it needs that, makes it transmit.
    ///
    /// What the kernel does not take now (its buffers are full, the link is down) stays in the ring for the next flush, so flush every
    /// turn, with new frames or without.
    ///
    /// A link that is administratively down takes nothing and keeps what is in the ring, up to a ring of old frames, which leave when it
    /// comes up: nothing can be taken out of a TX ring again. To spare calls that fail, flushes then go without one, first one, after
    /// each further failure twice as many, up to 256, until a call succeeds; [`wake_before_sleep`](XskQueue::wake_before_sleep) tries each
    /// time. A link without carrier takes frames in copy mode and drops them: [`QueueCounts::tx_lost`]. In zero-copy mode a driver that was
    /// woken and has taken nothing since is spared likewise.
    ///
    /// Tells whether the kernel was called.
    #[inline]
    pub fn flush(&mut self) -> bool {
        let tx = &mut self.rings.ends.tx;
        tx.publish();
        let waiting = tx.unconsumed();
        if waiting == 0 || (self.need_wakeup && !tx.needs_wakeup()) {
            return false;
        }
        let consumed = tx.consumed();
        let is_due = self.link_pause.is_over() && (!self.zero_copy || self.tx_wake.is_over(consumed));
        if is_due {
            self.kick_tx(waiting, consumed);
        }
        is_due
    }

    /// Makes the kernel transmit what waits in the ring behind the index `consumed`, or look at what it has when nothing waits.
    fn kick_tx(&mut self, waiting: u32, consumed: u32) {
        let Self { socket, rings, .. } = self;
        let ends = &mut rings.ends;
        let kicks = kick::until_taken(waiting, self.kick_limit, self.zero_copy, || {
            let answer = socket.kick_tx();
            (answer, ends.tx.unconsumed())
        });
        self.rings.counts.tx_kicks += u64::from(kicks.calls);
        self.rings.counts.tx_kick_errors += u64::from(kicks.refused);
        self.rings.counts.tx_lost += u64::from(kicks.lost);
        self.link_pause.learn(kicks.link_down);
        if !kicks.refused {
            self.tx_wake.woken(consumed, waiting);
        }
    }

    /// Takes the chunks of completed transmissions back into `cache`; how many.
    #[inline]
    pub fn reap(&mut self, cache: &mut ChunkCache) -> usize {
        self.rings.reap(&mut self.loans.lent, cache)
    }

    /// Keeps the fill ring full from `cache`, and wakes the driver when it asks for that; how many chunks were lent.
    #[inline]
    pub fn refill(&mut self, cache: &mut ChunkCache) -> usize {
        let count = self.rings.refill(&mut self.loans.lent, cache);
        let fill = &mut self.rings.ends.fill;
        let asked = self.need_wakeup && fill.needs_wakeup() && fill.unconsumed() != 0;
        let consumed = fill.consumed();
        if self.busy_poll || (asked && self.fill_wake.is_over(consumed)) {
            self.kick_rx();
        }
        count
    }

    /// Makes the kernel look at rings that it has not come to the end of, however lately [`flush`](XskQueue::flush) or [`refill`](XskQueue::refill) did, and a
    /// driver that asks to be woken look at the frames it has when none of them was completed since the last call. For a caller that
    /// is about to sleep: a wake-up that was lost, or spared, would otherwise last as long as the sleep. Mostly there is nothing to do.
    pub fn wake_before_sleep(&mut self) {
        let Overdue { tx, fill } = self.rings.overdue(&self.loans.lent, self.zero_copy, self.need_wakeup);
        if tx {
            let ring = &mut self.rings.ends.tx;
            let (waiting, consumed) = (ring.unconsumed(), ring.consumed());
            self.kick_tx(waiting, consumed);
        }
        if fill {
            self.kick_rx();
        }
    }

    /// Whether frames wait to be received, as far as the kernel has shown them.
    #[must_use]
    #[inline]
    pub fn has_received(&self) -> bool {
        !self.rings.ends.rx.is_empty()
    }

    /// Makes the driver look at the fill ring.
    fn kick_rx(&mut self) {
        let fill = &mut self.rings.ends.fill;
        let (waiting, consumed) = (fill.unconsumed(), fill.consumed());
        self.rings.counts.rx_kicks += 1;
        let refused = self.socket.kick_rx().is_err();
        self.rings.counts.rx_kick_errors += u64::from(refused);
        self.fill_wake.woken(consumed, waiting);
    }

    /// Closes the queue and takes every chunk back that the kernel still held; how many those were.
    ///
    /// Blocks until the kernel has let go, some ten milliseconds as a rule and two seconds at most, so call it where waiting is allowed.
    /// Chunks that the kernel does not let go in that time are never used again; the pool counts them as withheld.
    pub fn close(self, cache: &mut ChunkCache) -> Held {
        let Self { rings, socket, mut loans, .. } = self;
        drop(rings);
        drop(socket);
        loans.take_back(|chunk| cache.give(chunk))
    }

    /// Chunks that the kernel holds now.
    #[must_use]
    pub fn held(&self) -> Held {
        self.loans.lent.held()
    }

    /// Whether frames pass between driver and memory without a copy.
    #[must_use]
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Whether frames may ask for something on their way out: the kernel took the memory with room for that. What is asked of a driver in
    /// zero-copy mode that cannot do it, is not done: [`XdpCapabilities::tx_checksum`](crate::nic::XdpCapabilities).
    #[must_use]
    pub fn has_tx_metadata(&self) -> bool {
        self.tx_metadata
    }

    /// Segments that a transmitted frame may have at most: 1 when the queue was opened without
    /// [`multi_buffer`](SocketConfig::multi_buffer).
    #[must_use]
    #[inline]
    pub fn max_segments(&self) -> usize {
        self.rings.max_segments
    }

    /// Why zero-copy was not obtained, when [`BindMode::Auto`] fell back to copy mode.
    #[must_use]
    pub fn zero_copy_refusal(&self) -> Option<&BindError> {
        self.zero_copy_refusal.as_ref()
    }

    /// The kernel's counters of this socket; a system call.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn statistics(&self) -> io::Result<KernelStatistics> {
        self.socket.statistics()
    }

    /// This side's counters.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        self.rings.counts
    }

    /// The queue's number on its interface.
    #[must_use]
    pub fn queue_id(&self) -> u32 {
        self.queue
    }

    /// Index of the interface.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }
}

impl AsFd for XskQueue {
    /// The socket, to be put into an XSKMAP or waited on. A duplicate of it that outlives the queue keeps the kernel from letting go of
    /// the queue's chunks.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
