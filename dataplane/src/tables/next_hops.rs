//! Next hops: what stands in front of a frame that leaves by a pseudowire, ready to copy.
//!
//! ```text
//!  template, 96 bytes, right-aligned: one copy of fixed size ends where the frame starts
//! +---------+----------+------+------+-----+------------+--------+----------+
//! | unused  | Ethernet | VLAN |  IP  | UDP | session id | cookie | sublayer | frame ...
//! +---------+----------+------+------+-----+------------+--------+----------+
//!           |<------------------ encap_bytes ------------------------------>|
//! ```
//! Place on the path: built by the main thread whenever route, neighbour, link or configuration change; copied by `encap`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use wire::{
    checksum::{self, Sum},
    ethernet::{EtherType, EthernetHeader, MacAddr, VlanTag},
    ipv4::{FLAG_DONT_FRAGMENT, Ipv4Header, PROTOCOL_L2TP, PROTOCOL_UDP},
    ipv6::{FRAGMENT_HEADER_BYTES, Ipv6Header},
    l2tpv3::{self, Cookie, DataHeader, SessionId, Sublayer},
    overhead::{IpFamily, MAX_ENCAP_BYTES},
    udp::UdpHeader,
};
use zerocopy::{IntoBytes, network_endian::U16};

use super::{
    PortId,
    checksum_offload::Offload,
    oversize::{Fragmentation, MssClamp, MssLimit},
    quick_headers::QuickHeaders,
    session_state::SessionState,
};
use crate::{
    counters::{PerWorker, SessionCounters},
    reassembly::FRAGMENTS_PER_PACKET,
};

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

/// Addresses of the outer IP header, both of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterAddresses {
    /// IPv4.
    V4 {
        /// Source: ours.
        local: Ipv4Addr,
        /// Destination: the peer's.
        remote: Ipv4Addr,
    },
    /// IPv6.
    V6 {
        /// Source: ours.
        local: Ipv6Addr,
        /// Destination: the peer's.
        remote: Ipv6Addr,
    },
}

/// L2TPv3 encapsulation. Byte order: host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encap {
    /// Directly over IP, protocol 115.
    Ip,
    /// Over UDP.
    Udp {
        /// Source port, ours.
        local_port: u16,
        /// Destination port, the peer's.
        remote_port: u16,
        /// Whether packets get a UDP checksum, which is a pass over every byte. Off it is 0 on the wire: allowed for data
        /// over IPv4 (RFC 3931 §4.1.2.2; `ip l2tp`: `udp_csum`), over IPv6 where the peer agrees (RFC 6935; `udp6_csum_tx`).
        checksum: bool,
    },
}

/// Outer IP header fields that the user chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterFields {
    /// IPv4 time to live or IPv6 hop limit. Range: 1..=255.
    pub hop_limit: u8,
    /// DSCP and ECN: IPv4 type of service or IPv6 traffic class.
    pub traffic_class: u8,
    /// Bits of the class that are taken from the IP packet in the frame instead; 0 for frames without one.
    pub copied_class: u8,
    /// IPv4 "don't fragment"; IPv6 has no such bit, its routers never fragment.
    pub dont_fragment: bool,
}

impl Default for OuterFields {
    /// What the kernel's `l2tp_eth` sends: 64 hops, class 0, DF clear (`ip_queue_xmit` with `ignore_df`).
    fn default() -> Self {
        Self { hop_limit: 64, traffic_class: 0, copied_class: 0, dont_fragment: false }
    }
}

/// How outer packets are cut into fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Headers in front of the IP header. Units: bytes.
    pub(crate) link_bytes: usize,
    /// Payload of each fragment but the last. A multiple of 8, not 0. Units: bytes.
    pub(crate) piece_bytes: usize,
}

/// What the peer expects of a session's packets, and what the user chose for them.
#[derive(Clone, Copy, Debug)]
pub struct TxParameters {
    /// Outer addresses.
    pub addresses: OuterAddresses,
    /// Encapsulation.
    pub encap: Encap,
    /// Outer header fields.
    pub fields: OuterFields,
    /// The id the peer chose (`ip l2tp`: `peer_session_id`).
    pub tx_session_id: SessionId,
    /// The cookie the peer chose (`ip l2tp`: `cookie`).
    pub tx_cookie: Cookie,
    /// The sublayer the peer expects.
    pub sublayer: Sublayer,
    /// What becomes of frames that do not fit the path. With [`OuterFields::dont_fragment`] outer packets are never cut.
    pub fragmentation: Fragmentation,
    /// What is done so that TCP does not send such frames.
    pub mss_clamp: MssClamp,
}

