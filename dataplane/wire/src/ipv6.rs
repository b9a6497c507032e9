//! IPv6 header, and the way past its extension headers to UDP, protocol 115 or ESP.
//!
//! Place on the path: outer header of the underlay, read by decap and steering, written by encap.
//! Not in it: reassembly, jumbograms, what options and routing headers mean, AH (reported as the protocol).

mod fragment;

pub use fragment::{FRAGMENT_HEADER_BYTES, Fragment, find_fragment};

use crate::checksum::{self, Sum};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Next-header number of hop-by-hop options.
pub const NEXT_HOP_BY_HOP: u8 = 0;
/// Next-header number of a routing header.
pub const NEXT_ROUTING: u8 = 43;
/// Next-header number of a fragment header.
pub const NEXT_FRAGMENT: u8 = 44;
/// Next-header number of destination options.
pub const NEXT_DESTINATION_OPTIONS: u8 = 60;
/// Extension headers walked past before a packet is refused; RFC 8200 §4.1 lists six at most besides AH and ESP.
pub const MAX_EXTENSIONS: usize = 6;

/// IPv6 header.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+---------------+---------------------------------------+
/// |   6   | traffic class |              flow label               |
/// +-------+---------------+-------+---------------+---------------+
/// |        payload length         |  next header  |   hop limit   |
/// +-------------------------------+---------------+---------------+
/// |                     source address (16)                       |
/// +---------------------------------------------------------------+
/// |                   destination address (16)                    |
/// +---------------------------------------------------------------+
/// ```
///
/// Byte order: network. Source: RFC 8200 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (6), traffic class, flow label.
    pub version_class_flow: U32,
    /// What follows this header, extension headers included. Units: bytes.
    pub payload_length: U16,
    /// What follows this header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

/// First two bytes of hop-by-hop, routing and destination options headers.
///
/// ```text
/// | next header (1) | length in 8-byte units, without the first 8 bytes (1) | ... |
/// ```
///
/// Source: RFC 8200 §4.3.
#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ExtensionStart {
    next_header: u8,
    units: u8,
}

/// IPv6 fragment header.
///
/// ```text
/// | next header (1) | 0 (1) | offset in 8 bytes (13 bits) 0 0 M | identification (4) |
/// ```
///
/// Byte order: network. Source: RFC 8200 §4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    /// What the reassembled payload starts with.
    pub next_header: u8,
    /// Sent zero, ignored on receive.
    pub reserved: u8,
    /// Offset, two reserved bits, more fragments.
    pub offset_flags: U16,
    /// Ties the fragments of one packet together.
    pub identification: U32,
}

/// What stands behind the extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer<'a> {
    /// Protocol of `payload`; of the whole packet's payload where `fragment` is set.
    pub protocol: u8,
    /// The fragment header passed on the way; of several one that makes the packet a part of a larger one, if any does.
    pub fragment: Option<&'a FragmentHeader>,
    /// What follows the last header walked past. In a non-first fragment these bytes have no header.
    pub payload: &'a [u8],
}

/// Splits a packet into header and payload; bytes behind the payload length (Ethernet padding) are cut.
///
/// # Errors
///
/// [`Ipv6Error::Truncated`], [`Ipv6Error::Version`].
#[inline]
pub fn split(packet: &[u8]) -> Result<(&Ipv6Header, &[u8]), Ipv6Error> {
    let (header, rest) = Ipv6Header::ref_from_prefix(packet).map_err(|_| Ipv6Error::Truncated)?;
    if header.version_class_flow.get() >> 28 != 6 {
        return Err(Ipv6Error::Version);
    }
    let payload = rest.get(..usize::from(header.payload_length.get())).ok_or(Ipv6Error::Truncated)?;
    Ok((header, payload))
}

/// Walks from the payload of [`split`] past the extension headers.
///
/// Stops behind a fragment header whose offset is not 0: what follows is not a header.
///
/// # Errors
///
/// [`Ipv6Error::ExtensionTruncated`], [`Ipv6Error::TooManyExtensions`].
#[inline]
pub fn upper_layer<'a>(header: &Ipv6Header, payload: &'a [u8]) -> Result<UpperLayer<'a>, Ipv6Error> {
    let mut at = UpperLayer { protocol: header.next_header, fragment: None, payload };
    for _ in 0..MAX_EXTENSIONS {
        at = match at.protocol {
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS => skip_extension(at)?,
            NEXT_FRAGMENT => skip_fragment(at)?,
            _ => return Ok(at),
        };
        if at.fragment.is_some_and(|fragment| fragment.offset_bytes() != 0) {
            return Ok(at);
        }
    }
    match at.protocol {
        NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS | NEXT_FRAGMENT => {
            Err(Ipv6Error::TooManyExtensions)
        }
        _ => Ok(at),
    }
}

