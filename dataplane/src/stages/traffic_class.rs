//! traffic class: what an outer header takes from the IP packet in the frame, and what that packet takes back.
//!
//! ```text
//!   inner IP packet               outer IP packet
//!  | DSCP  | ECN |  -- encap -->  | DSCP  | ECN |  -- the routed network may note congestion
//!  | DSCP  | ECN |  <-- decap --           | ECN |
//! ```
//! Place on the path: called by `encap` and `decap`, for sessions that ask for it only. The inner packet is found behind up
//! to two tags; a frame without one has class 0 on the way out and stays as it is on the way in.
//! Not in it: which bits are copied ([`TxSession`]); an inner tag's priority bits, which are the LAN's own.
//!
//! Source: RFC 6040 §4.1 (normal mode) and §4.2, RFC 2983 §3.1 (uniform model, on the way out only).

use wire::{
    checksum,
    ethernet::{self, EtherType},
    ipv4::Ipv4Header,
    ipv6::Ipv6Header,
};
use zerocopy::FromBytes;

use crate::{
    tables::next_hops::{IpPatch, TxSession},
    verdict::DropReason,
};

/// The ECN bits of a class.
const ECN: u8 = 0b11;
/// Not ECN-capable transport.
const NOT_ECT: u8 = 0b00;
/// ECN-capable, codepoint 1.
const ECT_1: u8 = 0b01;
/// ECN-capable, codepoint 0.
const ECT_0: u8 = 0b10;
/// Congestion experienced.
const CE: u8 = 0b11;

/// The IP header of a frame, found behind its tags.
enum IpHeader<'a> {
    V4(&'a mut Ipv4Header),
    V6(&'a mut Ipv6Header),
}

impl<'a> IpHeader<'a> {
    /// `None`: the frame carries no IP packet, or not even its header.
    fn of(frame: &'a mut [u8]) -> Option<Self> {
        let view = ethernet::read(frame).ok()?;
        let (ethertype, offset) = (view.ethertype, view.payload_offset);
        let packet = frame.get_mut(offset..)?;
        match ethertype {
            EtherType::IPV4 => {
                let (header, _) = Ipv4Header::mut_from_prefix(packet).ok()?;
                (header.version_ihl >> 4 == 4).then_some(Self::V4(header))
            }
            EtherType::IPV6 => {
                let (header, _) = Ipv6Header::mut_from_prefix(packet).ok()?;
                (header.version_class_flow.get() >> 28 == 6).then_some(Self::V6(header))
            }
            _ => None,
        }
    }

    const fn class(&self) -> u8 {
        match self {
            Self::V4(header) => header.tos,
            Self::V6(header) => header.traffic_class(),
        }
    }

    fn set_class(&mut self, class: u8) {
        match self {
            Self::V4(header) => set_tos(header, class),
            Self::V6(header) => header.set_traffic_class(class),
        }
    }
}

/// The class that the outer header takes from the frame, `copied_bits` of it.
#[cold]
#[inline(never)]
pub(super) fn of_frame(frame: &mut [u8], copied_bits: u8) -> u8 {
    IpHeader::of(frame).map_or(0, |header| header.class() & copied_bits)
}

/// Adds bits to the class of a session's outer IP header, at the front of `packet`, where the template has zeros.
#[cold]
#[inline(never)]
pub(super) fn stamp(packet: &mut [u8], session: &TxSession, bits: u8) {
    match session.ip {
        IpPatch::V4(_) => {
            if let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) {
                set_tos(header, header.tos | bits);
            }
        }
        IpPatch::V6 => {
            if let Ok((header, _)) = Ipv6Header::mut_from_prefix(packet) {
                header.set_traffic_class(header.traffic_class() | bits);
            }
        }
    }
}

/// What the routed network noted in a packet's outer header.
#[cold]
#[inline(never)]
pub(super) fn outer_ecn(packet: &mut [u8]) -> u8 {
    IpHeader::of(packet).map_or(NOT_ECT, |header| header.class() & ECN)
}

/// Combines what the outer header said into the frame that came out of it.
///
/// ```text
///                 outer
///  inner    | Not-ECT | ECT(0)  | ECT(1)  | CE
///  Not-ECT  | Not-ECT | Not-ECT | Not-ECT | drop
///  ECT(0)   | ECT(0)  | ECT(0)  | ECT(1)  | CE
///  ECT(1)   | ECT(1)  | ECT(1)  | ECT(1)  | CE
///  CE       | CE      | CE      | CE      | CE
/// ```
/// Source: RFC 6040 §4.2, figure 4.
///
/// # Errors
/// [`DropReason::CeOverNotEct`]: congestion that the inner packet's sender can be told only by losing the packet.
#[cold]
#[inline(never)]
pub(super) fn combine(frame: &mut [u8], outer_ecn: u8) -> Result<(), DropReason> {
    let Some(mut header) = IpHeader::of(frame) else { return Ok(()) };
    let class = header.class();
    let ecn = match (class & ECN, outer_ecn) {
        (NOT_ECT, CE) => return Err(DropReason::CeOverNotEct),
        (ECT_0 | ECT_1, CE) => CE,
        (ECT_0, ECT_1) => ECT_1,
        _ => return Ok(()),
    };
    header.set_class(class & !ECN | ecn);
    Ok(())
}

/// Sets the type of service and brings the header's checksum up to date.
fn set_tos(header: &mut Ipv4Header, tos: u8) {
    let word = |tos| u16::from_be_bytes([header.version_ihl, tos]);
    let updated = checksum::update_u16(header.checksum.get(), word(header.tos), word(tos));
    header.checksum.set(updated);
    header.tos = tos;
}
