//! Frames into and out of pseudowires, and what malformed or foreign packets get: one drop, one reason, no chunk lost.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::{tables::attachment::Attachment, verdict::DropReason};
use etherparse::SlicedPacket;
use rig::{
    COOKIE_A, LAN_0, LOCAL, PEER_A, PEER_B, Plan, Rig, WAN,
    frames::{changed, data_packet, from_peer, inner, lengthen, packet_a_over, raw_packet, reseal},
};
use wire::{
    build::Transport,
    l2tpv3::{Cookie, Sublayer},
};

/// A good packet of session A; the inner frame starts at 62.
fn packet_a() -> Vec<u8> {
    rig::frames::packet_a(&inner())
}

/// A good packet of session B; the inner frame starts at 42.
fn packet_b() -> Vec<u8> {
    rig::frames::packet_b(&inner())
}

/// Delivers one packet and expects exactly one drop, for `reason`.
fn expect_drop(packet: &[u8], reason: DropReason) {
    let mut rig = Rig::new();
    rig.deliver(WAN, packet);
    assert_eq!(rig.drops(reason), 1, "{reason:?}");
    assert_eq!(rig.discard_sent(), 0, "{reason:?}");
    rig.assert_conserved();
}

#[test]
fn an_inner_frame_comes_out_byte_for_byte_over_udp_and_over_ip() {
    for (packet, session) in
        [(packet_a(), 0), (packet_b(), 1), (packet_a_over(Transport::udp(5001, 6001), &inner()), 0)]
    {
        let mut rig = Rig::new();
        rig.deliver(WAN, &packet);
        assert_eq!(rig.sent(LAN_0), [inner()]);
        let counters = rig.sessions[session].of(0).unwrap();
        assert_eq!((counters.rx_frames.get(), counters.rx_bytes.get()), (1, 60));
        rig.assert_conserved();
    }
}

#[test]
fn bytes_behind_the_udp_datagram_are_no_part_of_the_frame() {
    let mut packet = packet_a();
    packet.extend([0xEE; 4]);
    lengthen(&mut packet, 16, 4);
    reseal(&mut packet);
    let mut rig = Rig::new();
    rig.deliver(WAN, &packet);
    assert_eq!(rig.sent(LAN_0), [inner()]);
    rig.assert_conserved();
}

#[test]
fn ethernet_padding_behind_the_outer_packet_is_cut() {
    let mut rig = Rig::new();
    let mut padded = packet_b();
    padded.extend([0; 30]);
    rig.deliver(WAN, &padded);
    assert_eq!(rig.sent(LAN_0), [inner()]);
}

#[test]
fn outer_headers_are_what_an_independent_parser_expects() {
    let mut rig = Rig::new();
    rig.deliver(LAN_0, &inner());
    rig.deliver(LAN_0, &inner());
    let packets = rig.sent(WAN);
    assert_eq!(packets.len(), 4);
    let mut identifications = Vec::new();
    for packet in &packets {
        let parsed = SlicedPacket::from_ethernet(packet).unwrap();
        let ip = parsed.net.as_ref().unwrap().ipv4_ref().unwrap().header();
        assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
        assert_eq!((ip.source_addr(), ip.ttl(), ip.dont_fragment()), (LOCAL, 64, false));
        assert_eq!(usize::from(ip.total_len()), packet.len() - 14);
        identifications.push(ip.identification());
        match ip.destination_addr() {
            PEER_A => {
                let Some(etherparse::TransportSlice::Udp(udp)) = &parsed.transport else { panic!("UDP") };
                assert_eq!((udp.source_port(), udp.destination_port()), (6001, 5001));
                assert_eq!((usize::from(udp.length()), udp.checksum()), (packet.len() - 34, 0));
                let l2tp = [&[0, 3, 0, 0, 0, 0, 3, 0xE8][..], &COOKIE_A, &[0; 4], &inner()].concat();
                assert_eq!(udp.payload(), l2tp, "version 3, session 1000, cookie, sublayer, frame");
            }
            PEER_B => {
                assert_eq!(ip.protocol().0, 115);
                let l2tp = [&[0, 0, 7, 0xD0][..], &[0; 4], &inner()].concat();
                assert_eq!(&packet[34..], l2tp, "session 2000, sublayer, frame");
            }
            other => panic!("sent to {other}"),
        }
    }
    identifications.sort_unstable();
    identifications.dedup();
    assert_eq!(identifications.len(), 4, "fragments of different packets can be told apart");
    rig.assert_conserved();
}

