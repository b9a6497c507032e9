//! Whole frames for tests, benches and generators: Ethernet, tags, IPv4 or IPv6, UDP or a bare protocol, L2TPv3.
//!
//! Place on the path: none; the encap stage copies templates instead. Everything is written into the caller's
//! buffer, lengths and checksums filled in, and the used length returned.
//!
//! ```
//! use wire::build::{self, FrameSpec, Transport};
//! use wire::l2tpv3::{Cookie, DataHeader, SessionId, Sublayer};
//!
//! let mut inner = [0; 128];
//! let lan = FrameSpec { transport: Transport::udp(4000, 5000), ..FrameSpec::default() };
//! let inner_bytes = build::frame(&mut inner, &lan, &[b"hello"])?;
//!
//! let wan = FrameSpec { transport: Transport::udp(5001, 6001), ..FrameSpec::default() };
//! let header = DataHeader::new(SessionId::new(1000).unwrap(), Cookie::NONE, Sublayer::Default);
//! let mut outer = [0; 256];
//! let outer_bytes = build::l2tp_frame(&mut outer, &wan, &header, &inner[..inner_bytes])?;
//! assert_eq!(outer_bytes, 14 + 20 + 8 + 4 + 4 + 4 + inner_bytes);
//! # Ok::<(), build::BuildError>(())
//! ```

use crate::checksum::Sum;
use crate::ethernet::{EtherType, EthernetError, EthernetHeader, MacAddr, VlanTag};
use crate::ipv4::{Ipv4Error, Ipv4Header, PROTOCOL_L2TP, PROTOCOL_UDP};
use crate::ipv6::{Ipv6Error, Ipv6Header};
use crate::l2tpv3::{DataHeader, Encap, L2tpError, MAX_DATA_HEADER_BYTES};
use crate::udp::{UdpError, UdpHeader};
use core::net::{IpAddr, Ipv4Addr};
use zerocopy::byteorder::network_endian::U16;

/// A frame to build, without its payload.
#[derive(Clone, Copy, Debug)]
pub struct FrameSpec<'a> {
    /// Destination MAC address.
    pub destination: MacAddr,
    /// Source MAC address.
    pub source: MacAddr,
    /// VLAN tags, outer first.
    pub tags: &'a [VlanTag],
    /// Source IP address.
    pub source_ip: IpAddr,
    /// Destination IP address; of the same family as `source_ip`.
    pub destination_ip: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IPv4 identification; not used with IPv6.
    pub identification: u16,
    /// What follows the IP header.
    pub transport: Transport,
}

/// What follows the IP header of a built frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A UDP header.
    Udp {
        /// Source port.
        source_port: u16,
        /// Destination port.
        destination_port: u16,
        /// Fill in the checksum; otherwise it is 0.
        checksum: bool,
    },
    /// Nothing: the payload itself is of this IP protocol.
    Protocol(u8),
}

impl Transport {
    /// L2TPv3 directly over IP.
    pub const L2TP_IP: Self = Self::Protocol(PROTOCOL_L2TP);

    /// UDP with checksum.
    #[must_use]
    pub const fn udp(source_port: u16, destination_port: u16) -> Self {
        Self::Udp { source_port, destination_port, checksum: true }
    }

    /// UDP without checksum, as the kernel's L2TP sends it over IPv4 by default.
    #[must_use]
    pub const fn udp_unchecked(source_port: u16, destination_port: u16) -> Self {
        Self::Udp { source_port, destination_port, checksum: false }
    }

    const fn protocol(self) -> u8 {
        match self {
            Self::Udp { .. } => PROTOCOL_UDP,
            Self::Protocol(protocol) => protocol,
        }
    }

    const fn header_bytes(self) -> usize {
        match self {
            Self::Udp { .. } => size_of::<UdpHeader>(),
            Self::Protocol(_) => 0,
        }
    }
}

impl Default for FrameSpec<'_> {
    /// Between two local stations and documentation addresses, UDP port 9, TTL 64.
    fn default() -> Self {
        Self {
            destination: MacAddr([2, 0, 0, 0, 0, 2]),
            source: MacAddr([2, 0, 0, 0, 0, 1]),
            tags: &[],
            source_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            destination_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
            ttl: 64,
            identification: 0,
            transport: Transport::udp(9, 9),
        }
    }
}

