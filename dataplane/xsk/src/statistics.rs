//! Counters of one queue: the kernel's and our own.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt;

/// What the kernel counted on one socket. Units: frames or descriptors since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KernelStatistics {
    /// Received frames dropped for any reason but a full RX ring.
    pub rx_dropped: u64,
    /// Fill ring entries that were no chunk's address.
    pub rx_invalid_descriptors: u64,
    /// TX ring entries that the kernel refused.
    pub tx_invalid_descriptors: u64,
    /// Received frames dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times that a frame came and the fill ring was empty.
    pub fill_ring_empty: u64,
    /// Times that the kernel looked at the TX ring and found nothing.
    pub tx_ring_empty: u64,
}

impl KernelStatistics {
    /// Reads the counters of a socket by any of its descriptors, so that another thread than the queue's can ask.
    ///
    /// # Errors
    ///
    /// What the kernel said; for one, that the descriptor is no AF_XDP socket.
    pub fn read(socket: impl AsFd) -> io::Result<Self> {
        let counts = sockopt::xdp_statistics(socket)?;
        Ok(Self {
            rx_dropped: counts.rx_dropped,
            rx_invalid_descriptors: counts.rx_invalid_descs,
            tx_invalid_descriptors: counts.tx_invalid_descs,
            rx_ring_full: counts.rx_ring_full.unwrap_or(0),
            fill_ring_empty: counts.rx_fill_ring_empty_descs.unwrap_or(0),
            tx_ring_empty: counts.tx_ring_empty_descs.unwrap_or(0),
        })
    }
}

/// What this side counted on one queue, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// System calls to make the kernel transmit.
    pub tx_kicks: u64,
    /// Flushes that ended with an error of the kernel and nothing seen to be taken; what waits goes with a later flush.
    pub tx_kick_errors: u64,
    /// Frames that the kernel took and dropped before the device, in copy mode: no carrier, or the driver refused them. Their chunks
    /// come back like those of frames that left.
    pub tx_lost: u64,
    /// System calls to make the driver look at the fill ring.
    pub rx_kicks: u64,
    /// Of those, the ones that the kernel answered with an error.
    pub rx_kick_errors: u64,
    /// Ring entries from the kernel that named a chunk it was not lent or bytes outside of it.
    pub bad_entries: u64,
    /// Received frames of several segments.
    pub rx_chained: u64,
    /// Received frames of several segments that were not taken: more than [`MAX_SEGMENTS`](crate::MAX_SEGMENTS) of them, or a bad entry among
    /// them. Their chunks are free again.
    pub rx_discarded: u64,
    /// Transmitted frames of several segments.
    pub tx_chained: u64,
}
