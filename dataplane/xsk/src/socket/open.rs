//! Opening a queue: socket, rings, fill ring populated, bound.
//!
//! The first socket of a mode registers the frame memory, later ones share its registration (`XDP_SHARED_UMEM`); a socket that shares
//! also inherits mode and need-wakeup, so only equals are asked.

use std::io;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::config::{BindMode, SocketConfig};
use super::error::{BindError, BindOperation};
use super::loans::Loans;
use super::rings::Rings;
use super::shared::{Inherited, ListedSocket};
use super::{QueueRings, XskQueue};
use crate::chunk_cache::ChunkCache;
use crate::lent::Lent;
use crate::ring::{Consumer, Producer};
use crate::statistics::QueueCounts;
use crate::sys::{RingKind, Sharing, UnboundSocket, Witness, XdpSocket};
use crate::umem::Umem;

/// How long a queue may stay busy with the remains of a socket closed just now.
const BUSY_PATIENCE: Duration = Duration::from_millis(250);
/// How long to wait before binding again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// What is being opened: memory, place and how.
struct Opening<'a> {
    umem: &'static Umem,
    ifindex: u32,
    queue: u32,
    config: &'a SocketConfig,
}

/// Opens the queue; see [`XskQueue::open`].
pub(super) fn open(
    umem: &'static Umem,
    ifindex: u32,
    queue: u32,
    config: &SocketConfig,
    cache: &mut ChunkCache,
) -> Result<XskQueue, BindError> {
    assert!(core::ptr::eq(umem, cache.pool().umem()), "the cache holds chunks of the memory to be used");
    let opening = Opening { umem, ifindex, queue, config };
    match config.mode {
        BindMode::ZeroCopy => opening.try_mode(true, cache),
        BindMode::Copy => opening.try_mode(false, cache),
        BindMode::Auto => opening.try_mode(true, cache).or_else(|refusal| {
            let mut queue = opening.try_mode(false, cache)?;
            queue.zero_copy_refusal = Some(refusal);
            Ok(queue)
        }),
    }
}

