//! Workers: one pinned thread each, which owns its queues of every port, its free chunks and its counters.
//!
//! Place on the path: around all of it. [`run`] holds the one endless loop; [`mod@mailbox`] is how the main thread hands
//! queues over without stopping frames; [`pin`] ties the thread to its CPU.

pub mod idle;
pub mod mailbox;
pub mod pin;
pub mod run;
mod waits;

pub use mailbox::{Command, Detached, Inbox, Mailbox, mailbox};
pub use run::{Clock, Worker, WorkerSetup};
pub use waits::Waits;
