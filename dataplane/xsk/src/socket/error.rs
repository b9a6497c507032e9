//! Why a queue could not be opened.

use core::fmt;
use std::io;

/// A step of opening a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindOperation {
    /// Creating the socket.
    CreateSocket,
    /// Making the frame memory known to the kernel.
    RegisterUmem,
    /// Making and mapping the rings.
    MakeRings,
    /// Setting busy polling.
    SetBusyPoll,
    /// Filling the fill ring.
    Fill,
    /// Binding in zero-copy mode.
    BindZeroCopy,
    /// Binding in copy mode.
    BindCopy,
    /// Asking what was obtained.
    ReadOptions,
}

impl fmt::Display for BindOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateSocket => "creating an AF_XDP socket",
            Self::RegisterUmem => "registering the frame memory",
            Self::MakeRings => "making the rings",
            Self::SetBusyPoll => "setting busy polling",
            Self::Fill => "filling the fill ring",
            Self::BindZeroCopy => "binding in zero-copy mode",
            Self::BindCopy => "binding in copy mode",
            Self::ReadOptions => "reading the socket's options",
        })
    }
}

/// Why a queue could not be opened: what was being done, to which queue, what the kernel said and what that means here.
#[derive(Debug, thiserror::Error)]
#[error("{operation} for queue {queue} of interface {ifindex} failed: {hint}")]
pub struct BindError {
    operation: BindOperation,
    ifindex: u32,
    queue: u32,
    hint: &'static str,
    #[source]
    source: io::Error,
}

impl BindError {
    /// The error for a step that the kernel refused.
    pub(crate) fn new(
        operation: BindOperation,
        (ifindex, queue): (u32, u32),
        multi_buffer: bool,
        source: io::Error,
    ) -> Self {
        let errno = source.raw_os_error().unwrap_or(0);
        let for_multi_buffer = multi_buffer.then(|| multi_buffer_hint(operation, errno)).flatten();
        let hint = for_multi_buffer.unwrap_or_else(|| hint(operation, errno));
        Self { operation, ifindex, queue, hint, source }
    }

    /// The step that failed.
    #[must_use]
    pub fn operation(&self) -> BindOperation {
        self.operation
    }

    /// Index of the interface.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The queue.
    #[must_use]
    pub fn queue_id(&self) -> u32 {
        self.queue
    }

    /// The kernel's error number; 0 when the cause was not the kernel's.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// What the error number means for this step, and what to do, in words.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

/// What an error number means for binding a queue whose frames may span several chunks, where it means something else then.
fn multi_buffer_hint(operation: BindOperation, errno: i32) -> Option<&'static str> {
    match (operation, errno) {
        (BindOperation::BindZeroCopy, libc::EOPNOTSUPP) => Some(
            "the driver has no zero-copy mode for frames that span several chunks: \
             use mode copy or auto, or lower the MTU to what one chunk holds",
        ),
        (BindOperation::BindZeroCopy | BindOperation::BindCopy, libc::EINVAL) => Some(
            "the queue does not exist, or the kernel is older than 6.6 and has no frames that span several chunks: \
             lower the MTU to what one chunk holds",
        ),
        _ => None,
    }
}

/// What an error number means for a step.
fn hint(operation: BindOperation, errno: i32) -> &'static str {
    use BindOperation::{BindCopy, BindZeroCopy, CreateSocket, Fill, MakeRings, RegisterUmem};
    match (operation, errno) {
        (Fill, _) => "no free chunk is left: give the memory more chunks or the rings fewer slots",
        (_, libc::EPERM | libc::EACCES) => {
            "permission is missing: CAP_NET_RAW (and CAP_IPC_LOCK or a higher locked-memory limit) is needed"
        }
        (CreateSocket, libc::EAFNOSUPPORT) => "this kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)",
        (_, libc::EMFILE | libc::ENFILE) => {
            "no more file descriptors may be opened: raise the limit (ulimit -n)"
        }
        (RegisterUmem, libc::ENOBUFS | libc::ENOMEM) => {
            "the frame memory cannot be locked: raise the locked-memory limit (ulimit -l) or grant CAP_IPC_LOCK"
        }
        (MakeRings, libc::EINVAL) => "ring sizes must be powers of two",
        (_, libc::EBUSY) => "the queue already has an AF_XDP socket, of another process or another port",
        (BindZeroCopy, libc::EOPNOTSUPP) => {
            "the driver has no zero-copy mode, or not for these chunks: use mode copy or auto"
        }
        (BindZeroCopy, libc::EINVAL) => {
            "the queue does not exist, or the driver refuses zero-copy in its present state"
        }
        (BindCopy, libc::EOPNOTSUPP) => "the interface cannot have AF_XDP sockets",
        (BindCopy, libc::EINVAL) => {
            "the queue does not exist: compare with the interface's channels (ethtool -l)"
        }
        (_, libc::ENODEV) => "the interface is gone",
        (_, libc::ENETDOWN) => "the interface is down: set it up first",
        (_, libc::ENOMEM | libc::ENOBUFS) => "the kernel has no memory for it",
        _ => "the kernel gave no reason that is known here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_step_queue_interface_and_a_remedy() {
        let error =
            BindError::new(BindOperation::BindCopy, (7, 3), false, io::Error::from_raw_os_error(libc::EBUSY));
        let text = error.to_string();
        assert_eq!(
            text,
            "binding in copy mode for queue 3 of interface 7 failed: \
             the queue already has an AF_XDP socket, of another process or another port"
        );
        assert_eq!((error.errno(), error.ifindex(), error.queue_id()), (libc::EBUSY, 7, 3));
    }

    #[test]
    fn one_error_number_means_different_things_at_different_steps() {
        let at = |operation| {
            BindError::new(operation, (1, 0), false, io::Error::from_raw_os_error(libc::EINVAL)).hint()
        };
        assert_eq!(at(BindOperation::MakeRings), "ring sizes must be powers of two");
        assert!(at(BindOperation::BindCopy).starts_with("the queue does not exist"));
        assert_ne!(at(BindOperation::BindZeroCopy), at(BindOperation::BindCopy));
    }

    #[test]
    fn a_queue_for_long_frames_is_told_what_it_lacks() {
        let of = |operation, errno| {
            BindError::new(operation, (1, 0), true, io::Error::from_raw_os_error(errno)).hint()
        };
        assert!(of(BindOperation::BindCopy, libc::EINVAL).contains("older than 6.6"));
        assert!(of(BindOperation::BindZeroCopy, libc::EOPNOTSUPP).contains("lower the MTU"));
        assert!(of(BindOperation::BindCopy, libc::EBUSY).contains("already has"), "as for any other queue");
    }
}
