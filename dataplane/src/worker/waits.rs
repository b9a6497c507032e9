//! What a sleeping worker waits on: its mailbox and its sockets.
//!
//! Place on the path: when a worker sleeps, and when it is given queues or gives them up. What is not here: when it sleeps, and for how long.
//!
//! `poll(2)` would ask each socket twice per sleep whether anything came, and an AF_XDP socket in zero-copy mode that is asked wakes its driver, which then
//! interrupts for nothing (`xsk_poll`, net/xdp/xsk.c, v6.12). An epoll instance asks a socket when it is added, and once it told of something.
//! Sockets are watched edge-triggered: what came since the worker last waited ends the next wait, what it has taken meanwhile does not.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::event::{Timespec, epoll};

/// Longest wait while there is a socket that cannot be watched.
const BLIND_WAIT: Duration = Duration::from_millis(1);

/// Events that one wait takes; further ones end the next.
const EVENTS: usize = 16;

/// All that a worker waits on.
#[derive(Debug)]
pub struct Waits {
    epoll: OwnedFd,
    /// Sockets that the kernel did not let be watched.
    unwatched: u32,
}

impl Waits {
    /// On nothing yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, unwatched: 0 })
    }

    /// Waits on a mailbox, which ends every wait for as long as something in it was not answered.
    ///
    /// # Errors
    /// When the user has no watch left (`fs.epoll.max_user_watches`).
    pub fn add_mailbox(&self, mailbox: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, mailbox, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
    }

    /// Waits on a socket, too. Where the kernel does not allow that, waits are short from now on.
    pub fn add(&mut self, socket: BorrowedFd<'_>) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let is_watched = epoll::add(&self.epoll, socket, epoll::EventData::new_u64(0), flags).is_ok();
        self.unwatched += u32::from(!is_watched);
    }

    /// Waits on a socket no more that was added.
    pub fn remove(&mut self, socket: BorrowedFd<'_>) {
        let was_watched = epoll::delete(&self.epoll, socket).is_ok();
        self.unwatched = self.unwatched.saturating_sub(u32::from(!was_watched));
    }

    /// Waits until there is something, or so long.
    pub fn wait(&self, longest: Duration) {
        let longest = if self.unwatched > 0 { longest.min(BLIND_WAIT) } else { longest };
        let timeout = Timespec::try_from(longest).ok();
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
        // An interrupted or failed wait is a short one: the worker looks at every queue again.
        let _ = epoll::wait(&self.epoll, &mut events, timeout.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waker::Waker;
    use std::{io::Write, os::fd::AsFd, os::unix::net::UnixStream, time::Instant};

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    fn with(mailbox: &Waker) -> Waits {
        let waits = Waits::new().unwrap();
        waits.add_mailbox(mailbox.as_fd()).unwrap();
        waits
    }

    /// Whether a wait ends before its time.
    fn ends(waits: &Waits, longest: Duration) -> bool {
        let start = Instant::now();
        waits.wait(longest);
        start.elapsed() < longest
    }

    #[test]
    fn a_command_ends_every_wait_until_it_is_answered() {
        let mailbox = Waker::new().unwrap();
        let waits = with(&mailbox);
        assert!(!ends(&waits, SHORT));
        mailbox.wake();
        assert!(ends(&waits, LONG) && ends(&waits, LONG));
        mailbox.clear();
        assert!(!ends(&waits, SHORT));
    }

    #[test]
    fn what_came_at_a_socket_ends_one_wait_and_no_second_one() {
        let mailbox = Waker::new().unwrap();
        let mut waits = with(&mailbox);
        let (mut far, near) = UnixStream::pair().unwrap();
        far.write_all(b"before it was watched").unwrap();
        waits.add(near.as_fd());
        assert!(ends(&waits, LONG));
        assert!(!ends(&waits, SHORT), "told once, though nobody has read it");
        far.write_all(b"more").unwrap();
        assert!(ends(&waits, LONG));
        far.write_all(b"to nobody").unwrap();
        waits.remove(near.as_fd());
        assert!(!ends(&waits, SHORT));
    }

    #[test]
    fn waits_are_short_while_a_socket_cannot_be_watched() {
        let mailbox = Waker::new().unwrap();
        let mut waits = with(&mailbox);
        // The kernel watches no directories.
        let directory = std::fs::File::open("/").unwrap();
        waits.add(directory.as_fd());
        assert!(ends(&waits, LONG));
        waits.remove(directory.as_fd());
        assert!(!ends(&waits, SHORT));
    }
}
