//! The tables of the engine that is measured: one bridge domain, two pseudowires with cookie and sublayer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context;
use dataplane::counters::PerWorker;
use dataplane::tables::PortId;
use dataplane::tables::attachment::Attachment;
use dataplane::tables::bridge_domains::{BridgeDomain, Circuit, DomainId, Member, MemberId};
use dataplane::tables::fdb::{Fdb, MacKey};
use dataplane::tables::next_hops::{Encap, NextHop, OuterAddresses, TxParameters, TxSession};
use dataplane::tables::sessions::{Endpoint, RxSession, SessionIndex, SessionTable};
use dataplane::tables::snapshot::{PortTable, Tables};
use wire::build::{self, FrameSpec, Transport};
use wire::ethernet::MacAddr;
use wire::l2tpv3::{Cookie, DataHeader, SessionId, Sublayer};
use wire::overhead::{self, IpFamily};

use super::Way;
use crate::flows::FlowPlan;

/// The port towards the LAN.
pub(super) const LAN: PortId = PortId(0);

/// The port towards the underlay.
pub(super) const WAN: PortId = PortId(1);

/// What stands in front of a frame of session A: Ethernet, IPv4, UDP, L2TPv3, cookie, sublayer. Units: bytes.
pub(super) const OUTER_BYTES: usize =
    14 + overhead::encap_bytes(IpFamily::V4, wire::l2tpv3::Encap::Udp, COOKIE.len(), Sublayer::Default);

/// The same of session B, over IP. Units: bytes.
pub(super) const OUTER_IP_BYTES: usize =
    14 + overhead::encap_bytes(IpFamily::V4, wire::l2tpv3::Encap::Ip, COOKIE.len(), Sublayer::Default);

/// The cookie of both sessions, both ways.
const COOKIE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// Our address, and those of the peers of session A and B.
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 6);
const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 200, 100, 2), Ipv4Addr::new(10, 200, 100, 10)];

/// Ids of session A and B, the same both ways.
const SESSION_IDS: [u32; 2] = [1000, 2000];

/// Members of the bridge domain.
const LAN_MEMBER: MemberId = MemberId(0);
const A_MEMBER: MemberId = MemberId(1);
const B_MEMBER: MemberId = MemberId(2);

/// Tables in which every station of the plan is known where its way has it.
pub(super) fn tables(way: Way, plan: &FlowPlan) -> anyhow::Result<Tables> {
    let fdb = Arc::new(Fdb::new(plan.flows as usize * 4, 1));
    let (source, destination) = match way {
        Way::Encap => (LAN_MEMBER, A_MEMBER),
        Way::Decap => (A_MEMBER, LAN_MEMBER),
        Way::Relay => (A_MEMBER, B_MEMBER),
    };
    for flow in 0..plan.flows {
        fdb.learn(MacKey::new(plan.source.at(flow)), source, 1);
        fdb.learn(MacKey::new(plan.destination.at(flow)), destination, 1);
    }
    let ids = SESSION_IDS.map(SessionId::new);
    let [Some(id_a), Some(id_b)] = ids else { anyhow::bail!("{SESSION_IDS:?} are session ids") };
    let session_counters = [PerWorker::new(1), PerWorker::new(1)];
    let tx = |position: usize, encap, tx_session_id| {
        let addresses = OuterAddresses::V4 { local: LOCAL, remote: PEERS[position] };
        let plain = TxParameters::plain(addresses, encap, tx_session_id);
        let parameters =
            TxParameters { tx_cookie: Cookie::eight(COOKIE), sublayer: Sublayer::Default, ..plain };
        Some(TxSession::new(&next_hop(), &parameters, session_counters[position].clone()))
    };
    let rx = |position: usize, endpoint, rx_session_id, index, member| {
        let counters = session_counters[position].clone();
        let plain = RxSession::plain(endpoint, rx_session_id, SessionIndex(index), whole(member), counters);
        RxSession { rx_cookie: Cookie::eight(COOKIE), sublayer: Sublayer::Default, ..plain }
    };
    let over_udp = Encap::Udp { local_port: 6001, remote_port: 5001, checksum: false };
    let members = [Circuit::Port(LAN), Circuit::Session(SessionIndex(0)), Circuit::Session(SessionIndex(1))]
        .map(|circuit| Member { circuit, vlan: None, group: 0 });
    Ok(Tables {
        ports: vec![port(whole(LAN_MEMBER), false), port(Attachment::default(), true)],
        tx_sessions: vec![tx(0, over_udp, id_a), tx(1, Encap::Ip, id_b)],
        sessions: SessionTable::new(vec![
            rx(0, endpoint(PEERS[0], 17, 6001, 5001), id_a, 0, A_MEMBER),
            rx(1, endpoint(PEERS[1], 115, 0, 0), id_b, 1, B_MEMBER),
        ]),
        domains: vec![BridgeDomain::new(members.into(), fdb)],
    })
}

fn whole(member: MemberId) -> Attachment {
    let mut attachment = Attachment::default();
    attachment.attach_whole(DomainId(0), member);
    attachment
}

fn port(attachment: Attachment, is_underlay: bool) -> PortTable {
    PortTable { is_underlay, attachment, max_frame_bytes: 4000 }
}

fn next_hop() -> NextHop {
    NextHop {
        port: WAN,
        src_mac: MacAddr([2, 0, 0, 0, 0, 0xB]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 0xFE]),
        vlan: None,
        path_mtu_bytes: 4000,
    }
}

fn endpoint(remote: Ipv4Addr, protocol: u8, local_port: u16, remote_port: u16) -> Endpoint {
    Endpoint {
        local: Endpoint::map_v4(LOCAL.octets()),
        remote: Endpoint::map_v4(remote.octets()),
        local_port,
        remote_port,
        protocol,
    }
}

/// An inner frame as the peer of session A sends it.
pub(super) fn packet(inner: &[u8]) -> anyhow::Result<Vec<u8>> {
    let spec = FrameSpec {
        source_ip: IpAddr::V4(PEERS[0]),
        destination_ip: IpAddr::V4(LOCAL),
        transport: Transport::udp_unchecked(5001, 6001),
        ..FrameSpec::default()
    };
    let id = SessionId::new(SESSION_IDS[0]).context("1000 is a session id")?;
    let header = DataHeader::new(id, Cookie::eight(COOKIE), Sublayer::Default);
    let mut bytes = vec![0; OUTER_BYTES + inner.len()];
    let used = build::l2tp_frame(&mut bytes, &spec, &header, inner)?;
    bytes.truncate(used);
    Ok(bytes)
}
