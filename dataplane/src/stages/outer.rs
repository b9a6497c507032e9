//! outer: the headers of the routed network around a tunnel's packet, either IP version.
//!
//! ```text
//! | Ethernet, tags | IPv4, options      |       |
//! | Ethernet, tags | IPv6, extensions   | (UDP) | L2TPv3 packet | padding |
//!  \____________________ read ___________________/                \_ cut __/
//! ```
//! Place on the path: first part of `decap`. From here on a packet is an [`Endpoint`] and an L2TPv3 packet, whatever carried
//! it. Deliberately not here: which endpoint belongs to a session; packets in several chunks, which `outer_chained` reads; what
//! becomes of fragments ([`super::reassemble`]).

use wire::{
    checksum::Sum,
    ethernet::{self, EtherType, EthernetError},
    ip_options::{self, IpOptionsError},
    ipv4::{self, Ipv4Error, Ipv4Header},
    ipv6::{self, Ipv6Error, Ipv6Header},
    udp::{self, UdpError},
};

use crate::{tables::sessions::Endpoint, verdict::DropReason};

/// A packet without its outer headers.
pub(super) struct Outer<'a> {
    /// Addresses, protocol and ports.
    pub(super) endpoint: Endpoint,
    /// The L2TPv3 packet: payload of UDP or of IP protocol 115; its front, when it goes on behind the head of its frame.
    pub(super) payload: &'a [u8],
    /// How much of it is behind the head. Units: bytes.
    pub(super) beyond: usize,
    /// A UDP packet whose checksum is zero: over IPv6 only a tunnel that opted in may take it (RFC 6935 §5).
    pub(super) lacks_checksum: bool,
}

/// Checks a packet's outer headers, from the outside in. `None`: it is a fragment, of whatever protocol.
///
/// # Errors
/// The reason to drop it for.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Result<Option<Outer<'_>>, DropReason> {
    let link = ethernet::read(bytes)?;
    match link.ethertype {
        EtherType::IPV4 => read_ipv4(link.payload),
        EtherType::IPV6 => read_ipv6(link.payload),
        _ => Err(DropReason::NotIp),
    }
}

#[inline]
fn read_ipv4(packet: &[u8]) -> Result<Option<Outer<'_>>, DropReason> {
    let (header, options, payload) = ipv4::split(packet)?;
    ipv4::verify_checksum(header, options)?;
    if !options.is_empty() {
        check_options(options)?;
    }
    if header.is_fragment() {
        return Ok(None);
    }
    transport(endpoint_v4(header), payload, |length| header.pseudo_header(length)).map(Some)
}

/// Refuses options that must not be stepped over. Out of line: options are rare.
///
/// # Errors
/// [`DropReason::IpOptions`], [`DropReason::IpMalformed`].
#[cold]
#[inline(never)]
pub(super) fn check_options(options: &[u8]) -> Result<(), DropReason> {
    Ok(ip_options::check_ipv4(options)?)
}

/// Addresses and protocol of an IPv4 header.
#[inline]
pub(super) fn endpoint_v4(header: &Ipv4Header) -> Endpoint {
    Endpoint {
        local: Endpoint::map_v4(header.destination),
        remote: Endpoint::map_v4(header.source),
        local_port: 0,
        remote_port: 0,
        protocol: header.protocol,
    }
}

/// Out of the IPv4 path's way: most underlays are IPv4.
fn read_ipv6(packet: &[u8]) -> Result<Option<Outer<'_>>, DropReason> {
    let (header, payload) = ipv6::split(packet)?;
    let upper = ipv6::upper_layer(header, payload)?;
    ip_options::check_ipv6(header, payload)?;
    if upper.is_fragment() {
        return Ok(None);
    }
    let pseudo = |length| header.pseudo_header(upper.protocol, u32::from(length));
    transport(endpoint_v6(header, upper.protocol)?, upper.payload, pseudo).map(Some)
}

/// Addresses of an IPv6 header, and the protocol behind its extension headers.
///
/// # Errors
/// [`DropReason::IpMalformed`] for addresses that stand for IPv4 ones.
pub(super) fn endpoint_v6(header: &Ipv6Header, protocol: u8) -> Result<Endpoint, DropReason> {
    Ok(Endpoint {
        local: Endpoint::v6(header.destination).ok_or(DropReason::IpMalformed)?,
        remote: Endpoint::v6(header.source).ok_or(DropReason::IpMalformed)?,
        local_port: 0,
        remote_port: 0,
        protocol,
    })
}

/// Takes the UDP header off, where there is one. `pseudo` gives the pseudo-header's sum for a UDP length.
#[inline]
fn transport(
    mut endpoint: Endpoint,
    payload: &[u8],
    pseudo: impl FnOnce(u16) -> Sum,
) -> Result<Outer<'_>, DropReason> {
    match endpoint.protocol {
        ipv4::PROTOCOL_L2TP => Ok(Outer { endpoint, payload, beyond: 0, lacks_checksum: false }),
        ipv4::PROTOCOL_UDP => {
            let (udp, payload) = udp::split(payload)?;
            endpoint.local_port = udp.destination_port.get();
            endpoint.remote_port = udp.source_port.get();
            udp::verify_checksum(udp, payload, pseudo(udp.length.get()))?;
            Ok(Outer { endpoint, payload, beyond: 0, lacks_checksum: !udp.has_checksum() })
        }
        _ => Err(DropReason::NotTunnelProtocol),
    }
}

impl From<EthernetError> for DropReason {
    fn from(_: EthernetError) -> Self {
        Self::EthernetMalformed
    }
}

impl From<Ipv4Error> for DropReason {
    fn from(error: Ipv4Error) -> Self {
        match error {
            Ipv4Error::Checksum => Self::IpChecksum,
            _ => Self::IpMalformed,
        }
    }
}

impl From<Ipv6Error> for DropReason {
    fn from(_: Ipv6Error) -> Self {
        Self::IpMalformed
    }
}

impl From<IpOptionsError> for DropReason {
    fn from(error: IpOptionsError) -> Self {
        match error {
            IpOptionsError::Malformed => Self::IpMalformed,
            IpOptionsError::SourceRoute | IpOptionsError::Unknown => Self::IpOptions,
        }
    }
}

impl From<UdpError> for DropReason {
    fn from(error: UdpError) -> Self {
        match error {
            UdpError::Checksum => Self::UdpChecksum,
            _ => Self::UdpMalformed,
        }
    }
}
