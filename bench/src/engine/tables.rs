//! Tables: what the engine knows in a scenario: one bridge domain, its pseudowires, every station where it lives.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use dataplane::counters::PerWorker;
use dataplane::tables::PortId;
use dataplane::tables::attachment::Attachment;
use dataplane::tables::bridge_domains::{BridgeDomain, Circuit, DomainId, Member, MemberId};
use dataplane::tables::fdb::{Fdb, Learned, MacKey};
use dataplane::tables::next_hops::{Encap, NextHop, OuterAddresses, TxParameters, TxSession};
use dataplane::tables::sessions::{Endpoint, RxSession, SessionIndex, SessionTable};
use dataplane::tables::snapshot::{PortTable, Tables};
use wire::ethernet::MacAddr;
use wire::l2tpv3::{Cookie, Sublayer};

use super::scenario::{Carrier, MAX_SESSIONS, Scenario, Way};
use super::traffic::{self, COOKIE, OWN_PORT, PEER_PORT};

/// The port towards the LAN.
pub(super) const LAN: PortId = PortId(0);

/// The port towards the underlay.
pub(super) const WAN: PortId = PortId(1);

/// The LAN port as a member; sessions are the members behind it, in the order of the tables.
const LAN_MEMBER: MemberId = MemberId(0);

/// The second in which the stations were heard: that of a new engine's clock.
const NOW_S: u32 = 1;

/// Largest frame and packet, beyond all that the scenarios send. Units: bytes.
const MTU_BYTES: usize = 4000;

/// The port that a way's frames arrive at.
pub(super) fn receiver(way: Way) -> PortId {
    if matches!(way, Way::Encap | Way::Ports) { LAN } else { WAN }
}

/// The tables of a scenario, for that many workers.
pub(super) fn tables(scenario: &Scenario, workers: usize) -> anyhow::Result<Tables> {
    let (a_sessions, b_sessions) = (scenario.a_sessions(), scenario.b_sessions());
    ensure!(a_sessions + b_sessions <= MAX_SESSIONS, "at most {MAX_SESSIONS} sessions");
    let mut members = vec![member(Circuit::Port(LAN))];
    let (mut rx_sessions, mut tx_sessions) = (Vec::new(), Vec::new());
    for position in 0..a_sessions + b_sessions {
        let carrier = if position < a_sessions { scenario.carrier } else { Carrier::Ip };
        let (rx, tx) = session(position, carrier, workers)?;
        members.push(member(Circuit::Session(SessionIndex(position))));
        rx_sessions.push(rx);
        tx_sessions.push(Some(tx));
    }
    Ok(Tables {
        ports: vec![port(whole(LAN_MEMBER), false), port(Attachment::default(), true)],
        tx_sessions,
        sessions: SessionTable::new(rx_sessions),
        domains: vec![BridgeDomain::new(members, fdb(scenario)?)],
    })
}

/// Every station on the member that it is behind.
fn fdb(scenario: &Scenario) -> anyhow::Result<Arc<Fdb>> {
    let fdb = Fdb::new(scenario.macs as usize, 1);
    let a_sessions = scenario.a_sessions();
    let behind = |session: u32| Ok::<_, anyhow::Error>(MemberId(u16::try_from(1 + session)?));
    for station in 0..scenario.stations() {
        let a = behind(station % a_sessions)?;
        let (source, destination) = match scenario.way {
            Way::Encap | Way::Ports => (LAN_MEMBER, a),
            Way::Decap => (a, LAN_MEMBER),
            Way::Relay => (a, behind(a_sessions + station % scenario.b_sessions())?),
        };
        for (mac, member) in
            [(traffic::source(station), source), (traffic::destination(station), destination)]
        {
            let learned = fdb.learn(MacKey::new(mac.0), member, NOW_S);
            ensure!(learned == Learned::New, "station {station} is {learned:?} in the FDB");
        }
    }
    Ok(Arc::new(fdb))
}

/// Both halves of a session.
fn session(position: u32, carrier: Carrier, workers: usize) -> anyhow::Result<(RxSession, TxSession)> {
    let (own, peer) = traffic::addresses(carrier, position);
    let id = traffic::session_id(position)?;
    let counters = PerWorker::new(workers);
    let (protocol, local_port, remote_port) =
        if carrier == Carrier::Ip { (115, 0, 0) } else { (17, OWN_PORT, PEER_PORT) };
    let endpoint =
        Endpoint { local: endpoint_of(own)?, remote: endpoint_of(peer)?, local_port, remote_port, protocol };
    let attachment = whole(MemberId(u16::try_from(1 + position)?));
    let rx = RxSession::plain(endpoint, id, SessionIndex(position), attachment, counters.clone());
    let rx = RxSession { rx_cookie: Cookie::eight(COOKIE), sublayer: Sublayer::Default, ..rx };
    let encap = match carrier {
        Carrier::Ip => Encap::Ip,
        Carrier::Udp | Carrier::UdpIpv6 | Carrier::UdpChecksum | Carrier::UdpChecksumOffloaded => {
            Encap::Udp { local_port, remote_port, checksum: carrier.has_checksum() }
        }
    };
    let addresses = OuterAddresses::new(own, peer).context("two addresses of one family")?;
    let plain = TxParameters::plain(addresses, encap, id);
    let parameters = TxParameters { tx_cookie: Cookie::eight(COOKIE), sublayer: Sublayer::Default, ..plain };
    let tx = TxSession::new(&next_hop(), &parameters, counters);
    Ok((rx, if carrier == Carrier::UdpChecksumOffloaded { tx.offloaded() } else { tx }))
}

/// An address as received packets are compared with it.
fn endpoint_of(address: IpAddr) -> anyhow::Result<u128> {
    match address {
        IpAddr::V4(address) => Ok(Endpoint::map_v4(address.octets())),
        IpAddr::V6(address) => Endpoint::v6(address.octets()).context("an IPv6 address of its own"),
    }
}

fn member(circuit: Circuit) -> Member {
    Member { circuit, vlan: None, group: 0 }
}

fn whole(member: MemberId) -> Attachment {
    let mut attachment = Attachment::default();
    attachment.attach_whole(DomainId(0), member);
    attachment
}

fn port(attachment: Attachment, is_underlay: bool) -> PortTable {
    PortTable { is_underlay, attachment, max_frame_bytes: MTU_BYTES }
}

fn next_hop() -> NextHop {
    NextHop {
        port: WAN,
        src_mac: MacAddr([2, 0, 0, 0, 0, 0xB]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 0xFE]),
        vlan: None,
        path_mtu_bytes: MTU_BYTES,
    }
}
