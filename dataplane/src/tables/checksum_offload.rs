//! Checksum offload: UDP checksums that whoever sends a packet fills in, the NIC or the kernel.
//!
//! Place on the path: part of a session that leaves by a port with this ability; `encap` and the row of `emit` write the partial sum,
//! and the port is asked for the rest. Without it the engine makes a pass over every byte of the packet.

use wire::{checksum::Sum, udp};
use xsk::ChecksumRequest;

/// How a session's packets ask for their UDP checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offload {
    /// Where it is.
    pub(crate) request: ChecksumRequest,
    /// Sum of the pseudo-header with a length of zero.
    pseudo: Sum,
}

impl Offload {
    /// For a UDP header at `udp_offset` of the packet's frame. `None` for an offset that no header has.
    pub(super) fn new(udp_offset: usize, pseudo: Sum) -> Option<Self> {
        let start = u16::try_from(udp_offset).ok()?;
        Some(Self { request: ChecksumRequest { start, offset: udp::CHECKSUM_OFFSET }, pseudo })
    }

    /// What stands in the checksum's place before: the sum of the pseudo-header. `length` is that of header and payload. Units: bytes.
    #[inline]
    pub(crate) const fn partial(&self, length: u16) -> u16 {
        self.pseudo.add_u16(length).fold()
    }
}
