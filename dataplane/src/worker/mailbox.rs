//! Mailbox: commands from the main thread to a running worker, and queues handed back.
//!
//! Place on the path: looked at once per round of the loop, by one atomic load when empty; never per frame.
//! A command wakes a sleeping worker through an eventfd.

use std::{io, os::fd::AsFd, time::Duration};

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::waits::Waits;
use crate::{ports::Port, tables::PortId, waker::Waker};

/// What the main thread can ask of a worker.
#[derive(Debug)]
pub enum Command<P> {
    /// Serve this queue too.
    Attach(P),
    /// Stop serving all queues of a port; they come back through [`Mailbox::detached`].
    Detach(PortId),
    /// End the loop; all queues come back.
    Stop,
}

/// Queues that a worker handed back.
#[derive(Debug)]
pub struct Detached<P> {
    /// The port whose [`Command::Detach`] this answers; `None`: all that were left at the end.
    pub port: Option<PortId>,
    /// The queues; none where the worker served none of the port's.
    pub queues: Vec<P>,
}

/// The main thread's end.
#[derive(Debug)]
pub struct Mailbox<P> {
    commands: Sender<Command<P>>,
    detached: Receiver<Detached<P>>,
    waker: Waker,
}

/// The worker's end.
#[derive(Debug)]
pub struct Inbox<P> {
    commands: Receiver<Command<P>>,
    detached: Sender<Detached<P>>,
    waker: Waker,
    /// What ends the worker's sleep: commands, and frames on its queues.
    waits: Waits,
}

/// A pair of connected ends.
///
/// # Errors
/// When the process has no file descriptors left for the eventfd and for waiting on it.
pub fn mailbox<P>() -> io::Result<(Mailbox<P>, Inbox<P>)> {
    let (command_sender, command_receiver) = unbounded();
    let (detached_sender, detached_receiver) = unbounded();
    let waker = Waker::new()?;
    let waits = Waits::new()?;
    waits.add_mailbox(waker.as_fd())?;
    let worker = Inbox { commands: command_receiver, detached: detached_sender, waker: waker.clone(), waits };
    Ok((Mailbox { commands: command_sender, detached: detached_receiver, waker }, worker))
}

impl<P> Mailbox<P> {
    /// Sends a command and wakes the worker. A command to a worker that ended is lost.
    pub fn send(&self, command: Command<P>) {
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Queues the worker handed back, answer by answer: one per [`Command::Detach`], one at the end.
    #[must_use]
    pub fn detached(&self) -> Receiver<Detached<P>> {
        self.detached.clone()
    }
}

impl<P> Inbox<P> {
    /// Whether no command waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The next command, if any.
    pub(super) fn next(&self) -> Option<Command<P>> {
        self.commands.try_recv().ok()
    }

    /// What wakes the worker; others may have it too.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits for a command, or for a frame on a queue that is watched, or so long; commands are to be looked for then.
    pub(super) fn wait(&self, longest: Duration) {
        self.waits.wait(longest);
        self.waker.clear();
    }
}

impl<P: Port> Inbox<P> {
    /// Lets frames on a queue end waits, too.
    pub(super) fn watch(&mut self, queue: &P) {
        if let Some(socket) = queue.wait_fd() {
            self.waits.add(socket);
        }
    }

    /// Hands queues back to the main thread, which are watched no more.
    pub(super) fn hand_back(&mut self, port: Option<PortId>, queues: Vec<P>) {
        for socket in queues.iter().filter_map(P::wait_fd) {
            self.waits.remove(socket);
        }
        let _ = self.detached.send(Detached { port, queues });
    }
}
