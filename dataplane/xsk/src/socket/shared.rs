//! Sockets that others may share a registration of the frame memory with.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::sys::{Inherited, XdpSocket};
use crate::umem::Umem;

/// A bound socket on the list.
#[derive(Debug)]
pub(crate) struct Entry {
    inherited: Inherited,
    /// Interface index and queue.
    place: (u32, u32),
    /// Whether the memory was registered with room for TX metadata, which those that share the registration get, too.
    tx_metadata: bool,
    descriptor: Weak<OwnedFd>,
}

impl Entry {
    /// The socket's descriptor and whether frames may have metadata, when a socket for `place` may share with it: it passes on what is wanted, and is not at that place
    /// itself (two sockets of one queue would have to share their fill ring, too).
    pub(crate) fn to_share(&self, wanted: Inherited, place: (u32, u32)) -> Option<(Arc<OwnedFd>, bool)> {
        if self.inherited != wanted || self.place == place {
            return None;
        }
        Some((self.descriptor.upgrade()?, self.tx_metadata))
    }
}

/// The live bound sockets of one memory.
///
/// A descriptor is borrowed from here only under the lock, and taken off under the lock before it is closed, so that closing one is
/// never put off by a borrower.
#[derive(Debug, Default)]
pub(crate) struct SharedSockets(Mutex<Vec<Entry>>);

/// The list, locked.
pub(crate) type Locked<'a> = MutexGuard<'a, Vec<Entry>>;

impl SharedSockets {
    /// Locks the list. A panic elsewhere cannot have left it half changed, so poisoning is no concern.
    pub(crate) fn lock(&self) -> Locked<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a socket off the list.
    fn remove(&self, socket: &XdpSocket) {
        self.lock()
            .retain(|entry| !core::ptr::eq(entry.descriptor.as_ptr(), Arc::as_ptr(socket.descriptor())));
    }
}

/// A socket that was bound just now.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: XdpSocket,
    /// Whether its memory has room for TX metadata.
    pub(crate) tx_metadata: bool,
}

/// A bound socket that is on its memory's list until it is dropped.
#[derive(Debug)]
pub(crate) struct ListedSocket {
    umem: &'static Umem,
    socket: XdpSocket,
}

impl ListedSocket {
    /// Puts a bound socket on the list.
    pub(crate) fn new(
        umem: &'static Umem,
        inherited: Inherited,
        place: (u32, u32),
        Bound { socket, tx_metadata }: Bound,
    ) -> Self {
        umem.sockets().lock().push(Entry {
            inherited,
            place,
            tx_metadata,
            descriptor: Arc::downgrade(socket.descriptor()),
        });
        Self { umem, socket }
    }
}

impl Deref for ListedSocket {
    type Target = XdpSocket;

    fn deref(&self) -> &XdpSocket {
        &self.socket
    }
}

impl Drop for ListedSocket {
    fn drop(&mut self) {
        self.umem.sockets().remove(&self.socket);
    }
}
