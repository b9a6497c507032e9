//! mss_clamp: a TCP SYN in a pseudowire announces no larger segments than the path takes.
//!
//! Place on the path: called by `send` for a frame that leaves by a pseudowire, and by `decap` for one that arrived. Both
//! halves of a connection's opening pass here, so one gateway does it for both hosts, whatever the peer does.
//! Deliberately not here: the walk over TCP options (`wire::tcp`).

use wire::{
    ethernet::{self, EtherType},
    front::Front,
    ipv4::PROTOCOL_TCP,
    ipv6::{self, NEXT_DESTINATION_OPTIONS, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING},
    tcp::{self, FLAG_SYN},
};

use xsk::Frame;

use crate::tables::oversize::{InnerIp, MssLimit};

/// Lowers the MSS of a frame that is a TCP SYN, as it stands in the pseudowire. Returns whether anything was changed.
#[inline(always)]
pub(super) fn run(frame: &mut Frame, limit: MssLimit) -> bool {
    limit != MssLimit::Unlimited && may_be_syn(frame.head()) && run_on_head(frame, limit)
}

#[cold]
#[inline(never)]
fn run_on_head(frame: &mut Frame, limit: MssLimit) -> bool {
    let beyond = frame.beyond_bytes();
    clamp(frame.head_mut(), beyond, limit)
}

/// Whether a frame could be a TCP SYN: a look at its EtherType and protocol, and at the flags where the IP header has
/// its usual length. Almost every frame ends here.
#[inline]
fn may_be_syn(frame: &[u8]) -> bool {
    let mut rest = frame.get(12..).unwrap_or_default();
    // As many tags as are read later on.
    for _ in 0..2 {
        if let [0x81, 0x00, _, _, behind @ ..] | [0x88, 0xA8, _, _, behind @ ..] = rest {
            rest = behind;
        }
    }
    let Some((ethertype, packet)) = rest.split_first_chunk() else { return false };
    let is_syn = |flags_at: usize| packet.get(flags_at).is_some_and(|flags| flags & FLAG_SYN != 0);
    match (EtherType(u16::from_be_bytes(*ethertype)), packet) {
        (EtherType::IPV4, [0x45, _, _, _, _, _, _, _, _, PROTOCOL_TCP, ..]) => is_syn(20 + 13),
        (EtherType::IPV4, [_, _, _, _, _, _, _, _, _, PROTOCOL_TCP, ..]) => true,
        (EtherType::IPV6, [_, _, _, _, _, _, next_header, ..]) => match *next_header {
            PROTOCOL_TCP => is_syn(40 + 13),
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_FRAGMENT | NEXT_DESTINATION_OPTIONS => true,
            _ => false,
        },
        _ => false,
    }
}

/// Where a whole TCP segment stands in a frame, or its front when it goes on in further chunks.
struct Segment {
    /// Ethernet header and tags. Units: bytes.
    link_bytes: usize,
    ip: InnerIp,
    /// From the frame's first byte. Units: bytes.
    offset: usize,
    len: usize,
}

/// Lowers the MSS of the frame whose head this is; `beyond` bytes of it stand in further chunks.
fn clamp(frame: &mut [u8], beyond: usize, limit: MssLimit) -> bool {
    let Some(segment) = find(frame, beyond) else { return false };
    let Some(largest) = limit.segment_bytes(segment.link_bytes, segment.ip) else { return false };
    let bytes = frame.get_mut(segment.offset..).and_then(|rest| rest.get_mut(..segment.len));
    bytes.is_some_and(|bytes| tcp::clamp_mss(bytes, largest))
}

/// The TCP segment of a frame; `None` for anything else, for fragments, and for headers that contradict themselves.
fn find(frame: &[u8], beyond: usize) -> Option<Segment> {
    let link = ethernet::read(frame).ok()?;
    let packet = Front { bytes: link.payload, beyond };
    let (ip, segment) = match link.ethertype {
        EtherType::IPV4 => {
            let (header, _, payload) = packet.split_ipv4().ok()?;
            (header.protocol == PROTOCOL_TCP && !header.is_fragment())
                .then_some((InnerIp::V4, payload.bytes))?
        }
        EtherType::IPV6 => {
            let (header, payload) = packet.split_ipv6().ok()?;
            let upper = ipv6::upper_layer(header, payload.bytes).ok()?;
            (upper.protocol == PROTOCOL_TCP && !upper.is_fragment())
                .then_some((InnerIp::V6, upper.payload))?
        }
        _ => return None,
    };
    // What is behind the headers: the segment lies in the frame.
    let offset = segment.as_ptr().addr().wrapping_sub(frame.as_ptr().addr());
    Some(Segment { link_bytes: link.payload_offset, ip, offset, len: segment.len() })
}

#[cfg(test)]
mod tests;
