//! The same pseudowires over an IPv6 underlay: what is sent, what is taken, what is refused.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::net::{IpAddr, Ipv6Addr};

use dataplane::{tables::bridge_domains::MemberId, tables::fdb::MacKey, verdict::DropReason};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use rig::{
    COOKIE_A, LAN_0, Plan, Rig, WAN,
    frames::{PC_1, PC_2, data_packet, inner, lan_frame},
};
use wire::{
    build::{FrameSpec, Transport},
    l2tpv3::{Cookie, Sublayer},
};

const LOCAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const PEER_A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER_B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

/// Both peers over IPv6; session A with UDP checksums, as the kernel's default is.
fn plan() -> Plan {
    Plan { local: LOCAL.into(), peers: [PEER_A.into(), PEER_B.into()], udp_checksum: true, ..Plan::default() }
}

fn from_peer(remote: Ipv6Addr, transport: Transport) -> FrameSpec<'static> {
    FrameSpec {
        source_ip: IpAddr::V6(remote),
        destination_ip: IpAddr::V6(LOCAL),
        transport,
        ..FrameSpec::default()
    }
}

/// A packet of session A. The IPv6 header starts at 14, the UDP header at 54.
fn packet_a(transport: Transport) -> Vec<u8> {
    let spec = from_peer(PEER_A, transport);
    data_packet(&spec, 1000, Cookie::eight(COOKIE_A), Sublayer::Default, &inner())
}

/// A packet of session B. The IPv6 header starts at 14, the session id at 54.
fn packet_b() -> Vec<u8> {
    let spec = from_peer(PEER_B, Transport::L2TP_IP);
    data_packet(&spec, 2000, Cookie::NONE, Sublayer::Default, &inner())
}

/// Puts an extension header of 8 bytes between IPv6 header and payload.
fn with_extension(mut packet: Vec<u8>, number: u8, mut extension: [u8; 8]) -> Vec<u8> {
    extension[0] = packet[20];
    packet[20] = number;
    packet.splice(54..54, extension);
    let length = u16::from_be_bytes([packet[18], packet[19]]) + 8;
    packet[18..20].copy_from_slice(&length.to_be_bytes());
    packet
}

fn expect_drop(packet: &[u8], reason: DropReason) {
    let mut rig = Rig::with(plan());
    rig.deliver(WAN, packet);
    assert_eq!(rig.drops(reason), 1, "{reason:?}");
    assert_eq!(rig.discard_sent(), 0, "{reason:?}");
    rig.assert_conserved();
}

#[test]
fn an_inner_frame_comes_out_byte_for_byte_over_udp_and_over_ip() {
    for packet in [packet_a(Transport::udp(5001, 6001)), packet_b()] {
        let mut rig = Rig::with(plan());
        rig.deliver(WAN, &packet);
        assert_eq!(rig.sent(LAN_0), [inner()]);
        rig.assert_conserved();
    }
}

#[test]
fn what_leaves_over_udp_has_lengths_and_checksum_that_another_reader_finds_right() {
    let mut rig = Rig::with(plan());
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    let frame = lan_frame(PC_2, PC_1);
    rig.deliver(LAN_0, &frame);
    let [packet] = rig.sent(WAN).try_into().unwrap();
    let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
    let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("{sliced:?}") };
    let header = ip.header();
    assert_eq!((header.source_addr(), header.destination_addr()), (LOCAL, PEER_A));
    assert_eq!((header.hop_limit(), usize::from(header.payload_length())), (64, packet.len() - 54));
    let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP header") };
    let computed = udp.to_header().calc_checksum_ipv6(&header.to_header(), udp.payload()).unwrap();
    assert_eq!((udp.source_port(), udp.destination_port(), udp.checksum()), (6001, 5001, computed));
    assert_eq!(udp.payload()[20..], frame);
    rig.assert_conserved();
}

#[test]
fn what_leaves_over_ip_has_lengths_that_another_reader_finds_right() {
    let mut rig = Rig::with(plan());
    rig.fdb.learn(MacKey::new(PC_2), MemberId(3), 1);
    let frame = lan_frame(PC_2, PC_1);
    rig.deliver(LAN_0, &frame);
    let [packet] = rig.sent(WAN).try_into().unwrap();
    let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
    let Some(NetSlice::Ipv6(ip)) = sliced.net else { panic!("{sliced:?}") };
    assert_eq!((ip.header().next_header().0, ip.header().destination_addr()), (115, PEER_B));
    assert_eq!(usize::from(ip.header().payload_length()), packet.len() - 54);
    assert_eq!(packet[62..], frame);
    rig.assert_conserved();
}

#[test]
fn a_missing_checksum_is_refused_unless_the_tunnel_opted_in() {
    let unchecked = packet_a(Transport::udp_unchecked(5001, 6001));
    expect_drop(&unchecked, DropReason::UdpChecksumMissing);
    let mut rig = Rig::with(Plan { udp_checksum: false, ..plan() });
    rig.deliver(WAN, &unchecked);
    assert_eq!(rig.sent(LAN_0), [inner()]);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut packet = packet_a(Transport::udp(5001, 6001));
    *packet.last_mut().unwrap() ^= 1;
    expect_drop(&packet, DropReason::UdpChecksum);
}

#[test]
fn extension_headers_are_stepped_over() {
    for number in [0, 43, 60] {
        let mut rig = Rig::with(plan());
        rig.deliver(WAN, &with_extension(packet_b(), number, [0; 8]));
        assert_eq!(rig.sent(LAN_0), [inner()], "{number}");
        rig.assert_conserved();
    }
}

#[test]
fn an_atomic_fragment_is_a_whole_packet_and_any_other_is_a_part() {
    let mut rig = Rig::with(plan());
    rig.deliver(WAN, &with_extension(packet_b(), 44, [0; 8]));
    assert_eq!(rig.sent(LAN_0), [inner()]);
    expect_drop(&with_extension(packet_b(), 44, [0, 0, 0, 1, 0, 0, 0, 9]), DropReason::FragmentTiny);
}

#[test]
fn a_chain_of_extension_headers_beyond_any_legal_one_is_refused() {
    let mut packet = packet_b();
    for _ in 0..7 {
        packet = with_extension(packet, 60, [0; 8]);
    }
    expect_drop(&packet, DropReason::IpMalformed);
}

#[test]
fn an_ipv4_address_in_an_ipv6_packet_is_nobodys() {
    let mapped = std::net::Ipv4Addr::new(10, 200, 100, 10).to_ipv6_mapped();
    let spec = from_peer(mapped, Transport::L2TP_IP);
    let packet = data_packet(&spec, 2000, Cookie::NONE, Sublayer::Default, &inner());
    expect_drop(&packet, DropReason::IpMalformed);
}

#[test]
fn the_other_peers_address_does_not_open_a_session() {
    let spec = from_peer(PEER_A, Transport::L2TP_IP);
    let packet = data_packet(&spec, 2000, Cookie::NONE, Sublayer::Default, &inner());
    expect_drop(&packet, DropReason::WrongSource);
}

#[test]
fn every_cut_of_a_packet_is_refused_without_harm() {
    let whole = with_extension(packet_a(Transport::udp(5001, 6001)), 60, [0; 8]);
    for len in 14..whole.len() {
        let mut rig = Rig::with(plan());
        rig.deliver(WAN, &whole[..len]);
        assert_eq!(rig.discard_sent(), 0, "{len}");
        rig.assert_conserved();
    }
}
