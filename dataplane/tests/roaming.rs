//! A tunnel that learns its peer: what is taken from a new source, and what changes nothing.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use dataplane::{
    tables::{
        peer_watch::{PeerEnd, PeerWatch},
        sessions::Endpoint,
    },
    verdict::DropReason,
};
use rig::{
    COOKIE_A, LAN_0, LOCAL, PEER_A, Plan, Rig, WAN,
    frames::{changed, data_packet, from_peer, inner, packet_a, packet_b},
};
use wire::{
    build::{FrameSpec, Transport},
    l2tpv3::{Cookie, Sublayer},
};

/// Where NAT puts the peer.
const NAT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// The port that NAT gives it.
const NAT_PORT: u16 = 40_000;

/// A rig whose session A learns its peer, which is at `end` now.
fn learning(end: Option<(IpAddr, u16)>) -> (Rig, Arc<PeerWatch>) {
    let watch = Arc::new(PeerWatch::new(1));
    (Rig::with(Plan { peer: Some(Arc::clone(&watch)), peer_end: end, ..Plan::default() }), watch)
}

/// A packet of session A from this source.
fn packet_from(source: Ipv4Addr, source_port: u16, cookie: [u8; 8]) -> Vec<u8> {
    let spec = from_peer(source, Transport::udp_unchecked(source_port, 6001));
    data_packet(&spec, 1000, Cookie::eight(cookie), Sublayer::Default, &inner())
}

fn end(address: Ipv4Addr, port: u16) -> PeerEnd {
    PeerEnd { address: Endpoint::map_v4(address.octets()), port }
}

fn seen(watch: &PeerWatch) -> Option<PeerEnd> {
    watch.newest().map(|sighting| sighting.end)
}

#[test]
fn a_peer_that_is_not_known_is_heard_wherever_it_is_and_noted() {
    let (mut rig, watch) = learning(None);
    rig.deliver(WAN, &packet_from(NAT, NAT_PORT, COOKIE_A));
    assert_eq!(rig.sent(LAN_0), [inner()]);
    assert_eq!(seen(&watch), Some(end(NAT, NAT_PORT)));
    assert_eq!(rig.sessions[0].of(0).unwrap().rx_frames.get(), 1);
    rig.assert_conserved();
}

#[test]
fn a_peer_that_is_where_it_is_thought_to_be_is_not_noted() {
    let (mut rig, watch) = learning(Some((PEER_A.into(), 5001)));
    rig.deliver(WAN, &packet_a(&inner()));
    assert_eq!(rig.sent(LAN_0), [inner()]);
    assert_eq!(seen(&watch), None);
}

#[test]
fn a_new_port_or_a_new_address_is_heard_at_once_and_noted() {
    for (source, port) in [(PEER_A, 5002), (NAT, 5001), (NAT, NAT_PORT)] {
        let (mut rig, watch) = learning(Some((PEER_A.into(), 5001)));
        rig.deliver(WAN, &packet_from(source, port, COOKIE_A));
        assert_eq!(rig.sent(LAN_0), [inner()]);
        assert_eq!(seen(&watch), Some(end(source, port)));
        rig.assert_conserved();
    }
}

#[test]
fn a_wrong_cookie_from_a_new_source_is_counted_and_changes_nothing() {
    let (mut rig, watch) = learning(Some((PEER_A.into(), 5001)));
    for bit in 0..64 {
        let cookie = (u64::from_be_bytes(COOKIE_A) ^ 1 << bit).to_be_bytes();
        rig.deliver(WAN, &packet_from(NAT, NAT_PORT, cookie));
    }
    assert_eq!(seen(&watch), None);
    assert_eq!(rig.drops(DropReason::CookieMismatch), 64);
    assert_eq!(rig.sessions[0].of(0).unwrap().drops.get(DropReason::CookieMismatch), 64);
    assert_eq!(rig.discard_sent(), 0);
    rig.assert_conserved();
}

#[test]
fn a_packet_that_is_not_whole_changes_nothing() {
    let (mut rig, watch) = learning(None);
    let whole = packet_from(NAT, NAT_PORT, COOKIE_A);
    for len in 14..whole.len() {
        rig.deliver(WAN, &whole[..len]);
    }
    // Behind the sublayer nothing tells a short frame from a long one but the outer lengths, which are wrong here.
    assert_eq!(seen(&watch), None);
    let vccv = changed(whole, |packet| packet[58] = 0x80);
    rig.deliver(WAN, &vccv);
    assert_eq!((seen(&watch), rig.drops(DropReason::Vccv)), (None, 1));
    rig.assert_conserved();
}

