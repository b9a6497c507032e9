//! ICMP and ICMPv6 errors that say "too big": who may get one, and how it is written.
//!
//! Place on the path: a frame that does not fit its pseudowire is answered into the LAN it came from; the answer is
//! written around the first bytes of the very packet that it is about.
//! Not in it: any other message, rates, who decides that a packet is too big.

use crate::checksum::{self, Sum};
use crate::front::Front;
use crate::ipv4::{self, Ipv4Header};
use crate::ipv6::{self, Ipv6Header};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// IP protocol number of ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// Next-header number of ICMPv6.
pub const NEXT_ICMPV6: u8 = 58;

/// ICMP "destination unreachable" (RFC 792).
pub const V4_DESTINATION_UNREACHABLE: u8 = 3;
/// Code of [`V4_DESTINATION_UNREACHABLE`]: "fragmentation needed and DF set" (RFC 792, RFC 1191 §4).
pub const V4_FRAGMENTATION_NEEDED: u8 = 4;
/// ICMPv6 "packet too big" (RFC 4443 §3.2).
pub const V6_PACKET_TOO_BIG: u8 = 2;

/// ICMP errors: destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 1122 §3.2.2).
const V4_ERRORS: [u8; 5] = [V4_DESTINATION_UNREACHABLE, 4, 5, 11, 12];
/// First type of ICMPv6 that is no error (RFC 4443 §2.1).
const V6_FIRST_INFORMATIONAL: u8 = 128;
/// ICMPv6 "redirect", which counts as informational and yet is never answered (RFC 4443 §2.4 (e.2)).
const V6_REDIRECT: u8 = 137;

/// Largest IPv4 packet with an ICMP error in it; no more of the original is quoted (RFC 1812 §4.3.2.3). Units: bytes.
pub const V4_MAX_BYTES: usize = 576;
/// Largest IPv6 packet with an ICMPv6 error in it; no more of the original is quoted (RFC 4443 §2.4 (c)). Units: bytes.
pub const V6_MAX_BYTES: usize = 1280;

/// What [`write_fragmentation_needed`] puts in front of the quoted packet. Units: bytes.
pub const V4_FRONT_BYTES: usize = size_of::<Ipv4Header>() + size_of::<IcmpHeader>();
/// What [`write_packet_too_big`] puts in front of the quoted packet. Units: bytes.
pub const V6_FRONT_BYTES: usize = size_of::<Ipv6Header>() + size_of::<IcmpHeader>();

/// Smallest MTU of an IPv4 link, and so the smallest that an error can name (RFC 791 §3.2). Units: bytes.
pub const V4_MIN_MTU: usize = 68;
/// Smallest MTU of an IPv6 link; a smaller one is not believed (RFC 8200 §5, RFC 8201 §4). Units: bytes.
pub const V6_MIN_MTU: usize = 1280;

/// Hop limit of the messages.
const HOPS: u8 = 64;

/// ICMP or ICMPv6 header of a "too big" message.
///
/// ```text
///  0        1        2                4                               8
/// +--------+--------+----------------+-------------------------------+
/// |  type  |  code  |    checksum    | ICMP: 0 (2), next-hop MTU (2) |
/// |        |        |                | ICMPv6: MTU (4)               |
/// +--------+--------+----------------+-------------------------------+
/// |       the packet that was too big, its IP header first ...       |
/// ```
///
/// Byte order: network. Source: RFC 1191 §4, RFC 4443 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct IcmpHeader {
    /// Type.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// ICMP: over the message. ICMPv6: over pseudo-header and message.
    pub checksum: U16,
    /// Largest packet that would have fitted. Units: bytes.
    pub mtu: U32,
}

/// Whether the sender of an IPv4 packet may be told that it is too big: the packet must not be fragmented, is not a
/// later fragment, comes from and goes to one host, and is no ICMP error itself.
///
/// Source: RFC 1122 §3.2.2, RFC 1812 §4.3.2.7; as Linux `iptunnel_pmtud_check_icmp`.
#[must_use]
pub fn may_answer_v4(header: &Ipv4Header, payload: &[u8]) -> bool {
    let is_icmp_error =
        header.protocol == PROTOCOL_ICMP && payload.first().is_none_or(|kind| V4_ERRORS.contains(kind));
    header.dont_fragment()
        && header.fragment_offset_bytes() == 0
        && is_host_v4(header.source)
        && is_host_v4(header.destination)
        && !is_icmp_error
}

/// Whether an address may be that of one host: not "this network", loopback, multicast, reserved or broadcast.
fn is_host_v4([first, ..]: [u8; 4]) -> bool {
    !matches!(first, 0 | 127 | 224..)
}

