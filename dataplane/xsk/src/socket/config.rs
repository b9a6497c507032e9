//! How a queue is to be opened.

/// How frames get from the driver into the memory and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BindMode {
    /// Zero-copy where the driver can, else copy.
    #[default]
    Auto,
    /// Zero-copy or not at all.
    ZeroCopy,
    /// Copy, whatever the driver can.
    Copy,
}

/// Preferred busy polling: the driver's queue is polled by our system calls, interrupts stay off meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long one call polls at most. Units: microseconds.
    pub timeout_us: u32,
    /// Frames that one poll takes at most. Units: frames.
    pub budget_frames: u32,
}

/// How a queue is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketConfig {
    /// Size of the RX ring. Range: power of two. Units: frames.
    pub rx_ring: u32,
    /// Size of the TX ring. Range: power of two. Units: frames.
    pub tx_ring: u32,
    /// Size of the fill ring, and the number of chunks that reception always keeps. Range: power of two. Units: chunks.
    pub fill_ring: u32,
    /// Size of the completion ring. Range: power of two, not below `tx_ring`, or transmission stalls. Units: chunks.
    pub completion_ring: u32,
    /// How frames get into the memory.
    pub mode: BindMode,
    /// Whether the kernel says when it wants a system call, instead of being called every time.
    pub need_wakeup: bool,
    /// Busy polling; off when `None`.
    pub busy_poll: Option<BusyPoll>,
    /// Frames that one [`receive`](crate::XskQueue::receive) takes at most, beside the room that it is given. Units: frames.
    pub batch: u32,
    /// Whether a frame may span several chunks, which the kernel (6.6 at least) and, in zero-copy mode, the driver must be able to.
    pub multi_buffer: bool,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            rx_ring: 2048,
            tx_ring: 2048,
            fill_ring: 2048,
            completion_ring: 2048,
            mode: BindMode::Auto,
            need_wakeup: true,
            busy_poll: None,
            batch: u32::MAX,
            multi_buffer: false,
        }
    }
}