#[test]
fn a_relay_passes_frames_from_one_pseudowire_to_the_other() {
    let mut rig = Rig::new();
    rig.deliver(WAN, &packet_a());
    let relayed = rig.sent(WAN);
    assert_eq!(relayed.len(), 1, "not back to where it came from");
    assert_eq!(&relayed[0][relayed[0].len() - 60..], inner());
    assert_eq!(rig.sessions[1].of(0).unwrap().tx_frames.get(), 1);
    rig.assert_conserved();
}

#[test]
fn a_session_without_sublayer_neither_sends_nor_expects_one() {
    let mut rig = Rig::with(Plan { sublayers: [Sublayer::None; 2], ..Plan::default() });
    let spec = from_peer(PEER_B, Transport::L2TP_IP);
    rig.deliver(WAN, &data_packet(&spec, 2000, Cookie::NONE, Sublayer::None, &inner()));
    assert_eq!(rig.sent(LAN_0), [inner()]);
    let sent = rig.sent(WAN);
    assert_eq!(sent[0].len(), 14 + 20 + 8 + 4 + 4 + 8 + 60);
}

#[test]
fn every_truncation_of_a_good_packet_is_dropped_once() {
    for packet in [packet_a(), packet_b()] {
        // Shorter by up to the inner frame's last 46 bytes the Ethernet frame would still be one, but the outer IP
        // packet says how long it is.
        for len in 0..packet.len() {
            let mut rig = Rig::new();
            rig.deliver(WAN, &packet[..len]);
            assert_eq!(rig.discard_sent(), 0, "{len} bytes");
            assert_eq!(rig.counters.of(0).unwrap().drops.total(), 1, "{len} bytes");
            rig.assert_conserved();
        }
    }
}

#[test]
fn link_and_ip_faults_have_their_reasons() {
    expect_drop(&packet_a()[..13], DropReason::EthernetMalformed);
    expect_drop(&changed(packet_a(), |p| p[12..14].copy_from_slice(&[0x08, 0x06])), DropReason::NotIp);
    expect_drop(&changed(packet_a(), |p| p[14] = 0x65), DropReason::IpMalformed);
    expect_drop(&changed(packet_a(), |p| p[14] = 0x44), DropReason::IpMalformed);
    expect_drop(&changed(packet_a(), |p| p[16..18].copy_from_slice(&[0, 19])), DropReason::IpMalformed);
    expect_drop(&changed(packet_a(), |p| p[16..18].copy_from_slice(&[8, 0])), DropReason::IpMalformed);
    let mut wrong_sum = packet_a();
    wrong_sum[25] ^= 1;
    expect_drop(&wrong_sum, DropReason::IpChecksum);
    expect_drop(&changed(packet_a(), |p| p[23] = 6), DropReason::NotTunnelProtocol);
}

#[test]
fn udp_faults_have_their_reasons() {
    expect_drop(&changed(packet_a(), |p| p[38..40].copy_from_slice(&[0, 7])), DropReason::UdpMalformed);
    expect_drop(&changed(packet_a(), |p| p[38..40].copy_from_slice(&[1, 0])), DropReason::UdpMalformed);
    let mut corrupted = packet_a_over(Transport::udp(5001, 6001), &inner());
    *corrupted.last_mut().unwrap() ^= 0xFF;
    expect_drop(&corrupted, DropReason::UdpChecksum);
}

#[test]
fn l2tp_faults_have_their_reasons() {
    expect_drop(&changed(packet_a(), |p| p[43] = 2), DropReason::L2tpVersion);
    expect_drop(&changed(packet_a(), |p| p[42] = 0xC8), DropReason::L2tpControl);
    expect_drop(&changed(packet_a(), |p| p[46..50].fill(0)), DropReason::L2tpControl);
    expect_drop(&changed(packet_b(), |p| p[34..38].fill(0)), DropReason::L2tpControl);
    expect_drop(&changed(packet_a(), |p| p[49] ^= 1), DropReason::UnknownSession);
    expect_drop(&raw_packet(&from_peer(PEER_B, Transport::L2TP_IP), &[0, 0, 7]), DropReason::L2tpTruncated);
}

