//! Fragment: one part of an outer packet, and what ties it to the others.
//!
//! Place on the path: read from a frame that `decap` found to be a fragment. The checks here concern one fragment alone;
//! whether it fits the others is looked at in [`super::partial`].

use wire::{
    ethernet::{self, EtherType},
    front::Front,
    ipv4::{self, PROTOCOL_L2TP, PROTOCOL_UDP},
    ipv6,
};
use xsk::Frame;

use super::index::Secret;
use crate::{tables::sessions::Endpoint, verdict::DropReason};

/// Least payload of an IPv4 packet's first fragment: nobody has to make IPv4 packets smaller than 68 bytes (RFC 791 §3.2),
/// 20 of them header. Later ones may be smaller: a router cuts a fragment of 1500 bytes for a link of 1492 into one of
/// 1492 and a rest of 8. Units: bytes.
const IPV4_FIRST_BYTES: usize = 48;

/// Least payload of an IPv6 fragment that more follow: only the source cuts, for a link that carries 1280 at least
/// (RFC 8200 §5), and if it cuts in halves, this is left of each. Units: bytes.
const IPV6_PART_BYTES: usize = 512;

/// Longest IP packet. Units: bytes.
const MAX_PACKET_BYTES: usize = 65_535;

/// What the fragments of one packet have in common (RFC 791 §3.2, RFC 8200 §4.5). IPv4 addresses stand as IPv4-mapped
/// ones, so the family is part of it. Byte order: host.
///
/// RFC 8200 leaves the protocol out for IPv6. It is part of the key here all the same: parts of different protocols never
/// make one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The sender.
    pub source: u128,
    /// Us.
    pub destination: u128,
    /// 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
    /// Protocol of the whole packet's payload.
    pub protocol: u8,
}

/// One fragment, as its headers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What ties it to the others.
    pub key: Key,
    /// Where its payload starts in the frame. Units: bytes.
    pub payload_at: u16,
    /// Length of its payload. Range: 1 and up. Units: bytes.
    pub len: u16,
    /// Where its payload stands in the whole packet's. A multiple of 8; `offset + len` is 65535 at most. Units: bytes.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
    /// ECN field of its header (RFC 3168 §5).
    pub ecn: u8,
}

impl Key {
    /// A hash that the fragments of one tunnel have in common: of the addresses and the protocol alone.
    #[must_use]
    #[inline]
    pub fn tunnel_hash(&self) -> u64 {
        let addresses = self.source.rotate_left(64) ^ self.destination;
        let [a, b, c, d, e, f, g, h, low @ ..] = addresses.to_ne_bytes();
        let folded = u64::from_ne_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_ne_bytes(low);
        (folded ^ u64::from(self.protocol) << 56).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[inline]
    pub(super) fn hash(&self, secret: Secret) -> u64 {
        let own = u64::from(self.identification) | u64::from(self.protocol) << 32;
        secret.mix_address(self.destination, secret.mix_address(self.source, own))
    }
}

impl Fragment {
    /// Reads a frame that holds a fragment, with its headers in the head.
    ///
    /// # Errors
    /// The reason to drop it for. A frame without a fragment is malformed here.
    pub fn read(frame: &Frame) -> Result<Self, DropReason> {
        let link = ethernet::read(frame.head())?;
        let packet = Front { bytes: link.payload, beyond: frame.beyond_bytes() };
        let fragment = match link.ethertype {
            EtherType::IPV4 => read_ipv4(packet, link.payload_offset)?,
            EtherType::IPV6 => read_ipv6(packet, link.payload_offset)?,
            _ => return Err(DropReason::NotIp),
        };
        match fragment.key.protocol {
            PROTOCOL_UDP | PROTOCOL_L2TP => Ok(fragment),
            _ => Err(DropReason::NotTunnelProtocol),
        }
    }

    /// Where its payload ends in the whole packet's. Units: bytes.
    #[must_use]
    #[inline]
    pub const fn end(&self) -> u16 {
        // Checked when it was read.
        self.offset.saturating_add(self.len)
    }
}

/// What the IP header says about a part, in bytes from the frame's or the packet's first.
struct Place {
    payload_at: usize,
    len: usize,
    offset: usize,
    more: bool,
    /// Headers that the whole packet will have.
    header_bytes: usize,
}

fn read_ipv4(packet: Front<'_>, at: usize) -> Result<Fragment, DropReason> {
    let (header, options, payload) = packet.split_ipv4()?;
    ipv4::verify_checksum(header, options)?;
    let place = Place {
        payload_at: at + header.header_bytes(),
        len: payload.len(),
        offset: header.fragment_offset_bytes(),
        more: header.more_fragments(),
        header_bytes: header.header_bytes(),
    };
    if place.offset == 0 && place.len < IPV4_FIRST_BYTES {
        return Err(DropReason::FragmentTiny);
    }
    let key = Key {
        source: Endpoint::map_v4(header.source),
        destination: Endpoint::map_v4(header.destination),
        identification: u32::from(header.identification.get()),
        protocol: header.protocol,
    };
    place.checked(key, header.tos)
}

fn read_ipv6(packet: Front<'_>, at: usize) -> Result<Fragment, DropReason> {
    let (header, payload) = packet.split_ipv6()?;
    let found = ipv6::find_fragment(header, payload.bytes)?.ok_or(DropReason::FragmentMalformed)?;
    let payload_at = at + found.offset + ipv6::FRAGMENT_HEADER_BYTES;
    let place = Place {
        payload_at,
        len: found.payload.len() + payload.beyond,
        offset: found.header.offset_bytes(),
        more: found.header.more_fragments(),
        // The payload length does not count the IPv6 header itself.
        header_bytes: found.offset.saturating_sub(size_of::<ipv6::Ipv6Header>()),
    };
    if place.more && place.len < IPV6_PART_BYTES {
        return Err(DropReason::FragmentTiny);
    }
    let key = Key {
        source: Endpoint::v6(header.source).ok_or(DropReason::IpMalformed)?,
        destination: Endpoint::v6(header.destination).ok_or(DropReason::IpMalformed)?,
        identification: found.header.identification.get(),
        protocol: found.header.next_header,
    };
    place.checked(key, header.traffic_class())
}

impl Place {
    fn checked(&self, key: Key, traffic_class: u8) -> Result<Fragment, DropReason> {
        let is_whole = self.offset == 0 && !self.more;
        let is_uneven = self.more && !self.len.is_multiple_of(8);
        let end = self.header_bytes + self.offset + self.len;
        if is_whole || is_uneven || self.len == 0 || end > MAX_PACKET_BYTES {
            return Err(DropReason::FragmentMalformed);
        }
        let narrow = |value: usize| u16::try_from(value).map_err(|_| DropReason::FragmentMalformed);
        Ok(Fragment {
            key,
            payload_at: narrow(self.payload_at)?,
            len: narrow(self.len)?,
            offset: narrow(self.offset)?,
            more: self.more,
            ecn: traffic_class & 3,
        })
    }
}
