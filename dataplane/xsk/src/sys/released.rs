//! Proof that the kernel has let go of a queue.
//!
//! Closing a socket is not the end of it: the kernel unbinds the buffer pool of a zero-copy queue from a work queue later, and a
//! duplicate of the descriptor elsewhere keeps all of it alive. Chunks must not be used again before. While a pool is bound,
//! binding another socket to the queue fails with EBUSY; so a second socket, made in reserve while privileges and network
//! namespace are at hand, is bound to find out. Source: `xp_assign_dev`, `xp_put_pool`, net/xdp/xsk_buff_pool.c, v6.12.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Inherited, RingKind, Sharing, Tenure, UnboundSocket};
use crate::umem::Umem;

/// Proof that the kernel uses neither rings nor chunks of one opening of a queue any more.
#[derive(Debug)]
pub(crate) struct Released(Tenure);

impl Released {
    /// For a socket that never was bound: the kernel has not looked at its rings.
    pub(super) fn never_bound(tenure: Tenure) -> Self {
        Self(tenure)
    }

    /// For rings in plain memory, whose other end has no access to the chunks at all.
    #[cfg(test)]
    pub(crate) fn in_plain_memory(tenure: Tenure) -> Self {
        Self(tenure)
    }

    /// The opening that it is about.
    pub(crate) fn tenure(&self) -> Tenure {
        self.0
    }
}

/// Smallest registration that the kernel takes: one page. Units: bytes.
const WITNESS_BYTES: usize = 4096;
/// How long the kernel may take to let go.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(1);

/// An unbound socket in reserve that can tell when a queue is free.
#[derive(Debug)]
pub(crate) struct Witness {
    socket: UnboundSocket,
}

impl Witness {
    /// A witness for this opening of a queue. It registers a first page's worth of chunks, but puts none into its rings.
    pub(crate) fn prepare(umem: &'static Umem, tenure: Tenure) -> io::Result<Self> {
        let socket = UnboundSocket::create(tenure)?;
        socket.register(umem, WITNESS_BYTES.max(umem.chunk_bytes()), false)?;
        for kind in [RingKind::Fill, RingKind::Completion, RingKind::Rx] {
            socket.make_ring(kind, 2)?;
        }
        Ok(Self { socket })
    }

    /// Waits until the kernel has let go of the queue; `None` when it does not within two seconds.
    ///
    /// It has when nothing is bound to the queue: because this socket could be, or because the interface is gone, at which the kernel
    /// unbinds all of its queues under the same lock that `bind` takes.
    pub(crate) fn wait(self) -> Option<Released> {
        let deadline = Instant::now() + PATIENCE;
        let mut socket = self.socket;
        let tenure = socket.tenure();
        loop {
            match socket.bind(Sharing::Own(Inherited::default())) {
                Ok(_bound) => return Some(Released(tenure)),
                Err((_, error)) if error.raw_os_error() == Some(libc::ENODEV) => {
                    return Some(Released(tenure));
                }
                Err((unbound, _)) => socket = unbound,
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(PAUSE);
        }
    }
}
