//! Does a frame carry a transport checksum that its sender left to a NIC which never filled it in?
//!
//! A Linux sender with TX checksum offload writes the folded pseudo-header sum into the checksum field and
//! leaves the rest to the device. A real device completes it; a veth does not, so an AF_XDP receiver behind it
//! forwards frames that every receiver beyond drops. The gateway looks at a sample with this and tells
//! the operator to turn the peer's TX checksum offload off.
//!
//! Place on the path: beside it, on sampled frames of access ports. Not in it: filling the checksum in.

use crate::checksum::{self, Sum};
use crate::ethernet::{self, EtherType};
use crate::ipv4::{self, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::ipv6;
use crate::udp::UdpHeader;

/// Offset of the checksum in a TCP header (RFC 9293 §3.1). Units: bytes.
const TCP_CHECKSUM_OFFSET: usize = 16;
/// Length of a TCP header without options.
const TCP_MIN_BYTES: usize = 20;
/// Offset of the checksum in a UDP header.
const UDP_CHECKSUM_OFFSET: usize = 6;

/// The frame is TCP or UDP over IPv4 or IPv6, and its checksum field holds the bare pseudo-header sum.
///
/// Cheap for all other frames: the payload is summed only when the field equals the pseudo-header sum, to
/// rule out the one in 65 536 whose right checksum happens to equal it. Fragments and frames that are not well
/// formed give `false`.
#[must_use]
#[inline]
pub fn is_only_pseudo_header(frame: &[u8]) -> bool {
    transport(frame).is_some_and(|(pseudo, protocol, segment)| is_left_to_nic(pseudo, protocol, segment))
}

/// Pseudo-header sum, protocol and transport segment of an unfragmented TCP or UDP frame.
#[inline]
fn transport(frame: &[u8]) -> Option<(Sum, u8, &[u8])> {
    let view = ethernet::read(frame).ok()?;
    match view.ethertype {
        EtherType::IPV4 => {
            let (header, _, segment) = ipv4::split(view.payload).ok()?;
            let length = u16::try_from(segment.len()).ok()?;
            (!header.is_fragment()).then(|| (header.pseudo_header(length), header.protocol, segment))
        }
        EtherType::IPV6 => {
            let (header, payload) = ipv6::split(view.payload).ok()?;
            let upper = ipv6::upper_layer(header, payload).ok()?;
            let length = u32::try_from(upper.payload.len()).ok()?;
            let pseudo = header.pseudo_header(upper.protocol, length);
            (!upper.is_fragment()).then_some((pseudo, upper.protocol, upper.payload))
        }
        _ => None,
    }
}

/// The segment's checksum field is the folded pseudo-header sum and does not also happen to be right.
#[inline]
fn is_left_to_nic(pseudo: Sum, protocol: u8, segment: &[u8]) -> bool {
    let (offset, header_bytes) = match protocol {
        PROTOCOL_TCP => (TCP_CHECKSUM_OFFSET, TCP_MIN_BYTES),
        PROTOCOL_UDP => (UDP_CHECKSUM_OFFSET, size_of::<UdpHeader>()),
        _ => return false,
    };
    let field = segment.get(..header_bytes).and_then(|header| header.get(offset..)?.first_chunk::<2>());
    field.is_some_and(|field| u16::from_be_bytes(*field) == pseudo.fold())
        && !(pseudo + checksum::sum(segment)).is_valid()
}

#[cfg(test)]
mod tests;
