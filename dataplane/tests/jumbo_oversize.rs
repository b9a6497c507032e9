//! Frames in several chunks that do not fit a pseudowire: answered, cut up and clamped like the same bytes in one chunk.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::{
    tables::{
        bridge_domains::MemberId,
        fdb::MacKey,
        oversize::{Fragmentation, MssClamp},
    },
    verdict::DropReason,
};
use etherparse::{
    Icmpv4Type, NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice,
    icmpv4::DestUnreachableHeader::FragmentationNeeded,
};
use proptest::prelude::*;
use rig::{
    LAN_0, LAN_1, Plan, Rig, WAN,
    frames::{EVERYBODY, PC_1, PC_2, packet_a},
};

/// What session A (UDP, cookie of 8 bytes, sublayer) adds to a frame. Units: bytes.
const OVERHEAD_A: u16 = 48;
/// The same, with the outer Ethernet header.
const OUTER_A: usize = 14 + OVERHEAD_A as usize;

fn plan(fragmentation: Fragmentation, path_mtu_bytes: usize) -> Plan {
    Plan { path_mtu_bytes, fragmentation, mss_clamp: MssClamp::Path, ..Plan::jumbo() }
}

/// What kind of packet is in a frame.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp4 { dont_fragment: bool },
    Udp6,
    Syn4,
    Syn6,
}

/// A frame of this length whose packet tells every byte's place.
fn frame(kind: Kind, to: [u8; 6], from: [u8; 6], len: usize) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(from, to);
    let mss = [TcpOptionElement::MaximumSegmentSize(8960)];
    let payload = |headers: usize| -> Vec<u8> { (0..=250).cycle().take(len - 14 - headers).collect() };
    let mut frame = Vec::new();
    let (v4, v6) = (([192, 168, 1, 1], [192, 168, 1, 2]), ([0xFD; 16], [0xFC; 16]));
    match kind {
        Kind::Udp4 { dont_fragment } => {
            let mut ip = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::UDP, v4.0, v4.1).unwrap();
            ip.dont_fragment = dont_fragment;
            let ip = etherparse::IpHeaders::Ipv4(ip, Default::default());
            link.ip(ip).udp(7, 9).write(&mut frame, &payload(28))
        }
        Kind::Udp6 => link.ipv6(v6.0, v6.1, 64).udp(7, 9).write(&mut frame, &payload(48)),
        Kind::Syn4 => {
            let tcp = link.ipv4(v4.0, v4.1, 64).tcp(1, 2, 3, 4).syn();
            tcp.options(&mss).unwrap().write(&mut frame, &payload(44))
        }
        Kind::Syn6 => {
            let tcp = link.ipv6(v6.0, v6.1, 64).tcp(1, 2, 3, 4).syn();
            tcp.options(&mss).unwrap().write(&mut frame, &payload(64))
        }
    }
    .unwrap();
    frame
}

fn rig(plan: Plan) -> Rig {
    let rig = Rig::with(plan);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
    rig
}

#[test]
fn the_sender_of_a_jumbo_packet_is_told_what_fits() {
    let mut rig = rig(plan(Fragmentation::Drop, 1500));
    let long = frame(Kind::Udp4 { dont_fragment: true }, PC_2, PC_1, 9014);
    rig.deliver(LAN_0, &long);
    assert_eq!(rig.drops(DropReason::TooBig), 1);
    let answer = rig.sent(LAN_0).pop().unwrap();
    let judged = SlicedPacket::from_ethernet(&answer).unwrap();
    let Some(TransportSlice::Icmpv4(icmp)) = &judged.transport else { panic!("no ICMP") };
    let expected = FragmentationNeeded { next_hop_mtu: 1500 - OVERHEAD_A - 14 };
    assert_eq!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(expected));
    assert_eq!(icmp.payload(), &long[14..][..548], "the packet is quoted");
    rig.assert_conserved();
}

#[test]
fn a_jumbo_packet_that_may_be_fragmented_goes_through_in_pieces() {
    let mut rig = rig(plan(Fragmentation::Inner, 1500));
    let long = frame(Kind::Udp4 { dont_fragment: false }, PC_2, PC_1, 9014);
    rig.deliver(LAN_0, &long);
    let sent = rig.sent(WAN);
    let mut payload: Vec<u8> = Vec::new();
    for packet in &sent {
        assert!(packet.len() <= 1514);
        let judged = SlicedPacket::from_ethernet(&packet[OUTER_A..]).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &judged.net else { panic!("no IPv4") };
        assert_eq!(usize::from(ip.header().fragments_offset().byte_offset()), payload.len());
        payload.extend(ip.payload().payload);
    }
    assert_eq!(payload, &long[34..], "together they are the packet");
    rig.assert_conserved();
}

