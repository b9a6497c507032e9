//! outer_chained: the outer headers of a packet that stands in several chunks.
//!
//! Place on the path: in place of `outer` for jumbo packets, out of the way of all others. The kernel fills the first chunk before
//! it takes a second one, so the headers are in the head as a whole; a frame where they are not is dropped. What differs from
//! `outer` is that a length may reach beyond the head, and that the UDP checksum is summed over all segments.

use wire::{
    checksum::{self, Pieces, Sum},
    ethernet::{self, EtherType},
    front::Front,
    ip_options, ipv4, ipv6,
    udp::UdpHeader,
};
use xsk::Frame;
use zerocopy::IntoBytes;

use super::outer::{self, Outer};
use crate::{tables::sessions::Endpoint, verdict::DropReason};

/// Bytes at the front of a frame in which all headers are that the engine reads, outer and inner, with options and tags.
const HEADERS_BYTES: usize = 256;

/// Checks the outer headers of a packet in several chunks, from the outside in. `None`: it is a fragment.
///
/// # Errors
/// The reason to drop it for.
pub(super) fn read(frame: &Frame) -> Result<Option<Outer<'_>>, DropReason> {
    if frame.head_len() < HEADERS_BYTES {
        return Err(DropReason::HeadersSplit);
    }
    let link = ethernet::read(frame.head())?;
    let packet = Front { bytes: link.payload, beyond: frame.beyond_bytes() };
    match link.ethertype {
        EtherType::IPV4 => read_ipv4(frame, packet),
        EtherType::IPV6 => read_ipv6(frame, packet),
        _ => Err(DropReason::NotIp),
    }
}

fn read_ipv4<'a>(frame: &'a Frame, packet: Front<'a>) -> Result<Option<Outer<'a>>, DropReason> {
    let (header, options, payload) = packet.split_ipv4()?;
    ipv4::verify_checksum(header, options)?;
    outer::check_options(options)?;
    if header.is_fragment() {
        return Ok(None);
    }
    transport(frame, outer::endpoint_v4(header), payload, |length| header.pseudo_header(length)).map(Some)
}

fn read_ipv6<'a>(frame: &'a Frame, packet: Front<'a>) -> Result<Option<Outer<'a>>, DropReason> {
    let (header, payload) = packet.split_ipv6()?;
    let upper = ipv6::upper_layer(header, payload.bytes)?;
    ip_options::check_ipv6(header, payload.bytes)?;
    if upper.is_fragment() {
        return Ok(None);
    }
    let pseudo = |length| header.pseudo_header(upper.protocol, u32::from(length));
    let payload = Front { bytes: upper.payload, ..payload };
    transport(frame, outer::endpoint_v6(header, upper.protocol)?, payload, pseudo).map(Some)
}

/// Takes the UDP header off, where there is one.
fn transport<'a>(
    frame: &'a Frame,
    mut endpoint: Endpoint,
    payload: Front<'a>,
    pseudo: impl FnOnce(u16) -> Sum,
) -> Result<Outer<'a>, DropReason> {
    match endpoint.protocol {
        ipv4::PROTOCOL_L2TP => Ok(outer_of(endpoint, payload, false)),
        ipv4::PROTOCOL_UDP => {
            let (udp, payload) = payload.split_udp()?;
            endpoint.local_port = udp.destination_port.get();
            endpoint.remote_port = udp.source_port.get();
            verify_checksum(frame, udp, payload, pseudo(udp.length.get()))?;
            Ok(outer_of(endpoint, payload, !udp.has_checksum()))
        }
        _ => Err(DropReason::NotTunnelProtocol),
    }
}

fn outer_of(endpoint: Endpoint, payload: Front<'_>, lacks_checksum: bool) -> Outer<'_> {
    Outer { endpoint, payload: payload.bytes, beyond: payload.beyond, lacks_checksum }
}

/// Checks the UDP checksum over every segment; a zero one ("none") passes.
fn verify_checksum(
    frame: &Frame,
    udp: &UdpHeader,
    payload: Front<'_>,
    pseudo: Sum,
) -> Result<(), DropReason> {
    if !udp.has_checksum() {
        return Ok(());
    }
    let head = Pieces::after(pseudo + checksum::sum(udp.as_bytes())).with(payload.bytes);
    if sum_beyond(frame, payload.beyond, head).is_valid() { Ok(()) } else { Err(DropReason::UdpChecksum) }
}

/// The sum that goes on over the first `count` bytes behind the head.
pub(super) fn sum_beyond(frame: &Frame, mut count: usize, mut pieces: Pieces) -> Sum {
    for segment in frame.segments().skip(1) {
        let counted = segment.get(..count).unwrap_or(segment);
        pieces = pieces.with(counted);
        count -= counted.len();
    }
    pieces.sum()
}