impl TxParameters {
    /// Payload of an outer fragment that others follow, for a path; 0: packets are not cut. Units: bytes.
    fn piece_bytes(&self, path_mtu_bytes: usize) -> u16 {
        if self.fragmentation != Fragmentation::Outer || self.fields.dont_fragment {
            return 0;
        }
        let header_bytes = match self.addresses {
            OuterAddresses::V4 { .. } => IpFamily::V4.header_bytes(),
            OuterAddresses::V6 { .. } => IpFamily::V6.header_bytes() + FRAGMENT_HEADER_BYTES,
        };
        u16::try_from(path_mtu_bytes.saturating_sub(header_bytes)).unwrap_or(u16::MAX) / 8 * 8
    }

    /// A session without cookie and sublayer, in headers as the kernel sends them.
    #[must_use]
    pub fn plain(addresses: OuterAddresses, encap: Encap, tx_session_id: SessionId) -> Self {
        Self {
            addresses,
            encap,
            fields: OuterFields::default(),
            tx_session_id,
            tx_cookie: Cookie::NONE,
            sublayer: Sublayer::None,
            fragmentation: Fragmentation::default(),
            mss_clamp: MssClamp::default(),
        }
    }
}

/// What `encap` fills in of the outer IP header, frame by frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IpPatch {
    /// Total length, identification and checksum, from the sum of the header with these three zero.
    V4(Sum),
    /// Payload length.
    V6,
}

/// What `encap` fills in of the UDP header, frame by frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UdpPatch {
    /// There is no UDP header.
    Absent,
    /// Length; the checksum stays 0.
    Length,
    /// Length and checksum.
    Checksum {
        /// Sum of pseudo-header and header with both lengths and the checksum zero.
        whole: Sum,
        /// That of the pseudo-header alone.
        pseudo: Sum,
    },
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
    pub(crate) ip: IpPatch,
    pub(crate) udp: UdpPatch,
    /// For packets that leave whole: in place of a checksum in `udp`.
    pub(crate) offload: Option<Offload>,
    /// For frames that fit whole: all there is to do; `None`: there is more.
    pub(crate) quick: Option<QuickHeaders>,
    /// Bits of the outer class that come from the frame, zero in the template.
    pub(crate) copied_class: u8,
    /// Where the number of the next packet is; `None`: packets are not numbered.
    pub(crate) sequence: Option<Arc<SessionState>>,
    has_sublayer: bool,
    pub(crate) port: PortId,
    /// Largest frame that fits the path whole. Units: bytes.
    pub(crate) max_frame_bytes: usize,
    /// Largest frame that is sent at all. Units: bytes.
    pub(crate) max_sent_bytes: usize,
    /// Payload of an outer fragment that others follow; 0: packets are not cut. Units: bytes.
    piece_bytes: u16,
    fragmentation: Fragmentation,
    mss_limit: MssLimit,
    pub(crate) counters: PerWorker<SessionCounters>,
}

impl OuterAddresses {
    /// Two addresses; `None` when one is IPv4 and the other IPv6.
    #[must_use]
    pub const fn new(local: IpAddr, remote: IpAddr) -> Option<Self> {
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Some(Self::V4 { local, remote }),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Some(Self::V6 { local, remote }),
            _ => None,
        }
    }

    const fn ethertype(&self) -> EtherType {
        match self {
            Self::V4 { .. } => EtherType::IPV4,
            Self::V6 { .. } => EtherType::IPV6,
        }
    }

    const fn header_bytes(&self) -> usize {
        match self {
            Self::V4 { .. } => IpFamily::V4.header_bytes(),
            Self::V6 { .. } => IpFamily::V6.header_bytes(),
        }
    }
}

impl Encap {
    const fn wire(self) -> l2tpv3::Encap {
        match self {
            Self::Ip => l2tpv3::Encap::Ip,
            Self::Udp { .. } => l2tpv3::Encap::Udp,
        }
    }

