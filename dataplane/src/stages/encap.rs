//! encap: writes a pseudowire's outer headers in front of a frame.
//!
//! Place on the path: called by `emit` for each frame that leaves by a pseudowire. One copy of fixed size brings the
//! session's template into the headroom; then length, identification and checksums are patched.

use wire::{
    ethernet::{self, VlanId, VlanTag},
    overhead::{ETHERNET_BYTES, MAX_ENCAP_BYTES, VLAN_TAG_BYTES},
};
use xsk::Frame;
use zerocopy::FromBytes;

use crate::{tables::next_hops::TxSession, verdict::DropReason};

/// An IPv4 header without options, as a value of the length fields. Units: bytes.
const IPV4_LENGTH: u16 = 20;
const _: () = assert!(IPV4_LENGTH as usize == wire::overhead::IPV4_BYTES);

/// Encapsulates `frame` for a session; `identification` is the worker's next IPv4 identification.
///
/// # Errors
/// [`DropReason::TooBig`] and [`DropReason::NoHeadroom`]; the frame is then as it was.
#[inline]
pub(super) fn run(
    frame: &mut Frame,
    session: &TxSession,
    identification: &mut u16,
) -> Result<(), DropReason> {
    if frame.len() > session.max_frame_bytes {
        return Err(DropReason::TooBig);
    }
    *frame.before_mut::<MAX_ENCAP_BYTES>().ok_or(DropReason::NoHeadroom)? = session.template;
    let bytes = frame.push_front(session.encap_bytes).ok_or(DropReason::NoHeadroom)?;
    patch(bytes, session, *identification).ok_or(DropReason::NoHeadroom)?;
    *identification = identification.wrapping_add(1);
    Ok(())
}

/// Fills in what differs from frame to frame. `None` would mean a template shorter than its own headers.
#[inline]
fn patch(bytes: &mut [u8], session: &TxSession, identification: u16) -> Option<()> {
    let packet = bytes.get_mut(session.link_bytes..)?;
    let total_length = u16::try_from(packet.len()).ok()?;
    let udp_length = total_length.checked_sub(IPV4_LENGTH)?;
    let (ip, rest) = wire::ipv4::Ipv4Header::mut_from_prefix(packet).ok()?;
    ip.patch(total_length, identification, session.header_sum);
    if session.is_udp {
        let (udp, _) = wire::udp::UdpHeader::mut_from_prefix(rest).ok()?;
        udp.length.set(udp_length);
    }
    Some(())
}

/// Pushes a customer tag in front of the EtherType.
///
/// # Errors
/// [`DropReason::NoHeadroom`] without four free bytes, [`DropReason::EthernetMalformed`] without a whole header.
#[inline]
pub(super) fn push_vlan(frame: &mut Frame, vlan: VlanId) -> Result<(), DropReason> {
    if frame.len() < ETHERNET_BYTES {
        return Err(DropReason::EthernetMalformed);
    }
    let bytes = frame.push_front(VLAN_TAG_BYTES).ok_or(DropReason::NoHeadroom)?;
    ethernet::push_tag(bytes, VlanTag::customer(vlan)).map_err(DropReason::from)
}