impl Opening<'_> {
    /// Opens the queue in one mode.
    fn try_mode(&self, zero_copy: bool, cache: &mut ChunkCache) -> Result<XskQueue, BindError> {
        use BindOperation::{CreateSocket, Fill, MakeRings, SetBusyPoll};
        let failed = |operation| move |source| self.error(operation, source);
        let witness = Witness::prepare(self.umem, self.ifindex, self.queue).map_err(failed(CreateSocket))?;
        let socket = UnboundSocket::create().map_err(failed(CreateSocket))?;
        if let Some(busy) = self.config.busy_poll {
            socket.set_busy_poll(busy.timeout_us, busy.budget_frames).map_err(failed(SetBusyPoll))?;
        }
        let mut rings = self.make_rings(&socket).map_err(failed(MakeRings))?;
        let mut lent = Lent::new(std::sync::Arc::clone(cache.pool()));
        let filled = rings.refill(&mut lent, cache);
        let bound = if filled == 0 {
            Err(self.error(Fill, io::Error::from_raw_os_error(libc::ENOBUFS)))
        } else {
            self.bind(&socket, zero_copy)
        };
        match bound {
            Ok(()) => self.finish(rings, socket.into_bound(), Loans::new(lent, witness), zero_copy),
            Err(error) => {
                drop(rings);
                let proof = socket.abandon();
                lent.take_back(&proof, |chunk| cache.give(chunk));
                Err(error)
            }
        }
    }

    /// Makes and maps the four rings.
    fn make_rings(&self, socket: &UnboundSocket) -> io::Result<QueueRings> {
        let SocketConfig { rx_ring, tx_ring, fill_ring, completion_ring, .. } = *self.config;
        socket.make_ring(RingKind::Fill, fill_ring)?;
        socket.make_ring(RingKind::Completion, completion_ring)?;
        socket.make_ring(RingKind::Rx, rx_ring)?;
        socket.make_ring(RingKind::Tx, tx_ring)?;
        // Fewer system calls on kernels that know it; others take 32 frames per call, which `flush` copes with.
        let _ = socket.set_tx_budget(tx_ring);
        let offsets = socket.offsets()?;
        Ok(Rings {
            fill: Producer::new(socket.map_ring(RingKind::Fill, fill_ring, &offsets)?),
            completion: Consumer::new(socket.map_ring(RingKind::Completion, completion_ring, &offsets)?),
            rx: Consumer::new(socket.map_ring(RingKind::Rx, rx_ring, &offsets)?),
            tx: Producer::new(socket.map_ring(RingKind::Tx, tx_ring, &offsets)?),
            bad_entries: 0,
        })
    }

    /// Binds, and tries again for a moment while the queue is busy: the kernel finishes closing a socket later.
    fn bind(&self, socket: &UnboundSocket, zero_copy: bool) -> Result<(), BindError> {
        let deadline = Instant::now() + BUSY_PATIENCE;
        let mut registered = false;
        loop {
            match self.bind_once(socket, zero_copy, &mut registered) {
                Err(error) if error.errno() == libc::EBUSY && Instant::now() < deadline => sleep(BUSY_PAUSE),
                result => return result,
            }
        }
    }

    /// Binds through a live socket of the same kind, or with a registration of its own when there is none.
    fn bind_once(
        &self,
        socket: &UnboundSocket,
        zero_copy: bool,
        registered: &mut bool,
    ) -> Result<(), BindError> {
        let operation = if zero_copy { BindOperation::BindZeroCopy } else { BindOperation::BindCopy };
        let inherited = self.inherited(zero_copy);
        let live = self.umem.sockets().lock();
        let place = (self.ifindex, self.queue);
        let owners = live.iter().filter_map(|entry| entry.to_share(inherited, place));
        for owner in owners.take(if *registered { 0 } else { usize::MAX }) {
            match socket.bind(self.ifindex, self.queue, Sharing::With(owner.as_fd())) {
                // The owner's interface is gone, so it is not bound any more: another may be.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
                result => return result.map_err(|source| self.error(operation, source)),
            }
        }
        if !*registered {
            let whole = self.umem.len_bytes();
            let result = socket.register(self.umem, whole);
            result.map_err(|source| self.error(BindOperation::RegisterUmem, source))?;
            *registered = true;
        }
        let own = Sharing::Own { zero_copy, need_wakeup: self.config.need_wakeup };
        socket.bind(self.ifindex, self.queue, own).map_err(|source| self.error(operation, source))
    }

    /// The queue, from its bound parts.
    fn finish(
        &self,
        rings: QueueRings,
        socket: XdpSocket,
        loans: Loans,
        asked_zero_copy: bool,
    ) -> Result<XskQueue, BindError> {
        let socket =
            ListedSocket::new(self.umem, self.inherited(asked_zero_copy), (self.ifindex, self.queue), socket);
        let mut opened = XskQueue {
            rings,
            socket,
            loans,
            counts: QueueCounts::default(),
            zero_copy: asked_zero_copy,
            need_wakeup: self.config.need_wakeup,
            busy_poll: self.config.busy_poll.is_some(),
            kick_limit: self.config.tx_ring / super::COPY_MODE_FRAMES_PER_KICK + 1,
            ifindex: self.ifindex,
            queue: self.queue,
            zero_copy_refusal: None,
        };
        // Asked of the whole queue, which upon an error is dropped in the right order: rings, socket, loans.
        let obtained = opened.socket.is_zero_copy();
        opened.zero_copy = obtained.map_err(|source| self.error(BindOperation::ReadOptions, source))?;
        Ok(opened)
    }

    /// What later sockets inherit from this one.
    fn inherited(&self, zero_copy: bool) -> Inherited {
        Inherited { zero_copy, need_wakeup: self.config.need_wakeup }
    }

    /// The error for a failed step.
    fn error(&self, operation: BindOperation, source: io::Error) -> BindError {
        BindError::new(operation, (self.ifindex, self.queue), source)
    }
}