    const fn protocol(self) -> u8 {
        match self {
            Self::Ip => PROTOCOL_L2TP,
            Self::Udp { .. } => PROTOCOL_UDP,
        }
    }

    /// The UDP header with length and checksum zero.
    fn udp(self) -> Option<UdpHeader> {
        match self {
            Self::Ip => None,
            Self::Udp { local_port, remote_port, .. } => Some(UdpHeader {
                source_port: U16::new(local_port),
                destination_port: U16::new(remote_port),
                length: U16::ZERO,
                checksum: U16::ZERO,
            }),
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
        let TxParameters { addresses, encap, fields, tx_session_id, tx_cookie, sublayer, .. } = *parameters;
        let data = DataHeader::new(tx_session_id, tx_cookie, sublayer);
        let link_bytes = hop.link_bytes();
        let udp = encap.udp();
        let udp_bytes = if udp.is_some() { size_of::<UdpHeader>() } else { 0 };
        let network_bytes = addresses.header_bytes() + udp_bytes + data.len_bytes(encap.wire());
        let encap_bytes = link_bytes + network_bytes;
        let mut template = [0; MAX_ENCAP_BYTES];
        let (_, headers) = template.split_at_mut(MAX_ENCAP_BYTES - encap_bytes);
        let link = EthernetHeader::new(hop.dst_mac, hop.src_mac, addresses.ethertype());
        let rest = link.write_tagged(hop.tags(), headers).expect("room for the Ethernet header");
        let (ip, pseudo, mut rest) =
            write_ip(&addresses, fields, encap.protocol(), rest).expect("room for the IP header");
        if let Some(udp) = &udp {
            rest = udp.write(rest).expect("room for the UDP header");
        }
        data.write(encap.wire(), rest).expect("room for the L2TPv3 header");
        let udp = match (udp, encap) {
            (Some(udp), Encap::Udp { checksum: true, .. }) => {
                UdpPatch::Checksum { whole: pseudo + checksum::sum(udp.as_bytes()), pseudo }
            }
            (Some(_), _) => UdpPatch::Length,
            (None, _) => UdpPatch::Absent,
        };
        let max_frame_bytes = hop.path_mtu_bytes.saturating_sub(network_bytes);
        let piece_bytes = parameters.piece_bytes(hop.path_mtu_bytes);
        let payload_bytes = usize::from(piece_bytes) * FRAGMENTS_PER_PACKET;
        let mss_limit = parameters.mss_clamp.limit(max_frame_bytes);
        let is_quick = fields.copied_class == 0 && mss_limit == MssLimit::Unlimited;
        let quick = QuickHeaders::new((ip, udp), encap_bytes, link_bytes, max_frame_bytes);
        let max_cut_bytes = (addresses.header_bytes() + payload_bytes).min(usize::from(u16::MAX));
        Self {
            template,
            encap_bytes,
            link_bytes,
            ip,
            udp,
            offload: None,
            quick: quick.filter(|_| is_quick),
            copied_class: fields.copied_class,
            sequence: None,
            has_sublayer: sublayer == Sublayer::Default,
            port: hop.port,
            max_frame_bytes,
            max_sent_bytes: max_frame_bytes.max(max_cut_bytes.saturating_sub(network_bytes)),
            piece_bytes,
            fragmentation: parameters.fragmentation,
            mss_limit,
            counters,
        }
    }

    /// The same with packets that are numbered (`ip l2tp`: `seq send`). As in the kernel, a session without sublayer has no
    /// place for numbers and sends none.
    #[must_use]
    pub fn numbered(self, state: Arc<SessionState>) -> Self {
        if !self.has_sublayer {
            return self;
        }
        Self { sequence: Some(state), quick: None, ..self }
    }

    /// The same over a port that fills in checksums. Packets have a sum of the pseudo-header only and ask for the rest, but for those
    /// that leave in fragments. A session without UDP checksum stays as it is.
    #[must_use]
    pub fn offloaded(self) -> Self {
        let UdpPatch::Checksum { pseudo, .. } = self.udp else { return self };
        let Some(offload) = Offload::new(self.udp_offset(), pseudo) else { return self };
        Self { offload: Some(offload), quick: self.quick.map(|quick| quick.offloaded(offload)), ..self }
    }

    /// Whether its packets leave their UDP checksum to the port.
    #[must_use]
    pub const fn is_offloaded(&self) -> bool {
        self.offload.is_some()
    }

    /// Where the UDP header is, if there is one. Units: bytes, from the front of the packet's frame.
    #[inline]
    pub(crate) const fn udp_offset(&self) -> usize {
        let family = match self.ip {
            IpPatch::V4(_) => IpFamily::V4,
            IpPatch::V6 => IpFamily::V6,
        };
        self.link_bytes + family.header_bytes()
    }

    /// The port its packets leave by.
    #[must_use]
    pub const fn port(&self) -> PortId {
        self.port
    }

    /// What stands in front of the outer IP header: Ethernet header and tag.
    #[must_use]
    pub fn link_header(&self) -> &[u8] {
        let start = MAX_ENCAP_BYTES.saturating_sub(self.encap_bytes);
        self.template.get(start..start + self.link_bytes).unwrap_or_default()
    }

    /// What stands between the link's header and the frame: IP, UDP and L2TPv3 headers, lengths and checksums not filled in.
    #[must_use]
    pub fn outer_header(&self) -> &[u8] {
        self.template.get(MAX_ENCAP_BYTES.saturating_sub(self.overhead_bytes())..).unwrap_or_default()
    }

    /// Bytes the outer IP packet has beyond the frame it carries.
    #[must_use]
    pub const fn overhead_bytes(&self) -> usize {
        self.encap_bytes - self.link_bytes
    }

    /// Largest inner Ethernet frame (without FCS) that fits the path whole. Units: bytes.
    #[must_use]
    pub const fn max_frame_bytes(&self) -> usize {
        self.max_frame_bytes
    }

    /// Largest inner Ethernet frame (without FCS) that is sent at all, in fragments if need be. Units: bytes.
    #[must_use]
    pub const fn max_sent_bytes(&self) -> usize {
        self.max_sent_bytes
    }

    /// How the packet of an inner frame of `frame_bytes` is cut; `None`: it fits whole, or is not sent.
    #[inline]
    pub(crate) const fn cut_for(&self, frame_bytes: usize) -> Option<Cut> {
        if frame_bytes <= self.max_frame_bytes || self.piece_bytes == 0 {
            return None;
        }
        Some(Cut { link_bytes: self.link_bytes, piece_bytes: self.piece_bytes as usize })
    }

    /// What becomes of frames that do not fit the path.
    #[must_use]
    pub const fn fragmentation(&self) -> Fragmentation {
        self.fragmentation
    }

    /// Largest segments that TCP connections through it may announce, in either direction: what one host announces, the
    /// other sends, and the path is taken to be the same both ways.
    #[must_use]
    #[inline]
    pub const fn mss_limit(&self) -> MssLimit {
        self.mss_limit
    }

    /// Its counters.
    #[must_use]
    pub const fn counters(&self) -> &PerWorker<SessionCounters> {
        &self.counters
    }
}

/// Writes the IP header of an empty packet. Gives what is to be patched in it, the sum of the pseudo-header without the
/// length, and the bytes behind it; `None` when `out` is too short.
fn write_ip<'b>(
    addresses: &OuterAddresses,
    fields: OuterFields,
    protocol: u8,
    out: &'b mut [u8],
) -> Option<(IpPatch, Sum, &'b mut [u8])> {
    match addresses {
        OuterAddresses::V4 { local, remote } => {
            let mut header = Ipv4Header::new(local.octets(), remote.octets(), protocol, 0).ok()?;
            header.ttl = fields.hop_limit;
            header.tos = fields.traffic_class & !fields.copied_class;
            header.flags_fragment = U16::new(if fields.dont_fragment { FLAG_DONT_FRAGMENT } else { 0 });
            let rest = header.write(&[], out).ok()?;
            Some((IpPatch::V4(header.template_sum()), header.pseudo_header(0), rest))
        }
        OuterAddresses::V6 { local, remote } => {
            let mut header = Ipv6Header::new(local.octets(), remote.octets(), protocol, 0).ok()?;
            header.hop_limit = fields.hop_limit;
            header.set_traffic_class(fields.traffic_class & !fields.copied_class);
            let rest = header.write(out).ok()?;
            Some((IpPatch::V6, header.pseudo_header(protocol, 0), rest))
        }
    }
}

#[cfg(test)]
mod tests;
