//! The engine against packets of the kernel's own `l2tp_eth`, byte for byte, in the place of either gateway.
//!
//! `golden/README.md` says what was recorded, with which kernel and by which commands.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]
#![allow(unreachable_pub, reason = "shared between the files of one test program")]

#[path = "golden/captures.rs"]
mod captures;
#[path = "golden/cases.rs"]
mod cases;
mod rig;

use std::{collections::BTreeSet, fs};

use captures::{SIDES, Sent, Side, sent};
use cases::{CHECKSUM, Case, FRAGMENTS, PLAIN, SEQUENCE};
use dataplane::verdict::DropReason;
use etherparse::{Ipv4HeaderSlice, NetSlice, SlicedPacket, TransportSlice};
use rig::{LAN_0, WAN};
use wire::l2tpv3::Sublayer;

/// What the engine makes of the frames that `side` was given, in that side's place.
fn encapsulated(case: &Case, side: Side, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut engine = case.engine(side);
    frames.iter().for_each(|frame| engine.deliver(LAN_0, frame));
    let packets = engine.sent(WAN);
    engine.assert_conserved();
    packets
}

/// What the engine makes of the packets that `side` sent, in the other side's place.
fn decapsulated(case: &Case, side: Side, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let receiver = if side == Side::A { Side::B } else { Side::A };
    let mut engine = case.engine(receiver);
    packets.iter().for_each(|packet| engine.deliver(WAN, packet));
    let frames = engine.sent(LAN_0);
    engine.assert_conserved();
    frames
}

/// A packet without what belongs to its sender alone: identification and the checksum over it; over IPv6 the flow label, and
/// the identification of a fragment. Header checksums must be right.
fn comparable(packet: &[u8]) -> Vec<u8> {
    let mut comparable = packet.to_vec();
    if packet[14] >> 4 == 6 {
        comparable[15] &= 0xF0;
        comparable[16..18].fill(0);
        if packet[20] == 44 {
            comparable[58..62].fill(0);
        }
        return comparable;
    }
    let header = Ipv4HeaderSlice::from_slice(&packet[14..]).unwrap();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    comparable[18..20].fill(0);
    comparable[24..26].fill(0);
    comparable
}

/// Asserts that the engine's packets are the kernel's.
fn assert_same_packets(case: &Case, side: Side) {
    let Sent { inner, outer } = sent(case.name, side);
    let ours = encapsulated(case, side, &inner);
    assert_eq!(ours.len(), outer.len(), "{} {side:?}", case.name);
    for (index, (ours, kernels)) in ours.iter().zip(&outer).enumerate() {
        assert_eq!(comparable(ours), comparable(kernels), "{} {side:?}, packet {index}", case.name);
    }
}

#[test]
fn each_case_has_its_captures_and_each_capture_its_case() {
    let files: BTreeSet<String> = fs::read_dir(captures::folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected: BTreeSet<String> = cases::all()
        .flat_map(|case| ["lan", "underlay"].map(|kind| format!("{}.{kind}.pcap", case.name)))
        .collect();
    assert_eq!(files, expected);
}

#[test]
fn each_capture_has_arp_a_small_a_large_and_a_tagged_frame_each_way() {
    for (case, side) in cases::whole().flat_map(|case| SIDES.map(|side| (case, side))) {
        let Sent { inner, outer } = sent(case.name, side);
        let shapes: Vec<_> =
            inner.iter().map(|frame| (frame.len(), u16::from_be_bytes([frame[12], frame[13]]))).collect();
        let expected = [(42, 0x0806), (60, 0x0800), (1400, 0x0800), (64, 0x8100)];
        assert_eq!(shapes, expected, "{} {side:?}", case.name);
        let lens: Vec<_> = outer.iter().map(Vec::len).collect();
        let encap = case.encap_bytes(side);
        assert_eq!(lens, expected.map(|(len, _)| len + encap), "{} {side:?}", case.name);
    }
}

#[test]
fn a_frame_that_does_not_fit_is_in_two_fragments_of_the_kernel() {
    for (case, side) in FRAGMENTS.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        let Sent { inner, outer } = sent(case.name, side);
        assert_eq!(inner.iter().map(Vec::len).collect::<Vec<_>>(), [1514], "{} {side:?}", case.name);
        assert_eq!(outer.len(), 2, "{} {side:?}", case.name);
        // As long as the underlay takes, but for what is left of a multiple of eight bytes.
        let first = 14 + if case.is_v6 { 40 + 8 + 1448 } else { 20 + 1480 };
        assert_eq!(outer[0].len(), first, "{} {side:?}", case.name);
    }
}

#[test]
fn the_engine_cuts_a_packet_up_as_the_kernel_does() {
    for (case, side) in FRAGMENTS.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        assert_same_packets(case, side);
    }
}

#[test]
fn a_fragment_of_the_kernel_alone_is_no_frame_and_both_are_one_in_either_order() {
    for (case, side) in FRAGMENTS.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        let Sent { inner, outer } = sent(case.name, side);
        for alone in &outer {
            let receiver = if side == Side::A { Side::B } else { Side::A };
            let mut engine = case.engine(receiver);
            engine.deliver(WAN, alone);
            assert_eq!(engine.sent(LAN_0).len(), 0, "{} {side:?}", case.name);
        }
        let reversed: Vec<_> = outer.iter().rev().cloned().collect();
        assert_eq!(decapsulated(case, side, &reversed), inner, "{} {side:?}", case.name);
    }
}

#[test]
fn what_the_kernel_sent_leaves_on_the_lan_as_the_kernel_was_given_it() {
    for (case, side) in cases::all().flat_map(|case| SIDES.map(|side| (case, side))) {
        let Sent { inner, outer } = sent(case.name, side);
        assert_eq!(decapsulated(&case, side, &outer), inner, "{} {side:?}", case.name);
    }
}

