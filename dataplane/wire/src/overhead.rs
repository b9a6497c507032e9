//! Every length, headroom and MTU number of the gateway, with its arithmetic.
//!
//! Place on the path: sizes chunk headroom and encap templates; the control plane derives and checks MTUs with it.
//! Not in it: ESP, whose share depends on cipher and padding.

use crate::ethernet::EthernetHeader;
use crate::ipv4::Ipv4Header;
use crate::ipv6::Ipv6Header;
use crate::l2tpv3::{Encap, MAX_DATA_HEADER_BYTES, SessionHeader, Sublayer};
use crate::udp::UdpHeader;

/// Ethernet header: two addresses and the EtherType. Units: bytes.
pub const ETHERNET_BYTES: usize = size_of::<EthernetHeader>();
/// One VLAN tag. Units: bytes.
pub const VLAN_TAG_BYTES: usize = 4;
/// IPv4 header without options. Units: bytes.
pub const IPV4_BYTES: usize = size_of::<Ipv4Header>();
/// IPv6 header without extension headers. Units: bytes.
pub const IPV6_BYTES: usize = size_of::<Ipv6Header>();
/// UDP header. Units: bytes.
pub const UDP_BYTES: usize = size_of::<UdpHeader>();
/// Shortest Ethernet frame without FCS; shorter ones are padded on the wire. Units: bytes.
pub const ETHERNET_MIN_BYTES: usize = 60;
/// Room the kernel leaves in front of a received frame (`XDP_PACKET_HEADROOM`). Units: bytes.
pub const XDP_HEADROOM_BYTES: usize = 256;

/// Longest outer header that the encap stage writes.
///
/// ```text
///   14  Ethernet
/// +  8  two VLAN tags of the underlay
/// + 40  IPv6
/// +  8  UDP
/// +  4  L2TPv3 flags and version
/// +  4  session id
/// +  8  cookie
/// +  4  sublayer
/// = 90
/// ```
///
/// Units: bytes.
pub const WORST_ENCAP_BYTES: usize =
    ETHERNET_BYTES + 2 * VLAN_TAG_BYTES + IPV6_BYTES + UDP_BYTES + MAX_DATA_HEADER_BYTES;

/// Headroom to keep in front of every frame: [`WORST_ENCAP_BYTES`] rounded up to a multiple of 32, so that
/// a template is copied in whole vector registers. 90 -> 96; the 6 bytes over it also take one pushed inner tag.
///
/// Units: bytes.
pub const MAX_ENCAP_BYTES: usize = WORST_ENCAP_BYTES.next_multiple_of(32);

const _: () = assert!(WORST_ENCAP_BYTES == 90 && MAX_ENCAP_BYTES == 96);
const _: () = assert!(WORST_ENCAP_BYTES + VLAN_TAG_BYTES <= MAX_ENCAP_BYTES);
const _: () = assert!(MAX_ENCAP_BYTES <= XDP_HEADROOM_BYTES);

/// IP version of the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IpFamily {
    /// IPv4, without options.
    V4,
    /// IPv6, without extension headers.
    V6,
}

impl IpFamily {
    /// Length of the IP header. Units: bytes.
    #[must_use]
    #[inline]
    pub const fn header_bytes(self) -> usize {
        match self {
            Self::V4 => IPV4_BYTES,
            Self::V6 => IPV6_BYTES,
        }
    }
}

/// What a session adds to an inner frame to make it an IP packet: the packet's length minus the frame's.
///
/// `cookie_bytes` is the length of the cookie that is *sent*. Units: bytes. Range: 24..=68.
#[must_use]
#[inline]
pub const fn encap_bytes(family: IpFamily, encap: Encap, cookie_bytes: usize, sublayer: Sublayer) -> usize {
    family.header_bytes()
        + encap.len_bytes()
        + size_of::<SessionHeader>()
        + cookie_bytes
        + sublayer.len_bytes()
}

/// Largest IP packet inside the pseudowire that an underlay path of `path_mtu` carries unfragmented; 0 if none.
///
/// `encap_bytes` comes from [`encap_bytes()`]; `inner_tags` counts the VLAN tags of the inner frame. Units: bytes.
#[must_use]
#[inline]
pub const fn inner_mtu(path_mtu: usize, encap_bytes: usize, inner_tags: usize) -> usize {
    path_mtu.saturating_sub(
        encap_bytes.saturating_add(ETHERNET_BYTES).saturating_add(inner_tags.saturating_mul(VLAN_TAG_BYTES)),
    )
}

/// Underlay path MTU needed to carry inner IP packets of `inner_mtu` unfragmented: the reverse of [`inner_mtu()`].
///
/// Units: bytes.
#[must_use]
#[inline]
pub const fn path_mtu(inner_mtu: usize, encap_bytes: usize, inner_tags: usize) -> usize {
    inner_mtu
        .saturating_add(encap_bytes)
        .saturating_add(ETHERNET_BYTES)
        .saturating_add(inner_tags.saturating_mul(VLAN_TAG_BYTES))
}

/// Longest frame, FCS excluded, of a link with the given MTU and number of tags. Units: bytes.
#[must_use]
#[inline]
pub const fn frame_bytes(mtu: usize, tags: usize) -> usize {
    mtu.saturating_add(ETHERNET_BYTES).saturating_add(tags.saturating_mul(VLAN_TAG_BYTES))
}

#[cfg(test)]
mod tests;