/// Builds a frame whose payload is `parts` one after the other; returns its length in bytes.
///
/// No padding is added to short frames.
///
/// # Errors
///
/// [`BuildError`]; `out` may then be partly written.
pub fn frame(out: &mut [u8], spec: &FrameSpec<'_>, parts: &[&[u8]]) -> Result<usize, BuildError> {
    let room = out.len();
    let payload_bytes = parts.iter().fold(0_usize, |total, part| total.saturating_add(part.len()));
    let ethertype = if spec.source_ip.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
    let ethernet = EthernetHeader::new(spec.destination, spec.source, ethertype);
    let rest = ethernet.write_tagged(spec.tags, out)?;
    let segment_bytes = payload_bytes.saturating_add(spec.transport.header_bytes());
    let (pseudo, rest) = write_ip(spec, segment_bytes, rest)?;
    let header_bytes = spec.transport.header_bytes();
    let (header, rest) = rest.split_at_mut_checked(header_bytes).ok_or(BuildError::NoRoom)?;
    let (payload, unused) = rest.split_at_mut_checked(payload_bytes).ok_or(BuildError::NoRoom)?;
    write_parts(parts, payload)?;
    if let Transport::Udp { source_port, destination_port, checksum } = spec.transport {
        let mut udp = UdpHeader::new(source_port, destination_port, payload_bytes)?;
        if checksum {
            udp.seal(payload, pseudo);
        }
        udp.write(header)?;
    }
    Ok(room.saturating_sub(unused.len()))
}

/// Builds an outer frame that carries `inner` in an L2TPv3 data packet; returns its length in bytes.
///
/// With [`Transport::Udp`] the packet is L2TPv3 over UDP, otherwise over IP.
///
/// # Errors
///
/// [`BuildError`]; `out` may then be partly written.
pub fn l2tp_frame(
    out: &mut [u8],
    spec: &FrameSpec<'_>,
    header: &DataHeader,
    inner: &[u8],
) -> Result<usize, BuildError> {
    let encap = match spec.transport {
        Transport::Udp { .. } => Encap::Udp,
        Transport::Protocol(_) => Encap::Ip,
    };
    let mut bytes = [0; MAX_DATA_HEADER_BYTES];
    header.write(encap, &mut bytes)?;
    let written = bytes.get(..header.len_bytes(encap)).ok_or(BuildError::NoRoom)?;
    frame(out, spec, &[written, inner])
}

/// Writes the IP header; gives the pseudo-header sum for the transport header and what is left of `out`.
fn write_ip<'b>(
    spec: &FrameSpec<'_>,
    segment_bytes: usize,
    out: &'b mut [u8],
) -> Result<(Sum, &'b mut [u8]), BuildError> {
    let protocol = spec.transport.protocol();
    let length = u16::try_from(segment_bytes).map_err(|_| BuildError::TooLong)?;
    match (spec.source_ip, spec.destination_ip) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = Ipv4Header::new(source.octets(), destination.octets(), protocol, segment_bytes)?;
            header.ttl = spec.ttl;
            header.identification = U16::new(spec.identification);
            header.seal(&[]);
            Ok((header.pseudo_header(length), header.write(&[], out)?))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = Ipv6Header::new(source.octets(), destination.octets(), protocol, segment_bytes)?;
            header.hop_limit = spec.ttl;
            Ok((header.pseudo_header(protocol, u32::from(length)), header.write(out)?))
        }
        _ => Err(BuildError::MixedFamilies),
    }
}

/// Copies `parts` one after the other into `out`, which has exactly their length.
fn write_parts(parts: &[&[u8]], mut out: &mut [u8]) -> Result<(), BuildError> {
    for part in parts {
        let (slot, rest) = out.split_at_mut_checked(part.len()).ok_or(BuildError::NoRoom)?;
        slot.copy_from_slice(part);
        out = rest;
    }
    Ok(())
}

wire_error! {
    /// Why a frame cannot be built.
    pub enum BuildError {
        /// The buffer is too short.
        NoRoom => "no room for the frame",
        /// A length field cannot hold the length.
        TooLong => "frame is too long for its length fields",
        /// One IP address is IPv4, the other IPv6.
        MixedFamilies => "source and destination ip address are of different families",
    }
}

impl From<EthernetError> for BuildError {
    fn from(_: EthernetError) -> Self {
        Self::NoRoom
    }
}

impl From<Ipv4Error> for BuildError {
    fn from(error: Ipv4Error) -> Self {
        if error == Ipv4Error::TooLong { Self::TooLong } else { Self::NoRoom }
    }
}

impl From<Ipv6Error> for BuildError {
    fn from(error: Ipv6Error) -> Self {
        if error == Ipv6Error::TooLong { Self::TooLong } else { Self::NoRoom }
    }
}

impl From<UdpError> for BuildError {
    fn from(error: UdpError) -> Self {
        if error == UdpError::TooLong { Self::TooLong } else { Self::NoRoom }
    }
}

impl From<L2tpError> for BuildError {
    fn from(_: L2tpError) -> Self {
        Self::NoRoom
    }
}

#[cfg(test)]
mod tests;