/// Steps over a hop-by-hop, routing or destination options header.
#[inline]
fn skip_extension(at: UpperLayer<'_>) -> Result<UpperLayer<'_>, Ipv6Error> {
    let (start, _) =
        ExtensionStart::ref_from_prefix(at.payload).map_err(|_| Ipv6Error::ExtensionTruncated)?;
    let length = (usize::from(start.units) + 1) * 8;
    let payload = at.payload.get(length..).ok_or(Ipv6Error::ExtensionTruncated)?;
    Ok(UpperLayer { protocol: start.next_header, payload, ..at })
}

/// Steps over a fragment header and remembers it; but a part stays one, also with an atomic fragment in it.
#[inline]
fn skip_fragment(at: UpperLayer<'_>) -> Result<UpperLayer<'_>, Ipv6Error> {
    let (fragment, payload) =
        FragmentHeader::ref_from_prefix(at.payload).map_err(|_| Ipv6Error::ExtensionTruncated)?;
    let outer = at.fragment.filter(|outer| outer.more_fragments() && fragment.offset_bytes() == 0);
    Ok(UpperLayer { protocol: fragment.next_header, fragment: outer.or(Some(fragment)), payload })
}

impl UpperLayer<'_> {
    /// Part of a larger packet. An "atomic" fragment (offset 0, no more to come) is whole (RFC 6946).
    #[must_use]
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        match self.fragment {
            Some(fragment) => fragment.offset_bytes() != 0 || fragment.more_fragments(),
            None => false,
        }
    }
}

impl FragmentHeader {
    /// Where this fragment's payload stands in the whole packet's. Units: bytes. Range: 0..=65528.
    #[must_use]
    #[inline]
    pub const fn offset_bytes(&self) -> usize {
        (self.offset_flags.get() & 0xFFF8) as usize
    }

    /// More fragments follow this one.
    #[must_use]
    #[inline]
    pub const fn more_fragments(&self) -> bool {
        self.offset_flags.get() & 1 != 0
    }
}

impl Ipv6Header {
    /// A header with hop limit 64, traffic class and flow label 0.
    ///
    /// # Errors
    ///
    /// [`Ipv6Error::TooLong`] when the payload exceeds 65 535 bytes.
    #[inline]
    pub fn new(
        source: [u8; 16],
        destination: [u8; 16],
        next_header: u8,
        payload_bytes: usize,
    ) -> Result<Self, Ipv6Error> {
        let payload_length = u16::try_from(payload_bytes).map_err(|_| Ipv6Error::TooLong)?;
        Ok(Self {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(payload_length),
            next_header,
            hop_limit: 64,
            source,
            destination,
        })
    }

    /// DSCP and ECN.
    #[must_use]
    #[inline]
    pub const fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20 & 0xFF) as u8
    }

    /// Sets DSCP and ECN.
    #[inline]
    pub const fn set_traffic_class(&mut self, traffic_class: u8) {
        let others = self.version_class_flow.get() & !(0xFF << 20);
        self.version_class_flow = U32::new(others | (traffic_class as u32) << 20);
    }

    /// Sum of the pseudo-header in front of a transport header of `protocol`; `length` in bytes.
    #[must_use]
    #[inline]
    pub fn pseudo_header(&self, protocol: u8, length: u32) -> Sum {
        checksum::pseudo_header_v6(&self.source, &self.destination, protocol, length)
    }

    /// Writes the header to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`Ipv6Error::NoRoom`] when `out` is shorter than the header.
    #[inline]
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], Ipv6Error> {
        let (slot, rest) = Self::mut_from_prefix(out).map_err(|_| Ipv6Error::NoRoom)?;
        *slot = *self;
        Ok(rest)
    }
}

wire_error! {
    /// What is wrong with an IPv6 header or its extension headers.
    pub enum Ipv6Error {
        /// The bytes end before the header or the stated payload does.
        Truncated => "ipv6 packet is shorter than its header says",
        /// The version field is not 6.
        Version => "ip version is not 6",
        /// The payload ends inside an extension header.
        ExtensionTruncated => "ipv6 payload ends inside an extension header",
        /// More extension headers than any legal packet has.
        TooManyExtensions => "ipv6 packet has too many extension headers",
        /// The payload would exceed 65 535 bytes.
        TooLong => "ipv6 payload would exceed 65535 bytes",
        /// The buffer to write to is too short.
        NoRoom => "no room for the ipv6 header",
    }
}

#[cfg(test)]
mod tests;
