//! Tenure: one opening of one queue.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One opening of one queue, told apart from every other, of the same queue, too. It ties a proof that the kernel has let go to what
/// was lent to the kernel under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenure {
    ifindex: u32,
    queue: u32,
    number: u64,
}

impl Tenure {
    /// A new tenure. An attempt to open a queue that another socket has must not pass for that socket's: hence the number.
    pub(crate) fn begin(ifindex: u32, queue: u32) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { ifindex, queue, number: NEXT.fetch_add(1, Relaxed) }
    }

    /// Index of the interface.
    pub(crate) fn ifindex(self) -> u32 {
        self.ifindex
    }

    /// The queue.
    pub(crate) fn queue(self) -> u32 {
        self.queue
    }
}