#[test]
fn on_a_path_that_takes_more_than_a_chunk_pieces_are_as_long_as_chunks_are() {
    for path_mtu_bytes in [2000, 4000, 8900] {
        let mut rig = rig(plan(Fragmentation::Inner, path_mtu_bytes));
        let long = frame(Kind::Udp4 { dont_fragment: false }, PC_2, PC_1, 9014);
        rig.deliver(LAN_0, &long);
        let mut payload: Vec<u8> = Vec::new();
        for packet in rig.sent(WAN) {
            assert!(packet.len() <= path_mtu_bytes + 14);
            let judged = SlicedPacket::from_ethernet(&packet[OUTER_A..]).unwrap();
            let Some(NetSlice::Ipv4(ip)) = &judged.net else { panic!("no IPv4") };
            payload.extend(ip.payload().payload);
        }
        assert!(payload == long[34..], "together they are the packet, on a path of {path_mtu_bytes}");
        rig.assert_conserved();
    }
}

#[test]
fn a_syn_that_brings_a_jumbo_payload_is_clamped_both_ways() {
    for kind in [Kind::Syn4, Kind::Syn6] {
        let mut rig = rig(plan(Fragmentation::Outer, 8900));
        let headers = if matches!(kind, Kind::Syn4) { 40 } else { 60 };
        let expected = 8900 - OVERHEAD_A - 14 - headers;
        rig.deliver(LAN_0, &frame(kind, PC_2, PC_1, 5001));
        assert_eq!(mss_of(&rig.sent(WAN)[0][OUTER_A..]), expected);
        rig.deliver(WAN, &packet_a(&frame(kind, PC_1, PC_2, 5001)));
        assert_eq!(mss_of(&rig.sent(LAN_0)[0]), expected);
        rig.assert_conserved();
    }
}

/// The MSS of a frame whose TCP checksum is right.
fn mss_of(frame: &[u8]) -> u16 {
    let judged = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = judged.transport else { panic!("no TCP") };
    let header = tcp.to_header();
    let checksum = match judged.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            header.calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), tcp.payload())
        }
        NetSlice::Ipv6(ip) => {
            header.calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), tcp.payload())
        }
        NetSlice::Arp(_) => panic!("no ARP"),
    };
    assert_eq!(checksum.unwrap(), header.checksum);
    let Some(Ok(TcpOptionElement::MaximumSegmentSize(mss))) = tcp.options_iterator().next() else {
        panic!("no MSS")
    };
    mss
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any::<bool>().prop_map(|dont_fragment| Kind::Udp4 { dont_fragment }),
        Just(Kind::Udp6),
        Just(Kind::Syn4),
        Just(Kind::Syn6),
    ]
}

fn fragmentation() -> impl Strategy<Value = Fragmentation> {
    prop_oneof![Just(Fragmentation::Outer), Just(Fragmentation::Inner), Just(Fragmentation::Drop)]
}

/// Every number that the engine counts of frames, and what left by each port.
fn outcome(rig: &mut Rig) -> (Vec<u64>, Vec<Vec<Vec<u8>>>) {
    let counters = rig.count();
    let mut numbers = vec![counters.forwarded.get(), counters.flooded.get(), counters.copies.get()];
    numbers.extend(DropReason::ALL.iter().map(|&reason| counters.drops.get(reason)));
    numbers.extend(DropReason::ALL.iter().map(|&reason| counters.copy_drops.get(reason)));
    for session in &rig.sessions {
        let session = session.of(0).unwrap();
        numbers.extend([session.tx_bytes.get(), session.icmp_sent.get(), session.icmp_limited.get()]);
        numbers.extend([session.inner_fragmented.get(), session.mss_clamped.get()]);
    }
    (numbers, [LAN_0, LAN_1, WAN].map(|port| rig.sent_unnumbered(port)).into())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// As long as the head has what an answer quotes, which the first chunk of any jumbo frame has.
    #[test]
    fn a_long_frame_in_pieces_ends_as_the_same_frame_in_one(
        fragmentation in fragmentation(),
        path in 600usize..1600,
        arrivals in prop::collection::vec((kind(), 0usize..3, 200usize..1700, 1330usize..1500, 120usize..400, any::<bool>()), 1..12),
    ) {
        let (mut whole, mut cut) = (rig(plan(fragmentation, path)), rig(plan(fragmentation, path)));
        for (kind, to, len, head, piece, on_wan) in arrivals {
            let bytes = frame(kind, [PC_2, EVERYBODY, [2, 0, 0, 0, 9, 9]][to], PC_1, len);
            // From the peer the frame comes to PC 1, which is on LAN 0.
            let bytes = if on_wan { packet_a(&frame(kind, PC_1, PC_2, len)) } else { bytes };
            let port = if on_wan { WAN } else { LAN_0 };
            prop_assert!(whole.wires[port.index()].send_at(256, &bytes));
            whole.drain();
            let (front, rest) = bytes.split_at(head.min(bytes.len()));
            let pieces: Vec<&[u8]> = std::iter::once(front).chain(rest.chunks(piece)).collect();
            prop_assert!(cut.wires[port.index()].send_segments(pieces.into_iter()));
            cut.drain();
            let (whole, cut) = (outcome(&mut whole), outcome(&mut cut));
            prop_assert_eq!(&whole.0, &cut.0, "{:?} to {} of {}", kind, to, len);
            prop_assert!(whole.1 == cut.1, "{kind:?} to {to} of {len} left otherwise");
        }
        whole.assert_conserved();
        cut.assert_conserved();
    }
}
