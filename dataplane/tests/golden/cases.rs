//! What the recorder configured in each case, and the engine's tables for the same.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use dataplane::tables::{
    attachment::Attachment,
    bridge_domains::{BridgeDomain, Circuit, DomainId, Member, MemberId},
    next_hops::{Encap, NextHop, OuterAddresses, TxParameters, TxSession},
    session_state::RxSequencing,
    sessions::{Endpoint, RxSession, SessionIndex, SessionTable},
    snapshot::{PortTable, Tables},
};
use wire::{
    ethernet::MacAddr,
    l2tpv3::{Cookie, SessionId, Sublayer},
};

use super::{
    captures::Side,
    rig::{LAN_0, Rig, WAN},
};

/// One case: what `ip l2tp` was told.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub is_udp: bool,
    /// Whether the underlay is IPv6.
    pub is_v6: bool,
    /// The cookie that a sends, and the one that b sends.
    pub cookies: [&'static [u8]; 2],
    pub sublayer: Sublayer,
    /// `udp_csum on`; over IPv6 `udp6_csum_tx on`, which is the default there.
    pub checksum: bool,
    /// `seq send`.
    pub sends_numbers: bool,
}

const NO_COOKIE: [&[u8]; 2] = [&[], &[]];
const COOKIE_4: [&[u8]; 2] = [&[0xA1, 0xB2, 0xC3, 0xD4], &[0x5E, 0x6F, 0x70, 0x81]];
const COOKIE_8: [&[u8]; 2] =
    [&[0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0x07, 0x18], &[0x0F, 0x1E, 0x2D, 0x3C, 0x4B, 0x5A, 0x69, 0x78]];

const fn udp(name: &'static str, cookies: [&'static [u8]; 2], sublayer: Sublayer) -> Case {
    Case { name, is_udp: true, is_v6: false, cookies, sublayer, checksum: false, sends_numbers: false }
}

const fn ip(name: &'static str, cookies: [&'static [u8]; 2], sublayer: Sublayer) -> Case {
    Case { is_udp: false, ..udp(name, cookies, sublayer) }
}

/// A case with cookies of 8 bytes over IPv6.
const fn v6(name: &'static str, is_udp: bool, checksum: bool) -> Case {
    Case { is_udp, is_v6: true, checksum, ..udp(name, COOKIE_8, Sublayer::Default) }
}

/// Cases in which the kernel writes nothing that the engine does not.
pub const PLAIN: [Case; 15] = [
    udp("udp-nocookie-default", NO_COOKIE, Sublayer::Default),
    udp("udp-nocookie-none", NO_COOKIE, Sublayer::None),
    udp("udp-cookie4-default", COOKIE_4, Sublayer::Default),
    udp("udp-cookie4-none", COOKIE_4, Sublayer::None),
    udp("udp-cookie8-default", COOKIE_8, Sublayer::Default),
    udp("udp-cookie8-none", COOKIE_8, Sublayer::None),
    ip("ip-nocookie-default", NO_COOKIE, Sublayer::Default),
    ip("ip-nocookie-none", NO_COOKIE, Sublayer::None),
    ip("ip-cookie4-default", COOKIE_4, Sublayer::Default),
    ip("ip-cookie4-none", COOKIE_4, Sublayer::None),
    ip("ip-cookie8-default", COOKIE_8, Sublayer::Default),
    ip("ip-cookie8-none", COOKIE_8, Sublayer::None),
    udp("udp-cookie4and8-default", [COOKIE_4[0], COOKIE_8[1]], Sublayer::Default),
    v6("udp6-cookie8-default", true, false),
    Case { sublayer: Sublayer::None, ..v6("ip6-cookie8-none", false, false) },
];

/// UDP checksums: with `udp_csum on`, and over IPv6.
pub const CHECKSUM: [Case; 2] = [
    Case { checksum: true, ..udp("udp-cookie4-default-checksum", COOKIE_4, Sublayer::Default) },
    v6("udp6-cookie8-default-checksum", true, true),
];

/// `seq send`.
pub const SEQUENCE: [Case; 4] = [
    Case { sends_numbers: true, ..udp("udp-nocookie-default-sequence", NO_COOKIE, Sublayer::Default) },
    Case { sends_numbers: true, ..ip("ip-cookie8-default-sequence", COOKIE_8, Sublayer::Default) },
    Case { sends_numbers: true, ..v6("udp6-cookie8-default-checksum-sequence", true, true) },
    Case { sends_numbers: true, ..v6("ip6-cookie8-default-sequence", false, false) },
];

/// One frame of 1514 bytes each way, which the underlay takes in fragments only.
pub const FRAGMENTS: [Case; 4] = [
    udp("udp-cookie8-default-fragments", COOKIE_8, Sublayer::Default),
    ip("ip-cookie8-default-fragments", COOKIE_8, Sublayer::Default),
    v6("udp6-cookie8-default-fragments", true, true),
    v6("ip6-cookie8-default-fragments", false, false),
];

/// Every case whose frames fit.
pub fn whole() -> impl Iterator<Item = Case> {
    PLAIN.into_iter().chain(CHECKSUM).chain(SEQUENCE)
}