#[test]
fn what_the_engine_sends_is_what_the_kernel_sent_but_for_the_identification() {
    for (case, side) in PLAIN.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        assert_same_packets(case, side);
    }
}

#[test]
fn the_kernel_sets_neither_dont_fragment_nor_a_type_of_service_and_sends_with_ttl_64() {
    for (case, side) in cases::all().flat_map(|case| SIDES.map(|side| (case, side))) {
        for packet in sent(case.name, side).outer {
            if case.is_v6 {
                // Version and traffic class; hop limit.
                assert_eq!((packet[14], packet[15] >> 4, packet[21]), (0x60, 0, 64), "{}", case.name);
                continue;
            }
            // Version and header length, TOS; DF; TTL.
            assert_eq!((packet[14], packet[15]), (0x45, 0), "{}", case.name);
            assert_eq!(packet[20] & 0x40, 0, "{}", case.name);
            assert_eq!(packet[22], 64, "{}", case.name);
        }
    }
}

#[test]
fn a_udp_checksum_of_the_kernel_is_right_and_is_ours_too() {
    for (case, side) in CHECKSUM.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        assert_same_packets(case, side);
        for packet in sent(case.name, side).outer {
            let parsed = SlicedPacket::from_ethernet(&packet).unwrap();
            let Some(TransportSlice::Udp(udp)) = &parsed.transport else { panic!("UDP") };
            let computed = match parsed.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => {
                    udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
                }
                NetSlice::Ipv6(ip) => {
                    udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
                }
                NetSlice::Arp(_) => panic!("IP"),
            };
            assert_eq!(udp.checksum(), computed.unwrap());
            assert_ne!(udp.checksum(), 0);
        }
    }
}

#[test]
fn a_packet_of_the_kernel_that_was_damaged_on_its_way_is_dropped_by_its_udp_checksum() {
    for case in CHECKSUM {
        for packet in sent(case.name, Side::A).outer {
            for index in [case.encap_bytes(Side::A) - 1, packet.len() - 1] {
                let mut damaged = packet.clone();
                damaged[index] ^= 0x01;
                let mut engine = case.engine(Side::B);
                engine.deliver(WAN, &damaged);
                assert_eq!((engine.sent(LAN_0).len(), engine.drops(DropReason::UdpChecksum)), (0, 1));
            }
        }
    }
}

#[test]
fn a_packet_of_a_kernel_without_checksums_is_dropped_where_they_are_demanded_over_ipv6() {
    let silent = PLAIN[13];
    let demanding = Case { checksum: true, ..silent };
    let mut engine = demanding.engine(Side::B);
    sent(silent.name, Side::A).outer.iter().for_each(|packet| engine.deliver(WAN, packet));
    assert_eq!((engine.sent(LAN_0).len(), engine.drops(DropReason::UdpChecksumMissing)), (0, 4));
}

#[test]
fn sequence_numbers_of_the_kernel_count_from_zero_and_ours_are_the_same() {
    for (case, side) in SEQUENCE.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        let sublayer = case.encap_bytes(side) - 4..case.encap_bytes(side);
        assert_same_packets(case, side);
        let words: Vec<_> =
            sent(case.name, side).outer.iter().map(|packet| packet[sublayer.clone()].to_vec()).collect();
        // S bit, 24-bit number.
        assert_eq!(words, [[0x40, 0, 0, 0], [0x40, 0, 0, 1], [0x40, 0, 0, 2], [0x40, 0, 0, 3]]);
    }
}

#[test]
fn a_packet_of_the_kernel_is_dropped_where_numbers_are_demanded_and_the_one_before_it_was_lost() {
    for (case, side) in SEQUENCE.iter().flat_map(|case| SIDES.map(|side| (case, side))) {
        let Sent { inner, outer } = sent(case.name, side);
        let [first, _, third, fourth] = &outer[..] else { panic!("four packets") };
        let arrived = [first, third, fourth].map(Clone::clone);
        assert_eq!(decapsulated(case, side, &arrived), inner[..1], "{} {side:?}", case.name);
    }
}

#[test]
fn a_packet_of_a_kernel_that_does_not_number_is_dropped_where_numbers_are_demanded() {
    let numbered = SEQUENCE[0];
    let unnumbered = Case { name: PLAIN[0].name, ..numbered };
    assert_eq!(decapsulated(&unnumbered, Side::A, &sent(unnumbered.name, Side::A).outer), [[0; 0]; 0]);
}

#[test]
fn a_session_that_leaves_the_sublayer_out_does_not_agree_with_a_kernel_that_has_one() {
    let case = PLAIN[4];
    let wrong = Case { sublayer: Sublayer::None, ..case };
    let Sent { inner, outer } = sent(case.name, Side::A);
    let ours = encapsulated(&wrong, Side::A, &inner);
    assert!(ours.iter().zip(&outer).all(|(ours, kernels)| ours.len() + 4 == kernels.len()));
    assert!(decapsulated(&wrong, Side::A, &outer).iter().zip(&inner).all(|(ours, inner)| ours != inner));
}

#[test]
fn a_packet_for_the_other_direction_is_refused() {
    for case in PLAIN {
        let mut engine = case.engine(Side::A);
        sent(case.name, Side::A).outer.iter().for_each(|packet| engine.deliver(WAN, packet));
        assert_eq!(engine.drops(DropReason::UnknownSession), 4, "{}", case.name);
        assert_eq!(engine.sent(LAN_0).len(), 0, "{}", case.name);
    }
}