#[test]
fn a_vccv_message_is_not_taken_for_a_frame() {
    expect_drop(&changed(packet_b(), |p| p[38] = 0x80), DropReason::Vccv);
    for bits in [0x10, 0x20, 0x30] {
        expect_drop(&changed(packet_b(), |p| p[38] = bits), DropReason::Pwe3Fragment);
    }
}

#[test]
fn a_wrong_cookie_is_dropped_and_counted_at_the_session() {
    for byte in 50..58 {
        let mut rig = Rig::new();
        rig.deliver(WAN, &changed(packet_a(), |p| p[byte] ^= 0x10));
        assert_eq!(rig.drops(DropReason::CookieMismatch), 1);
        assert_eq!(rig.sessions[0].of(0).unwrap().drops.get(DropReason::CookieMismatch), 1);
        assert_eq!(rig.sessions[0].of(0).unwrap().rx_frames.get(), 0);
        assert_eq!(rig.discard_sent(), 0);
        rig.assert_conserved();
    }
}

#[test]
fn a_session_id_from_the_wrong_source_is_dropped() {
    expect_drop(&changed(packet_a(), |p| p[29] = 77), DropReason::WrongSource);
    expect_drop(&changed(packet_a(), |p| p[34..36].copy_from_slice(&[0x13, 0x8A])), DropReason::WrongSource);
    let id_of_a = data_packet(
        &from_peer(PEER_B, Transport::L2TP_IP),
        1000,
        Cookie::eight(COOKIE_A),
        Sublayer::Default,
        &inner(),
    );
    expect_drop(&id_of_a, DropReason::WrongSource);
}

#[test]
fn a_packet_that_ends_inside_cookie_sublayer_or_inner_header_is_dropped() {
    let spec = from_peer(PEER_A, Transport::udp_unchecked(5001, 6001));
    let whole = [&[0, 3, 0, 0, 0, 0, 3, 0xE8][..], &COOKIE_A, &[0; 4], &inner()[..14]].concat();
    assert_eq!(whole.len(), 34, "flags 0..4, id 4..8, cookie 8..16, sublayer 16..20, Ethernet header 20..34");
    for len in 0..whole.len() {
        let reason = if len < 8 { DropReason::L2tpTruncated } else { DropReason::PayloadTruncated };
        let mut rig = Rig::new();
        rig.deliver(WAN, &raw_packet(&spec, &whole[..len]));
        assert_eq!((rig.drops(reason), rig.count().drops.total()), (1, 1), "{len} bytes");
        let at_session = rig.sessions[0].of(0).unwrap().drops.get(DropReason::PayloadTruncated);
        assert_eq!(at_session, u64::from(len >= 8), "{len} bytes");
        assert_eq!(rig.discard_sent(), 0);
        rig.assert_conserved();
    }
    let mut rig = Rig::new();
    rig.deliver(WAN, &raw_packet(&spec, &whole));
    assert_eq!(rig.sent(LAN_0), [&inner()[..14]], "a bare Ethernet header is a frame");
}

#[test]
fn a_session_in_no_bridge_drops_what_it_hears() {
    let mut rig = Rig::with(Plan {
        session_attachments: [Attachment::default(), Attachment::default()],
        ..Plan::default()
    });
    rig.deliver(WAN, &packet_a());
    assert_eq!((rig.drops(DropReason::SessionUnbridged), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn ip_options_do_not_confuse_decapsulation() {
    let mut packet = packet_b();
    packet.splice(34..34, [1, 1, 1, 1]);
    packet[14] = 0x46;
    lengthen(&mut packet, 16, 4);
    reseal(&mut packet);
    let mut rig = Rig::new();
    rig.deliver(WAN, &packet);
    assert_eq!(rig.sent(LAN_0), [inner()]);
}
