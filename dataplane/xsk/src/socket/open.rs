//! Opening a queue: socket, rings, fill ring populated, bound.
//!
//! The first socket of a mode registers the frame memory, later ones share its registration (`XDP_SHARED_UMEM`); a socket that shares
//! also inherits mode, need-wakeup and multi-buffer, so only equals are asked.

use std::io;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::config::{BindMode, SocketConfig};
use super::error::{BindError, BindOperation};
use super::link_pause::LinkPause;
use super::loans::Loans;
use super::rings::{MappedRings, Rings};
use super::shared::{Bound, ListedSocket};
use super::wake_pause::WakePause;
use super::{XskQueue, kick};
use crate::chunk_cache::ChunkCache;
use crate::frame::MAX_SEGMENTS;
use crate::lent::Lent;
use crate::nic::xdp_capabilities;
use crate::sys::{Inherited, RingSizes, Sharing, Tenure, UnboundSocket, Witness};
use crate::umem::Umem;

/// How long a queue may stay busy with the remains of a socket closed just now.
const BUSY_PATIENCE: Duration = Duration::from_millis(250);
/// How long to wait before binding again.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// A socket that could not be bound, and why.
type Refused = (UnboundSocket, BindError);

/// Whether a registration has room for TX metadata.
type TxMetadata = bool;

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
        let tenure = Tenure::begin(self.ifindex, self.queue);
        let witness = Witness::prepare(self.umem, tenure).map_err(failed(CreateSocket))?;
        let mut socket = UnboundSocket::create(tenure).map_err(failed(CreateSocket))?;
        if let Some(busy) = self.config.busy_poll {
            socket.set_busy_poll(busy.timeout_us, busy.budget_frames).map_err(failed(SetBusyPoll))?;
        }
        let ends = socket.give_rings(self.ring_sizes()).map_err(failed(MakeRings))?;
        // Fewer system calls on kernels that know it; others take 32 frames per call, which `flush` copes with.
        let _ = socket.set_tx_budget(self.config.tx_ring);
        let mut rings = Rings::new(ends, 1);
        rings.batch = self.config.batch;
        let mut lent = Lent::new(std::sync::Arc::clone(cache.pool()), tenure);
        let bound = if rings.refill(&mut lent, cache) == 0 {
            let none_free = io::Error::from_raw_os_error(libc::ENOBUFS);
            Err((socket, self.error(Fill, none_free)))
        } else {
            self.bind(socket, zero_copy)
        };
        match bound {
            Ok(bound) => self.finish(rings, bound, Loans::new(lent, witness), zero_copy, cache),
            Err((unbound, error)) => {
                let proof = unbound.abandon(rings.ends);
                lent.take_back(&proof, |chunk| cache.give(chunk));
                Err(error)
            }
        }
    }

    /// Sizes of the rings.
    fn ring_sizes(&self) -> RingSizes {
        let SocketConfig { rx_ring, tx_ring, fill_ring, completion_ring, .. } = *self.config;
        RingSizes { fill: fill_ring, completion: completion_ring, rx: rx_ring, tx: tx_ring }
    }

    /// Binds, and tries again for a moment while the queue is busy: the kernel finishes closing a socket later.
    fn bind(&self, mut socket: UnboundSocket, zero_copy: bool) -> Result<Bound, Refused> {
        let deadline = Instant::now() + BUSY_PATIENCE;
        let mut registered = None;
        loop {
            match self.bind_once(socket, zero_copy, &mut registered) {
                Err((unbound, error)) if error.errno() == libc::EBUSY && Instant::now() < deadline => {
                    socket = unbound;
                    sleep(BUSY_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Binds through a live socket of the same kind, or with a registration of its own when there is none.
    fn bind_once(
        &self,
        mut socket: UnboundSocket,
        zero_copy: bool,
        registered: &mut Option<TxMetadata>,
    ) -> Result<Bound, Refused> {
        let operation = if zero_copy { BindOperation::BindZeroCopy } else { BindOperation::BindCopy };
        let refused = |(unbound, source)| (unbound, self.error(operation, source));
        let inherited = self.inherited(zero_copy);
        let live = self.umem.sockets().lock();
        let place = (self.ifindex, self.queue);
        let owners = live.iter().filter_map(|entry| entry.to_share(inherited, place));
        for (owner, tx_metadata) in owners.take(if registered.is_some() { 0 } else { usize::MAX }) {
            match socket.bind(Sharing::With(owner.as_fd())) {
                // The owner's interface is gone, so it is not bound any more: another may be.
                Err((unbound, error)) if error.raw_os_error() == Some(libc::EBADF) => socket = unbound,
                result => return result.map(|socket| Bound { socket, tx_metadata }).map_err(refused),
            }
        }
        let tx_metadata = match *registered {
            Some(tx_metadata) => tx_metadata,
            None => match best_registration(|with| socket.register(self.umem, self.umem.len_bytes(), with)) {
                Ok(tx_metadata) => *registered.insert(tx_metadata),
                Err(source) => return Err((socket, self.error(BindOperation::RegisterUmem, source))),
            },
        };
        let bound = socket.bind(Sharing::Own(inherited));
        bound.map(|socket| Bound { socket, tx_metadata }).map_err(refused)
    }

    /// The queue, from its bound parts.
    fn finish(
        &self,
        rings: MappedRings,
        bound: Bound,
        loans: Loans,
        asked_zero_copy: bool,
        cache: &mut ChunkCache,
    ) -> Result<XskQueue, BindError> {
        let tx_metadata = bound.tx_metadata;
        let socket =
            ListedSocket::new(self.umem, self.inherited(asked_zero_copy), (self.ifindex, self.queue), bound);
        let obtained = socket.is_zero_copy();
        let mut opened = XskQueue {
            rings,
            socket,
            loans,
            zero_copy: asked_zero_copy,
            tx_metadata,
            need_wakeup: self.config.need_wakeup,
            busy_poll: self.config.busy_poll.is_some(),
            kick_limit: kick::call_limit(self.config.tx_ring),
            link_pause: LinkPause::new(),
            tx_wake: WakePause::default(),
            fill_wake: WakePause::default(),
            ifindex: self.ifindex,
            queue: self.queue,
            zero_copy_refusal: None,
        };
        match obtained {
            Ok(zero_copy) => {
                opened.zero_copy = zero_copy;
                opened.rings.max_segments = self.max_segments(zero_copy);
                Ok(opened)
            }
            Err(source) => {
                opened.close(cache);
                Err(self.error(BindOperation::ReadOptions, source))
            }
        }
    }

    /// What later sockets inherit from this one.
    fn inherited(&self, zero_copy: bool) -> Inherited {
        let SocketConfig { need_wakeup, multi_buffer, .. } = *self.config;
        Inherited { zero_copy, need_wakeup, multi_buffer }
    }

    /// Segments that a transmitted frame may have. A zero-copy driver has a limit of its own, beyond which frames would never be
    /// completed; one that cannot be asked for it gets linear frames only.
    fn max_segments(&self, zero_copy: bool) -> usize {
        match (self.config.multi_buffer, zero_copy) {
            (false, _) => 1,
            (true, false) => MAX_SEGMENTS,
            (true, true) => {
                let limit = xdp_capabilities(self.ifindex).map_or(1, |able| able.zero_copy_segments);
                usize::try_from(limit).unwrap_or(MAX_SEGMENTS).clamp(1, MAX_SEGMENTS)
            }
        }
    }

    /// The error for a failed step.
    fn error(&self, operation: BindOperation, source: io::Error) -> BindError {
        BindError::new(operation, (self.ifindex, self.queue), self.config.multi_buffer, source)
    }
}

/// Registers the memory with room for TX metadata, or without where the kernel does not know that: it is refused then like any unknown
/// flag, by `EINVAL`. Returns which it was.
fn best_registration(mut register: impl FnMut(TxMetadata) -> io::Result<()>) -> io::Result<TxMetadata> {
    match register(true) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => register(false).map(|()| false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these answers, all of which must be asked for: metadata or not, or an error number.
    fn outcome(answers: &[(TxMetadata, i32)]) -> Result<TxMetadata, Option<i32>> {
        let mut script = answers.iter();
        let outcome = best_registration(|with| {
            let (expected, errno) = script.next().expect("not asked more often than scripted");
            assert_eq!(with, *expected);
            if *errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(*errno)) }
        });
        assert_eq!(script.next(), None);
        outcome.map_err(|error| error.raw_os_error())
    }

    #[test]
    fn a_kernel_without_tx_metadata_gets_the_memory_without() {
        assert_eq!(outcome(&[(true, 0)]), Ok(true));
        assert_eq!(outcome(&[(true, libc::EINVAL), (false, 0)]), Ok(false));
    }

    #[test]
    fn another_refusal_is_told_as_it_is() {
        assert_eq!(outcome(&[(true, libc::EINVAL), (false, libc::EINVAL)]), Err(Some(libc::EINVAL)));
        assert_eq!(outcome(&[(true, libc::ENOBUFS)]), Err(Some(libc::ENOBUFS)));
    }
}