#[test]
fn a_source_that_nothing_can_be_sent_to_is_refused_whatever_its_cookie() {
    for (source, port) in [
        (Ipv4Addr::UNSPECIFIED, NAT_PORT),
        (Ipv4Addr::LOCALHOST, NAT_PORT),
        (Ipv4Addr::BROADCAST, NAT_PORT),
        (Ipv4Addr::new(224, 0, 0, 5), NAT_PORT),
        (LOCAL, NAT_PORT),
        (NAT, 0),
    ] {
        let (mut rig, watch) = learning(None);
        rig.deliver(WAN, &packet_from(source, port, COOKIE_A));
        assert_eq!((seen(&watch), rig.drops(DropReason::WrongSource)), (None, 1), "{source}:{port}");
        rig.assert_conserved();
    }
}

#[test]
fn another_local_port_or_id_finds_no_session() {
    let (mut rig, watch) = learning(None);
    let spec = from_peer(NAT, Transport::udp_unchecked(NAT_PORT, 6002));
    let cookie = Cookie::eight(COOKIE_A);
    rig.deliver(WAN, &data_packet(&spec, 1000, cookie, Sublayer::Default, &inner()));
    assert_eq!(rig.drops(DropReason::WrongSource), 1);
    let spec = from_peer(NAT, Transport::udp_unchecked(NAT_PORT, 6001));
    rig.deliver(WAN, &data_packet(&spec, 1001, cookie, Sublayer::Default, &inner()));
    assert_eq!(rig.drops(DropReason::UnknownSession), 1);
    assert_eq!(seen(&watch), None);
}

#[test]
fn a_tunnel_with_a_fixed_peer_takes_nothing_from_elsewhere() {
    let mut rig = Rig::new();
    rig.deliver(WAN, &packet_from(NAT, NAT_PORT, COOKIE_A));
    assert_eq!(rig.drops(DropReason::WrongSource), 1);
    // Nor does the other tunnel of a gateway with one that learns.
    let (mut rig, watch) = learning(None);
    let spec = from_peer(NAT, Transport::L2TP_IP);
    rig.deliver(WAN, &data_packet(&spec, 2000, Cookie::NONE, Sublayer::Default, &inner()));
    assert_eq!((rig.drops(DropReason::WrongSource), seen(&watch)), (1, None));
    rig.deliver(WAN, &packet_b(&inner()));
    assert_eq!(rig.sent(LAN_0), [inner()]);
}

#[test]
fn over_ip_the_session_of_a_learning_tunnel_is_not_found() {
    let (mut rig, watch) = learning(None);
    let spec = from_peer(NAT, Transport::L2TP_IP);
    rig.deliver(WAN, &data_packet(&spec, 1000, Cookie::eight(COOKIE_A), Sublayer::Default, &inner()));
    assert_eq!((rig.drops(DropReason::WrongSource), seen(&watch)), (1, None));
}

#[test]
fn a_peer_over_ipv6_is_noted_with_its_whole_address() {
    let local = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
    let source = Ipv6Addr::new(0x2001, 0xdb8, 7, 6, 5, 4, 3, 2);
    let watch = Arc::new(PeerWatch::new(1));
    let v6 = Plan { local: local.into(), peers: [source.into(), source.into()], ..Plan::default() };
    let mut rig = Rig::with(Plan { peer: Some(Arc::clone(&watch)), ..v6 });
    let spec = FrameSpec {
        source_ip: source.into(),
        destination_ip: local.into(),
        transport: Transport::udp(NAT_PORT, 6001),
        ..FrameSpec::default()
    };
    rig.deliver(WAN, &data_packet(&spec, 1000, Cookie::eight(COOKIE_A), Sublayer::Default, &inner()));
    assert_eq!(rig.sent(LAN_0), [inner()]);
    assert_eq!(seen(&watch), Some(PeerEnd { address: source.to_bits(), port: NAT_PORT }));
}

#[test]
fn a_missing_checksum_that_the_tunnel_wants_changes_nothing() {
    let watch = Arc::new(PeerWatch::new(1));
    let strict = Plan { udp_checksum: true, peer: Some(Arc::clone(&watch)), ..Plan::default() };
    let mut rig = Rig::with(strict);
    rig.deliver(WAN, &packet_from(NAT, NAT_PORT, COOKIE_A));
    assert_eq!((rig.drops(DropReason::UdpChecksumMissing), seen(&watch)), (1, None));
}

#[test]
fn tables_with_the_new_end_take_its_packets_without_a_note() {
    let (mut rig, watch) = learning(None);
    rig.deliver(WAN, &packet_from(NAT, NAT_PORT, COOKIE_A));
    watch.deal_with(watch.newest().unwrap());
    let known = Some((IpAddr::V4(NAT), NAT_PORT));
    rig.republish(Plan { peer: Some(Arc::clone(&watch)), peer_end: known, ..Plan::default() });
    rig.deliver(WAN, &packet_from(NAT, NAT_PORT, COOKIE_A));
    assert_eq!((rig.sent(LAN_0).len(), seen(&watch)), (2, None));
    // Back again: a new sighting, though the worker saw that end before.
    rig.deliver(WAN, &packet_from(PEER_A, 5001, COOKIE_A));
    assert_eq!(seen(&watch), Some(end(PEER_A, 5001)));
}
