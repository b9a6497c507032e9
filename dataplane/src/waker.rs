//! Waker: wakes a worker that sleeps, through an eventfd.
//!
//! Place on the path: never per frame. The main thread wakes a worker with a command, a worker another one with frames.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::event::{EventfdFlags, eventfd};

/// One worker's eventfd; clones wake the same worker.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A new one.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Wakes the worker, or keeps it from falling asleep. A system call.
    pub fn wake(&self) {
        // The only failure is a counter at its limit, which wakes just as well.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Forgets wake-ups that have been answered. Returns how many there were.
    pub fn clear(&self) -> u64 {
        let mut count = [0; 8];
        rustix::io::read(&*self.0, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    }
}

impl AsFd for Waker {
    /// Readable while there are wake-ups that were not answered.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
