//! UDP header and checksum.
//!
//! Place on the path: between outer IP header and L2TPv3 data header, where the tunnel's encapsulation is UDP.
//! Not in it: which ports are a tunnel's.

use crate::checksum::{self, Sum};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// UDP header.
///
/// ```text
///  0               2                 4          6            8
/// +---------------+-----------------+----------+------------+
/// | source port   | destination port| length   | checksum   |
/// +---------------+-----------------+----------+------------+
/// ```
///
/// Byte order: network. Source: RFC 768.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct UdpHeader {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    /// Header and payload. Units: bytes.
    pub length: U16,
    /// Checksum over pseudo-header, header and payload; 0: none.
    pub checksum: U16,
}

/// Where the checksum is in the header. Units: bytes.
pub const CHECKSUM_OFFSET: u16 = 6;
const _: () = assert!(core::mem::offset_of!(UdpHeader, checksum) == CHECKSUM_OFFSET as usize);

/// Splits an IP payload into UDP header and UDP payload; bytes behind the UDP length are cut.
///
/// # Errors
///
/// [`UdpError::Truncated`] when the bytes end before header or stated length do,
/// [`UdpError::Length`] when the stated length is below 8.
#[inline]
pub fn split(segment: &[u8]) -> Result<(&UdpHeader, &[u8]), UdpError> {
    let (header, rest) = UdpHeader::ref_from_prefix(segment).map_err(|_| UdpError::Truncated)?;
    let stated = usize::from(header.length.get());
    let payload_bytes = stated.checked_sub(size_of::<UdpHeader>()).ok_or(UdpError::Length)?;
    let payload = rest.get(..payload_bytes).ok_or(UdpError::Truncated)?;
    Ok((header, payload))
}

/// Checks the checksum; `pseudo` is the IP header's pseudo-header sum over the UDP length.
///
/// A zero checksum ("none") passes. Over IPv6 that is only right for a tunnel that opted in (RFC 6935):
/// see [`UdpHeader::has_checksum`].
///
/// # Errors
///
/// [`UdpError::Checksum`].
#[inline]
pub fn verify_checksum(header: &UdpHeader, payload: &[u8], pseudo: Sum) -> Result<(), UdpError> {
    // First, because most tunnels send none, and the payload would be read for nothing.
    if !header.has_checksum() {
        return Ok(());
    }
    let whole = pseudo + checksum::sum(header.as_bytes()) + checksum::sum(payload);
    if whole.is_valid() { Ok(()) } else { Err(UdpError::Checksum) }
}

impl UdpHeader {
    /// A header without checksum.
    ///
    /// # Errors
    ///
    /// [`UdpError::TooLong`] when header and payload exceed 65 535 bytes.
    #[inline]
    pub fn new(source_port: u16, destination_port: u16, payload_bytes: usize) -> Result<Self, UdpError> {
        let length = payload_bytes.saturating_add(size_of::<Self>());
        let length = u16::try_from(length).map_err(|_| UdpError::TooLong)?;
        Ok(Self {
            source_port: U16::new(source_port),
            destination_port: U16::new(destination_port),
            length: U16::new(length),
            checksum: U16::ZERO,
        })
    }

    /// The sender filled a checksum in.
    #[must_use]
    #[inline]
    pub const fn has_checksum(&self) -> bool {
        self.checksum.get() != 0
    }

    /// Fills in the checksum; `pseudo` is the IP header's pseudo-header sum over the UDP length.
    #[inline]
    pub fn seal(&mut self, payload: &[u8], pseudo: Sum) {
        self.checksum = U16::ZERO;
        let whole = pseudo + checksum::sum(self.as_bytes()) + checksum::sum(payload);
        self.checksum = U16::new(whole.finish_udp());
    }

    /// Writes the header to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`UdpError::NoRoom`] when `out` is shorter than the header.
    #[inline]
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], UdpError> {
        let (slot, rest) = Self::mut_from_prefix(out).map_err(|_| UdpError::NoRoom)?;
        *slot = *self;
        Ok(rest)
    }
}

wire_error! {
    /// What is wrong with a UDP header.
    pub enum UdpError {
        /// The bytes end before the header or the stated length does.
        Truncated => "udp segment is shorter than its header says",
        /// The length field is below 8.
        Length => "udp length is shorter than the header",
        /// The checksum is wrong.
        Checksum => "udp checksum is wrong",
        /// The segment would exceed 65 535 bytes.
        TooLong => "udp segment would exceed 65535 bytes",
        /// The buffer to write to is too short.
        NoRoom => "no room for the udp header",
    }
}

#[cfg(test)]
mod tests;
