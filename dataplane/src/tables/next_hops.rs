//! Next hops: what stands in front of a frame that leaves by a pseudowire, ready to copy.
//!
//! ```text
//!  template, 96 bytes, right-aligned: one copy of fixed size ends where the frame starts
//! +---------+----------+------+------+-----+------------+--------+----------+
//! | unused  | Ethernet | VLAN | IPv4 | UDP | session id | cookie | sublayer | frame ...
//! +---------+----------+------+------+-----+------------+--------+----------+
//!           |<------------------ encap_bytes ------------------------------>|
//! ```
//! Place on the path: built by the main thread whenever route, neighbour, link or configuration change; copied by `encap`.

use std::net::Ipv4Addr;

use wire::{
    checksum::Sum,
    ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag},
    ipv4::{Ipv4Header, PROTOCOL_L2TP, PROTOCOL_UDP},
    l2tpv3::{self, Cookie, DataHeader, SessionId, Sublayer},
    overhead::MAX_ENCAP_BYTES,
    udp::UdpHeader,
};

use super::PortId;
use crate::counters::{PerWorker, SessionCounters};

/// How to reach the next router, or the peer itself when it is on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The underlay port that packets leave by.
    pub port: PortId,
    /// That port's address.
    pub src_mac: MacAddr,
    /// The next hop's address.
    pub dst_mac: MacAddr,
    /// Tag on the underlay link.
    pub vlan: Option<VlanTag>,
    /// Largest outer IP packet that the path carries. Units: bytes.
    pub path_mtu_bytes: usize,
}

/// L2TPv3 encapsulation. Byte order: host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encap {
    /// Directly over IP, protocol 115.
    Ip,
    /// Over UDP; checksum 0, as the kernel's default `udp_csum off` (RFC 3931 §4.1.2.2 leaves it to us for data).
    Udp {
        /// Source port, ours.
        local_port: u16,
        /// Destination port, the peer's.
        remote_port: u16,
    },
}

/// What the peer expects of a session's packets.
#[derive(Clone, Copy, Debug)]
pub struct TxParameters {
    /// Outer source address.
    pub local: Ipv4Addr,
    /// Outer destination address.
    pub remote: Ipv4Addr,
    /// Encapsulation.
    pub encap: Encap,
    /// The id the peer chose (`ip l2tp`: `peer_session_id`).
    pub tx_session_id: SessionId,
    /// The cookie the peer chose (`ip l2tp`: `cookie`).
    pub tx_cookie: Cookie,
    /// The sublayer the peer expects.
    pub sublayer: Sublayer,
}

/// The transmitting half of a session that is up.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct TxSession {
    pub(crate) template: [u8; MAX_ENCAP_BYTES],
    /// Headers in front of a frame. Units: bytes.
    pub(crate) encap_bytes: usize,
    /// Of those, the ones in front of the IP header. Units: bytes.
    pub(crate) link_bytes: usize,
    pub(crate) is_udp: bool,
    /// Sum of the IPv4 header with length, identification and checksum zero.
    pub(crate) header_sum: Sum,
    pub(crate) port: PortId,
    /// Largest frame that fits the path. Units: bytes.
    pub(crate) max_frame_bytes: usize,
    pub(crate) counters: PerWorker<SessionCounters>,
}

impl Encap {
    const fn wire(self) -> l2tpv3::Encap {
        match self {
            Self::Ip => l2tpv3::Encap::Ip,
            Self::Udp { .. } => l2tpv3::Encap::Udp,
        }
    }
}

impl NextHop {
    /// Tags on the underlay link.
    fn tags(&self) -> &[VlanTag] {
        self.vlan.as_slice()
    }

    /// Ethernet header and tags. Units: bytes.
    fn link_bytes(&self) -> usize {
        wire::overhead::frame_bytes(0, self.tags().len())
    }
}

impl TxSession {
    /// Prepares a session's headers.
    ///
    /// # Panics
    /// Never: every combination fits the template, which `wire::overhead` checks when it is compiled.
    #[must_use]
    pub fn new(hop: &NextHop, parameters: &TxParameters, counters: PerWorker<SessionCounters>) -> Self {
        let encap = parameters.encap.wire();
        let data = DataHeader::new(parameters.tx_session_id, parameters.tx_cookie, parameters.sublayer);
        let protocol = match parameters.encap {
            Encap::Ip => PROTOCOL_L2TP,
            Encap::Udp { .. } => PROTOCOL_UDP,
        };
        let ip = Ipv4Header::new(parameters.local.octets(), parameters.remote.octets(), protocol, 0)
            .expect("an empty payload fits");
        let link_bytes = hop.link_bytes();
        let network_bytes = size_of::<Ipv4Header>()
            + data.len_bytes(encap)
            + if encap == l2tpv3::Encap::Udp { size_of::<UdpHeader>() } else { 0 };
        let encap_bytes = link_bytes + network_bytes;
        let mut template = [0; MAX_ENCAP_BYTES];
        write_headers(&mut template[MAX_ENCAP_BYTES - encap_bytes..], hop, parameters, &ip, &data)
            .expect("the template has room for every header");
        Self {
            template,
            encap_bytes,
            link_bytes,
            is_udp: encap == l2tpv3::Encap::Udp,
            header_sum: ip.template_sum(),
            port: hop.port,
            max_frame_bytes: hop.path_mtu_bytes.saturating_sub(network_bytes),
            counters,
        }
    }

    /// The port its packets leave by.
    #[must_use]
    pub const fn port(&self) -> PortId {
        self.port
    }

    /// Bytes the outer IP packet has beyond the frame it carries.
    #[must_use]
    pub const fn overhead_bytes(&self) -> usize {
        self.encap_bytes - self.link_bytes
    }

    /// Largest inner Ethernet frame (without FCS) that fits the path. Units: bytes.
    #[must_use]
    pub const fn max_frame_bytes(&self) -> usize {
        self.max_frame_bytes
    }

    /// Its counters.
    #[must_use]
    pub const fn counters(&self) -> &PerWorker<SessionCounters> {
        &self.counters
    }
}

/// Writes all headers one behind the other; `None` when `out` is too short.
fn write_headers(
    out: &mut [u8],
    hop: &NextHop,
    parameters: &TxParameters,
    ip: &Ipv4Header,
    data: &DataHeader,
) -> Option<()> {
    let link = EthernetHeader::new(hop.dst_mac, hop.src_mac, EtherType::IPV4);
    let rest = link.write_tagged(hop.tags(), out).ok()?;
    let mut rest = ip.write(&[], rest).ok()?;
    if let Encap::Udp { local_port, remote_port } = parameters.encap {
        rest = UdpHeader::new(local_port, remote_port, 0).ok()?.write(rest).ok()?;
    }
    data.write(parameters.encap.wire(), rest).ok().map(|_| ())
}

#[cfg(test)]
mod tests;