/// Every case.
pub fn all() -> impl Iterator<Item = Case> {
    whole().chain(FRAGMENTS)
}

/// One gateway's own addresses, UDP port, session id, underlay MAC address and cookie that it sends.
struct Gateway {
    address: Ipv4Addr,
    address_v6: Ipv6Addr,
    port: u16,
    session_id: SessionId,
    mac: MacAddr,
    cookie: Cookie,
}

impl Case {
    fn gateway(&self, side: Side) -> Gateway {
        let (address, port, session_id, mac, cookie) = match side {
            Side::A => (2, 5001, 167_772_161, 0x0A, self.cookies[0]),
            Side::B => (6, 6001, 3_405_691_582, 0x0B, self.cookies[1]),
        };
        Gateway {
            address: Ipv4Addr::new(10, 200, 100, address),
            address_v6: Ipv6Addr::new(0xfd00, 0x200, 0x100, 0, 0, 0, 0, address.into()),
            port,
            session_id: SessionId::new(session_id).unwrap(),
            mac: MacAddr([2, 0, 0, 0, 0, mac]),
            cookie: Cookie::from_bytes(cookie).unwrap(),
        }
    }

    /// Bytes of the underlay packet in front of the inner frame, when `side` sends.
    pub fn encap_bytes(&self, side: Side) -> usize {
        let cookie = self.cookies[usize::from(side == Side::B)].len();
        let sublayer = if self.sublayer == Sublayer::Default { 4 } else { 0 };
        14 + if self.is_v6 { 40 } else { 20 } + if self.is_udp { 8 + 4 } else { 0 } + 4 + cookie + sublayer
    }

    /// The engine in place of `side`: one LAN port, one pseudowire to the other side.
    pub fn engine(&self, side: Side) -> Rig {
        let (own, peer) = match side {
            Side::A => (self.gateway(Side::A), self.gateway(Side::B)),
            Side::B => (self.gateway(Side::B), self.gateway(Side::A)),
        };
        let rig = Rig::new();
        rig.tables.store(Arc::new(self.tables(&rig, &own, &peer)));
        rig
    }

    fn tables(&self, rig: &Rig, own: &Gateway, peer: &Gateway) -> Tables {
        let whole = |member| {
            let mut attachment = Attachment::default();
            attachment.attach_whole(DomainId(0), MemberId(member));
            attachment
        };
        let port = |attachment, is_underlay| PortTable { is_underlay, attachment, max_frame_bytes: 1518 };
        let member = |circuit| Member { circuit, vlan: None, group: 0 };
        let members = vec![member(Circuit::Port(LAN_0)), member(Circuit::Session(SessionIndex(0)))];
        Tables {
            ports: vec![
                port(whole(0), false),
                port(Attachment::default(), false),
                port(Attachment::default(), true),
            ],
            tx_sessions: vec![Some(self.tx_session(rig, own, peer))],
            sessions: SessionTable::new(vec![self.rx_session(rig, own, peer, whole(1))]),
            domains: vec![BridgeDomain::new(members, Arc::clone(&rig.fdb))],
        }
    }

    fn tx_session(&self, rig: &Rig, own: &Gateway, peer: &Gateway) -> TxSession {
        let hop =
            NextHop { port: WAN, src_mac: own.mac, dst_mac: peer.mac, vlan: None, path_mtu_bytes: 1500 };
        let udp = Encap::Udp { local_port: own.port, remote_port: peer.port, checksum: self.checksum };
        let encap = if self.is_udp { udp } else { Encap::Ip };
        let addresses = match self.is_v6 {
            true => OuterAddresses::V6 { local: own.address_v6, remote: peer.address_v6 },
            false => OuterAddresses::V4 { local: own.address, remote: peer.address },
        };
        let plain = TxParameters::plain(addresses, encap, peer.session_id);
        let parameters = TxParameters { tx_cookie: own.cookie, sublayer: self.sublayer, ..plain };
        let session = TxSession::new(&hop, &parameters, rig.sessions[0].clone());
        if self.sends_numbers { session.numbered(Arc::default()) } else { session }
    }

    fn rx_session(&self, rig: &Rig, own: &Gateway, peer: &Gateway, attachment: Attachment) -> RxSession {
        let port = |gateway: &Gateway| if self.is_udp { gateway.port } else { 0 };
        let address = |gateway: &Gateway| match self.is_v6 {
            true => gateway.address_v6.to_bits(),
            false => Endpoint::map_v4(gateway.address.octets()),
        };
        let endpoint = Endpoint {
            local: address(own),
            remote: address(peer),
            local_port: port(own),
            remote_port: port(peer),
            protocol: if self.is_udp { 17 } else { 115 },
        };
        let counters = rig.sessions[0].clone();
        let plain = RxSession::plain(endpoint, own.session_id, SessionIndex(0), attachment, counters);
        let sequencing = match self.sends_numbers {
            true => RxSequencing::Strict(Arc::default()),
            false => RxSequencing::Ignored,
        };
        let needs_checksum = self.is_v6 && self.checksum;
        RxSession { rx_cookie: peer.cookie, sublayer: self.sublayer, sequencing, needs_checksum, ..plain }
    }
}
