//! glance: the session of a packet and the flow of its inner frame, read and not checked.
//!
//! Place on the path: `spread` asks here for each packet. Nearly all are IPv4 without options and of the session of the packet before: what
//! tells that is read at fixed offsets and compared. Anything else is read header by header and looked up.

use wire::{
    ethernet::{self, EtherType, EthernetHeader},
    inner_flow,
    ipv4::{self, FLAG_DONT_FRAGMENT, Ipv4Header},
    ipv6::{self, Ipv6Header},
    l2tpv3::{self, SessionHeader, SessionId, UdpDataHeader},
    udp::UdpHeader,
};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::super::outer;
use crate::tables::{
    sessions::Endpoint,
    spreading::{Entry, Spreading},
};

/// Version 4 and a header of five words.
const V4_WITHOUT_OPTIONS: u8 = 0x45;

/// Ports, length and checksum of UDP. Units: bytes.
const UDP_BYTES: usize = 8;

/// A packet over IP, up to the session id.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct OverIp {
    link: EthernetHeader,
    ip: Ipv4Header,
    session: SessionHeader,
}

/// A packet over UDP, likewise.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct OverUdp {
    link: EthernetHeader,
    ip: Ipv4Header,
    udp: UdpHeader,
    flags: UdpDataHeader,
    session: SessionHeader,
}

/// All that tells an IPv4 packet's session, as it stands in the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    addresses: u64,
    /// Ports, or zeros over IP, and session id.
    ids: u64,
    protocol: u8,
}

/// The session of the packet before.
pub(super) struct Glance<'t> {
    spreading: &'t Spreading,
    key: Key,
    /// `None`: it is not spread.
    entry: Option<Entry>,
}

impl<'t> Glance<'t> {
    /// No packet came before.
    #[inline]
    pub(super) const fn new(spreading: &'t Spreading) -> Self {
        Self { spreading, key: Key { addresses: 0, ids: 0, protocol: 0 }, entry: None }
    }

    /// The session of a packet, and the hash of its inner flow. `None`: no packet of a spread session, a fragment, or nothing that `decap`
    /// would take.
    #[inline(always)]
    pub(super) fn flow(&mut self, head: &[u8]) -> Option<(Entry, u64)> {
        let Some((key, rest)) = plain(head) else { return self.flow_closely(head) };
        if key != self.key {
            self.turn_to(key, head);
        }
        let entry = self.entry?;
        Some((entry, inner_flow::hash(rest.get(entry.before_frame_bytes as usize..)?)))
    }

    /// Goes on with another session.
    #[inline(never)]
    fn turn_to(&mut self, key: Key, head: &[u8]) {
        self.entry = read(head).and_then(|(id, endpoint, _)| self.spreading.find(id, &endpoint));
        self.key = key;
    }

    /// The same for a packet that is not like nearly all others.
    #[inline(never)]
    fn flow_closely(&self, head: &[u8]) -> Option<(Entry, u64)> {
        let (session_id, endpoint, rest) = read(head)?;
        let entry = self.spreading.find(session_id, &endpoint)?;
        Some((entry, inner_flow::hash(rest.get(entry.before_frame_bytes as usize..)?)))
    }
}

/// What tells the session of an IPv4 packet without tag and options, and what follows its session id.
#[inline(always)]
fn plain(head: &[u8]) -> Option<(Key, &[u8])> {
    let (OverIp { link, ip, session }, rest) = OverIp::ref_from_prefix(head).ok()?;
    let is_plain = link.ethertype() == EtherType::IPV4
        && ip.version_ihl == V4_WITHOUT_OPTIONS
        && ip.flags_fragment.get() & !FLAG_DONT_FRAGMENT == 0;
    if !is_plain {
        return None;
    }
    let addresses = joined(ip.source, ip.destination);
    match ip.protocol {
        ipv4::PROTOCOL_L2TP => {
            let ids = joined([0; 4], session.session_id.to_bytes());
            Some((Key { addresses, ids, protocol: ipv4::PROTOCOL_L2TP }, rest))
        }
        ipv4::PROTOCOL_UDP => {
            let (OverUdp { udp, flags, session, .. }, rest) = OverUdp::ref_from_prefix(head).ok()?;
            let ([s0, s1], [d0, d1]) = (udp.source_port.to_bytes(), udp.destination_port.to_bytes());
            let ids = joined([s0, s1, d0, d1], session.session_id.to_bytes());
            flags.is_data().then_some((Key { addresses, ids, protocol: ipv4::PROTOCOL_UDP }, rest))
        }
        _ => None,
    }
}

#[inline]
const fn joined([a, b, c, d]: [u8; 4], [e, f, g, h]: [u8; 4]) -> u64 {
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// What tells a packet's session, and what follows its session id. `None`: a fragment, or nothing that `decap` would take.
#[inline]
fn read(head: &[u8]) -> Option<(SessionId, Endpoint, &[u8])> {
    let link = ethernet::read(head).ok()?;
    let (mut endpoint, payload) = match link.ethertype {
        EtherType::IPV4 => read_ipv4(link.payload)?,
        EtherType::IPV6 => read_ipv6(link.payload)?,
        _ => return None,
    };
    let (session_id, rest) = match endpoint.protocol {
        ipv4::PROTOCOL_L2TP => l2tpv3::split_ip(payload),
        ipv4::PROTOCOL_UDP => {
            let (&[s0, s1, d0, d1, _, _, _, _], payload) = payload.split_first_chunk::<UDP_BYTES>()?;
            endpoint.remote_port = u16::from_be_bytes([s0, s1]);
            endpoint.local_port = u16::from_be_bytes([d0, d1]);
            l2tpv3::split_udp(payload)
        }
        _ => return None,
    }
    .ok()?;
    Some((session_id, endpoint, rest))
}

#[inline]
fn read_ipv4(packet: &[u8]) -> Option<(Endpoint, &[u8])> {
    let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
    let payload = packet.get(header.header_bytes()..)?;
    (!header.is_fragment()).then(|| (outer::endpoint_v4(header), payload))
}

/// Out of the IPv4 path's way: most underlays are IPv4.
#[inline(never)]
fn read_ipv6(packet: &[u8]) -> Option<(Endpoint, &[u8])> {
    let (header, payload) = Ipv6Header::ref_from_prefix(packet).ok()?;
    let upper = ipv6::upper_layer(header, payload).ok()?;
    let endpoint = outer::endpoint_v6(header, upper.protocol).ok()?;
    (!upper.is_fragment()).then_some((endpoint, upper.payload))
}
