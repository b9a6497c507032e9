//! The few header fields that the decision rests on.
//!
//! Place on the path: from a [`PacketView`] to the endpoint's key. Not here: checks that change nothing about the
//! decision (checksums, total length); the engine makes them for what it gets, the kernel for the rest.

use wire::ethernet::EtherType;
use wire::ipv4::Ipv4Header;
use wire::ipv6::{
    FragmentHeader, Ipv6Header, NEXT_DESTINATION_OPTIONS, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING,
};
use wire::overhead::{ETHERNET_BYTES, VLAN_TAG_BYTES};
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Unaligned};

use crate::abi::{EndpointV4, EndpointV6, Stat};
use crate::packet_view::PacketView;

/// Extension headers that are followed. Fewer than the engine does, as each one multiplies what the verifier has to go
/// through; a tunnel's packets carry a fragment header at most.
const EXTENSIONS_MAX: usize = 4;
const VLAN_ID_MASK: u16 = 0x0fff;
/// "More fragments" and the offset; "don't fragment" and the reserved bit are left out.
const IPV4_FRAGMENT_MASK: u16 = 0x3fff;
/// The offset and "more fragments"; the two reserved bits are left out.
const IPV6_FRAGMENT_MASK: u16 = 0xfff9;

/// An Ethernet header with up to two VLAN tags, as far as steering is concerned.
pub(super) struct LinkLayer {
    /// The type behind the tags; a third tag is not read, its type stands here.
    pub(super) ethertype: EtherType,
    /// The outer tag's VLAN if it is a customer tag; 0 without a tag, for a service tag and for a priority tag.
    pub(super) vlan_id: u16,
    /// Base: the frame's first byte.
    pub(super) payload_offset: usize,
}

impl LinkLayer {
    #[inline(always)]
    pub(super) fn parse(frame: &impl PacketView) -> Result<Self, Stat> {
        let ethertype = ethertype_before(frame, ETHERNET_BYTES)?;
        if !is_tag(ethertype) {
            return Ok(Self { ethertype, vlan_id: 0, payload_offset: ETHERNET_BYTES });
        }
        let is_customer = ethertype == EtherType::VLAN;
        let vlan_id = read::<U16>(frame, ETHERNET_BYTES)?.get() & VLAN_ID_MASK;
        let vlan_id = if is_customer { vlan_id } else { 0 };
        let inner_offset = ETHERNET_BYTES + VLAN_TAG_BYTES;
        let ethertype = ethertype_before(frame, inner_offset)?;
        if !is_tag(ethertype) {
            return Ok(Self { ethertype, vlan_id, payload_offset: inner_offset });
        }
        let payload_offset = inner_offset + VLAN_TAG_BYTES;
        let ethertype = ethertype_before(frame, payload_offset)?;
        Ok(Self { ethertype, vlan_id, payload_offset })
    }
}

/// An IP packet as far as steering is concerned.
#[derive(Clone, Copy)]
pub(super) struct IpPacket<Key> {
    /// Addresses and protocol; ports 0.
    pub(super) key: Key,
    /// What the payload is; of the whole packet's payload where `is_fragment` is set.
    pub(super) protocol: u8,
    /// Part of a bigger packet, the first part included.
    pub(super) is_fragment: bool,
    /// Base: the frame's first byte.
    pub(super) payload_offset: usize,
}

impl IpPacket<EndpointV4> {
    /// Reads an IPv4 header and steps over its options.
    #[inline(always)]
    pub(super) fn parse_ipv4(frame: &impl PacketView, offset: usize) -> Result<Self, Stat> {
        let header: Ipv4Header = read(frame, offset)?;
        let header_bytes = usize::from(header.version_ihl & 0x0f) * 4;
        if header.version_ihl >> 4 != 4 || header_bytes < size_of::<Ipv4Header>() {
            return Err(Stat::PassMalformed);
        }
        Ok(Self {
            key: EndpointV4::new(header.protocol, header.destination, header.source),
            protocol: header.protocol,
            is_fragment: header.flags_fragment.get() & IPV4_FRAGMENT_MASK != 0,
            payload_offset: offset + header_bytes,
        })
    }
}

impl IpPacket<EndpointV6> {
    /// Reads an IPv6 header and steps over its extension headers.
    #[inline(always)]
    pub(super) fn parse_ipv6(frame: &impl PacketView, offset: usize) -> Result<Self, Stat> {
        let header: Ipv6Header = read(frame, offset)?;
        if header.version_class_flow.get() >> 28 != 6 {
            return Err(Stat::PassMalformed);
        }
        let upper = skip_extensions(frame, header.next_header, offset + size_of::<Ipv6Header>())?;
        Ok(Self {
            key: EndpointV6::new(upper.protocol, header.destination, header.source),
            protocol: upper.protocol,
            is_fragment: upper.is_fragment,
            payload_offset: upper.payload_offset,
        })
    }
}

/// What stands behind the extension headers.
struct Upper {
    protocol: u8,
    is_fragment: bool,
    payload_offset: usize,
}

#[inline(always)]
fn skip_extensions(frame: &impl PacketView, next_header: u8, offset: usize) -> Result<Upper, Stat> {
    let mut upper = Upper { protocol: next_header, is_fragment: false, payload_offset: offset };
    for _ in 0..EXTENSIONS_MAX {
        match upper.protocol {
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS => {
                let [next, units]: [u8; 2] = read(frame, upper.payload_offset)?;
                upper.protocol = next;
                upper.payload_offset += (usize::from(units) + 1) * 8;
            }
            NEXT_FRAGMENT => {
                let header: FragmentHeader = read(frame, upper.payload_offset)?;
                upper.protocol = header.next_header;
                upper.payload_offset += size_of::<FragmentHeader>();
                // An atomic fragment (RFC 6946) has neither offset nor successors: it is a whole packet.
                upper.is_fragment = header.offset_flags.get() & IPV6_FRAGMENT_MASK != 0;
                if upper.is_fragment {
                    return Ok(upper);
                }
            }
            _ => return Ok(upper),
        }
    }
    match upper.protocol {
        NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS | NEXT_FRAGMENT => {
            Err(Stat::PassDeepHeaders)
        }
        _ => Ok(upper),
    }
}

/// The header at `offset`; a frame that ends inside it is the kernel's.
#[inline(always)]
pub(super) fn read<Header: FromBytes + Unaligned>(
    frame: &impl PacketView,
    offset: usize,
) -> Result<Header, Stat> {
    frame.read(offset).ok_or(Stat::PassTruncated)
}

/// The type in the last two bytes in front of `end_offset`: of an Ethernet header or a VLAN tag that ends there.
#[inline(always)]
fn ethertype_before(frame: &impl PacketView, end_offset: usize) -> Result<EtherType, Stat> {
    let value: U16 = read(frame, end_offset - size_of::<U16>())?;
    Ok(EtherType(value.get()))
}

#[inline(always)]
fn is_tag(ethertype: EtherType) -> bool {
    matches!(ethertype, EtherType::VLAN | EtherType::SERVICE_VLAN)
}