/// Whether the sender of an IPv6 packet may be told that it is too big: the packet is not a later fragment, comes from
/// and goes to one host, and is neither an ICMPv6 error nor a redirect. `payload` is what follows the IPv6 header.
///
/// RFC 4443 §2.4 (e.3) would allow an answer to multicast; a flood of answers to one frame is not worth it.
#[must_use]
pub fn may_answer_v6(header: &Ipv6Header, payload: &[u8]) -> bool {
    let Ok(upper) = ipv6::upper_layer(header, payload) else { return false };
    let is_later_fragment = upper.fragment.is_some_and(|fragment| fragment.offset_bytes() != 0);
    let is_refused = upper.protocol == NEXT_ICMPV6
        && upper.payload.first().is_none_or(|kind| *kind < V6_FIRST_INFORMATIONAL || *kind == V6_REDIRECT);
    !is_later_fragment && is_host_v6(header.source) && is_host_v6(header.destination) && !is_refused
}

/// Whether an address may be that of one host: not unspecified, loopback or multicast.
fn is_host_v6(address: [u8; 16]) -> bool {
    let [first, ..] = address;
    first != 0xFF && u128::from_be_bytes(address) > 1
}

/// Writes an ICMP "fragmentation needed" in front of the packet that it is about, and returns the length of the
/// whole IP packet.
///
/// `out` begins with [`V4_FRONT_BYTES`] bytes of room; the IPv4 packet follows, of which `beyond` more bytes may stand
/// elsewhere, and is quoted as far as it goes. The
/// message goes back: its source is the packet's destination. It has DF set, so nobody fragments an error about fragments.
///
/// # Errors
///
/// What is wrong with the packet's header, and [`Ipv4Error::NoRoom`](ipv4::Ipv4Error::NoRoom) when `out` is too short.
pub fn write_fragmentation_needed(out: &mut [u8], beyond: usize, mtu: u16) -> Result<usize, ipv4::Ipv4Error> {
    let (_, packet) = out.split_at_checked(V4_FRONT_BYTES).ok_or(ipv4::Ipv4Error::NoRoom)?;
    let (header, _, _) = Front { bytes: packet, beyond }.split_ipv4()?;
    let quoted = usize::from(header.total_length.get()).min(V4_MAX_BYTES - V4_FRONT_BYTES);
    let total = V4_FRONT_BYTES + quoted;
    let mut ip =
        Ipv4Header::new(header.destination, header.source, PROTOCOL_ICMP, total - size_of::<Ipv4Header>())?;
    ip.ttl = HOPS;
    ip.flags_fragment = U16::new(ipv4::FLAG_DONT_FRAGMENT);
    ip.seal(&[]);
    let out = out.get_mut(..total).ok_or(ipv4::Ipv4Error::NoRoom)?;
    let message = ip.write(&[], out)?;
    write_message(message, V4_DESTINATION_UNREACHABLE, V4_FRAGMENTATION_NEEDED, u32::from(mtu), Sum::ZERO)
        .ok_or(ipv4::Ipv4Error::NoRoom)?;
    Ok(total)
}

/// Writes an ICMPv6 "packet too big" in front of the packet that it is about, and returns the length of the whole IP
/// packet.
///
/// `out` begins with [`V6_FRONT_BYTES`] bytes of room; the IPv6 packet follows, of which `beyond` more bytes may stand
/// elsewhere, and is quoted as far as it goes. The
/// message goes back: its source is the packet's destination.
///
/// # Errors
///
/// What is wrong with the packet's header, and [`Ipv6Error::NoRoom`](ipv6::Ipv6Error::NoRoom) when `out` is too short.
pub fn write_packet_too_big(out: &mut [u8], beyond: usize, mtu: u32) -> Result<usize, ipv6::Ipv6Error> {
    let (_, packet) = out.split_at_checked(V6_FRONT_BYTES).ok_or(ipv6::Ipv6Error::NoRoom)?;
    let (header, payload) = Front { bytes: packet, beyond }.split_ipv6()?;
    let quoted = (size_of::<Ipv6Header>() + payload.len()).min(V6_MAX_BYTES - V6_FRONT_BYTES);
    let message_bytes = size_of::<IcmpHeader>() + quoted;
    let mut ip = Ipv6Header::new(header.destination, header.source, NEXT_ICMPV6, message_bytes)?;
    ip.hop_limit = HOPS;
    let length = u32::try_from(message_bytes).map_err(|_| ipv6::Ipv6Error::TooLong)?;
    let pseudo = ip.pseudo_header(NEXT_ICMPV6, length);
    let total = size_of::<Ipv6Header>() + message_bytes;
    let out = out.get_mut(..total).ok_or(ipv6::Ipv6Error::NoRoom)?;
    let message = ip.write(out)?;
    write_message(message, V6_PACKET_TOO_BIG, 0, mtu, pseudo).ok_or(ipv6::Ipv6Error::NoRoom)?;
    Ok(total)
}

/// Fills in the ICMP header at the front of `message`, whose rest stands already.
fn write_message(message: &mut [u8], kind: u8, code: u8, mtu: u32, pseudo: Sum) -> Option<()> {
    let (header, _) = IcmpHeader::mut_from_prefix(message).ok()?;
    *header = IcmpHeader { kind, code, checksum: U16::ZERO, mtu: U32::new(mtu) };
    let checksum = (pseudo + checksum::sum(message)).finish();
    let (header, _) = IcmpHeader::mut_from_prefix(message).ok()?;
    header.checksum = U16::new(checksum);
    Some(())
}

#[cfg(test)]
mod tests;
