//! encap: writes a pseudowire's outer headers in front of a frame.
//!
//! Place on the path: called by `emit` for each frame that leaves by a pseudowire. One copy of fixed size brings the
//! session's template into the headroom; then length, identification and checksums are patched.

use wire::{
    checksum::{self, Pieces},
    ethernet::{self, VlanId, VlanTag},
    ipv4::Ipv4Header,
    ipv6::Ipv6Header,
    l2tpv3::DefaultSublayer,
    overhead::{ETHERNET_BYTES, MAX_ENCAP_BYTES, UDP_BYTES, VLAN_TAG_BYTES},
    udp::UdpHeader,
};
use xsk::Frame;
use zerocopy::FromBytes;

use super::{identification::Identification, outer_chained, traffic_class};
use crate::{
    tables::{
        checksum_offload::Offload,
        next_hops::{IpPatch, TxSession, UdpPatch},
    },
    verdict::DropReason,
};

/// Encapsulates `frame` for a session. Where the packet is then longer than the path allows, [`super::fragment`] has to follow.
/// `beyond` is how many bytes of the frame stand in further segments. For nearly all frames that is 0, and callers say so by a
/// constant. With `offload`, which is the session's or nothing, the packet has to ask for its UDP checksum.
///
/// # Errors
/// [`DropReason::TooBig`] and [`DropReason::NoHeadroom`]; the frame is then as it was.
#[inline(always)]
pub(super) fn run(
    frame: &mut Frame,
    beyond: usize,
    session: &TxSession,
    offload: Option<&Offload>,
    identification: &mut Identification,
) -> Result<(), DropReason> {
    if frame.head_len() + beyond > session.max_sent_bytes {
        return Err(DropReason::TooBig);
    }
    let class = match session.copied_class {
        0 => 0,
        bits => traffic_class::of_frame(frame.head_mut(), bits),
    };
    *frame.before_mut::<MAX_ENCAP_BYTES>().ok_or(DropReason::NoHeadroom)? = session.template;
    let bytes = frame.push_front(session.encap_bytes).ok_or(DropReason::NoHeadroom)?;
    if let Some(state) = &session.sequence {
        write_number(bytes, session, state.next_tx()).ok_or(DropReason::NoHeadroom)?;
    }
    patch(bytes, beyond, session, offload, identification.next_ipv4()).ok_or(DropReason::NoHeadroom)?;
    if class != 0
        && let Some(packet) = bytes.get_mut(session.link_bytes..)
    {
        traffic_class::stamp(packet, session, class);
    }
    if beyond != 0 && offload.is_none() {
        seal_chained(frame, session).ok_or(DropReason::NoHeadroom)?;
    }
    Ok(())
}

/// Writes a sequence number into the sublayer, which is the last of the headers. Before any checksum over it.
#[inline]
fn write_number(bytes: &mut [u8], session: &TxSession, number: u32) -> Option<()> {
    let headers = bytes.get_mut(..session.encap_bytes)?;
    let (_, sublayer) = DefaultSublayer::mut_from_suffix(headers).ok()?;
    *sublayer = DefaultSublayer::sequenced(number);
    Some(())
}

/// Fills in what differs from frame to frame, in the head; `beyond` bytes stand in further segments. `None` would mean a template
/// shorter than its own headers, or a frame longer than an IP packet can be.
#[inline(always)]
fn patch(
    bytes: &mut [u8],
    beyond: usize,
    session: &TxSession,
    offload: Option<&Offload>,
    identification: u16,
) -> Option<()> {
    let packet = bytes.get_mut(session.link_bytes..)?;
    let packet_bytes = u16::try_from(packet.len() + beyond).ok()?;
    let segment = match session.ip {
        IpPatch::V4(sum) => {
            let (ip, segment) = Ipv4Header::mut_from_prefix(packet).ok()?;
            ip.patch(packet_bytes, identification, sum);
            segment
        }
        IpPatch::V6 => {
            let (ip, segment) = Ipv6Header::mut_from_prefix(packet).ok()?;
            ip.payload_length.set(u16::try_from(segment.len() + beyond).ok()?);
            segment
        }
    };
    let segment_bytes = u16::try_from(segment.len() + beyond).ok()?;
    match session.udp {
        UdpPatch::Absent => {}
        UdpPatch::Length => UdpHeader::mut_from_prefix(segment).ok()?.0.length.set(segment_bytes),
        UdpPatch::Checksum { whole, .. } => {
            let (udp, payload) = UdpHeader::mut_from_prefix(segment).ok()?;
            udp.length.set(segment_bytes);
            udp.checksum.set(match offload {
                Some(offload) => offload.partial(segment_bytes),
                // The length stands in the pseudo-header and in the header.
                None => {
                    let head = whole.add_u16(segment_bytes).add_u16(segment_bytes);
                    (head + checksum::sum(payload)).finish_udp()
                }
            });
        }
    }
    Some(())
}

/// Fills in the UDP checksum of a packet that stands in several chunks, of which `patch` saw the first one only.
#[cold]
#[inline(never)]
fn seal_chained(frame: &mut Frame, session: &TxSession) -> Option<()> {
    let UdpPatch::Checksum { whole: sum, .. } = session.udp else { return Some(()) };
    let udp_offset = session.udp_offset();
    let segment_bytes = u16::try_from(frame.len().checked_sub(udp_offset)?).ok()?;
    let payload = frame.head().get(udp_offset + UDP_BYTES..)?;
    let head = Pieces::after(sum.add_u16(segment_bytes).add_u16(segment_bytes)).with(payload);
    let whole = outer_chained::sum_beyond(frame, frame.beyond_bytes(), head);
    let (udp, _) = UdpHeader::mut_from_prefix(frame.head_mut().get_mut(udp_offset..)?).ok()?;
    udp.checksum.set(whole.finish_udp());
    Some(())
}

/// Pushes a customer tag in front of the EtherType.
///
/// # Errors
/// [`DropReason::NoHeadroom`] without four free bytes, [`DropReason::EthernetMalformed`] without a whole header.
#[inline]
pub(super) fn push_vlan(frame: &mut Frame, vlan: VlanId) -> Result<(), DropReason> {
    if frame.head_len() < ETHERNET_BYTES {
        return Err(DropReason::EthernetMalformed);
    }
    let bytes = frame.push_front(VLAN_TAG_BYTES).ok_or(DropReason::NoHeadroom)?;
    ethernet::push_tag(bytes, VlanTag::customer(vlan)).map_err(DropReason::from)
}
