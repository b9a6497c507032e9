//! The master invariant under random traffic, full rings and exhausted memory:
//! received = forwarded + flooded + dropped, and free + in flight = all chunks.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::verdict::DropReason;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rig::{
    LAN_0, LAN_1, RING, Rig, WAN,
    frames::{inner, lan_frame_of, lengthen, packet_a, packet_a_over, packet_b, reseal},
};
use wire::build::Transport;

/// A frame to inject: port, good or random bytes.
#[derive(Clone, Debug)]
struct Injected {
    port: usize,
    bytes: Vec<u8>,
}

/// What is done to a good packet. Its IPv4 header is sealed again afterwards, so that the checks behind it are reached.
#[derive(Clone, Debug)]
enum Damage {
    None,
    /// Other bits at an offset into the packet's headers, or behind them.
    Bits(usize, u8),
    /// Another IPv4 total length.
    IpLength(i16),
    /// Another UDP length.
    UdpLength(i16),
    /// Both lengths changed together, as by a sender that means it.
    BothLengths(i16),
    /// Bytes gone from the end.
    Cut(usize),
    /// As [`Damage::Bits`], unsealed.
    Unsealed(usize, u8),
}

fn station() -> impl Strategy<Value = [u8; 6]> {
    (0u8..20).prop_map(|last| [2, 0, 0, 0, 0, last])
}

fn any_lan_frame() -> impl Strategy<Value = Vec<u8>> {
    (station(), station(), 14usize..1600).prop_map(|(to, from, len)| lan_frame_of(to, from, len))
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => Just(Damage::None),
        4 => (14usize..76, any::<u8>()).prop_map(|(at, bits)| Damage::Bits(at, bits)),
        1 => (0usize..1700, any::<u8>()).prop_map(|(at, bits)| Damage::Bits(at, bits)),
        1 => (-80i16..80).prop_map(Damage::IpLength),
        1 => (-80i16..80).prop_map(Damage::UdpLength),
        2 => (-80i16..80).prop_map(Damage::BothLengths),
        1 => (0usize..120).prop_map(Damage::Cut),
        1 => (0usize..100, any::<u8>()).prop_map(|(at, bits)| Damage::Unsealed(at, bits)),
    ]
}

fn inflict(damage: &Damage, packet: &mut Vec<u8>) {
    let is_udp = packet[23] == 17;
    match *damage {
        Damage::None => {}
        Damage::Bits(at, bits) | Damage::Unsealed(at, bits) => {
            let at = at % packet.len();
            packet[at] ^= bits;
        }
        Damage::IpLength(by) => lengthen(packet, 16, by),
        Damage::UdpLength(by) if is_udp => lengthen(packet, 38, by),
        Damage::BothLengths(by) => {
            lengthen(packet, 16, by);
            if is_udp {
                lengthen(packet, 38, by);
            }
        }
        Damage::UdpLength(_) => {}
        Damage::Cut(bytes) => packet.truncate(packet.len().saturating_sub(bytes).max(34)),
    }
    if !matches!(damage, Damage::Unsealed(..)) {
        reseal(packet);
    }
}

fn any_tunnel_packet() -> impl Strategy<Value = Vec<u8>> {
    let inner = (station(), station(), prop_oneof![14usize..100, 14usize..1500])
        .prop_map(|(to, from, len)| lan_frame_of(to, from, len));
    (inner, 0..3, damage()).prop_map(|(inner, form, damage)| {
        let mut packet = match form {
            0 => packet_a(&inner),
            1 => packet_a_over(Transport::udp(5001, 6001), &inner),
            _ => packet_b(&inner),
        };
        inflict(&damage, &mut packet);
        packet
    })
}

fn injected() -> impl Strategy<Value = Injected> {
    let bytes = prop_oneof![
        4 => any_lan_frame(),
        4 => any_tunnel_packet(),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ];
    (0usize..3, bytes).prop_map(|(port, bytes)| Injected { port, bytes })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_arrives_is_accounted_for(
        frames in proptest::collection::vec(injected(), 0..400),
        rounds in proptest::collection::vec(1usize..100, 1..20),
    ) {
        let mut rig = Rig::new();
        let ports = [LAN_0, LAN_1, WAN];
        let mut rounds = rounds.iter().cycle();
        let (mut waiting, mut arrived) = (0, 0);
        for frame in &frames {
            if rig.arrive(ports[frame.port], &frame.bytes) {
                waiting += 1;
                arrived += 1;
            }
            if waiting >= *rounds.next().unwrap() {
                rig.worker.round();
                rig.discard_sent();
                waiting = 0;
            }
        }
        rig.assert_conserved();
        prop_assert_eq!(rig.count().received.get(), arrived);
    }
}

#[test]
fn damaged_packets_reach_every_check_of_decapsulation() {
    let mut runner = TestRunner::deterministic();
    let mut rig = Rig::new();
    for _ in 0..6_000 {
        let packet = any_tunnel_packet().new_tree(&mut runner).unwrap().current();
        rig.deliver(WAN, &packet);
        rig.discard_sent();
    }
    let checks = [
        DropReason::NotIp,
        DropReason::IpMalformed,
        DropReason::IpChecksum,
        DropReason::FragmentTiny,
        DropReason::FragmentMalformed,
        DropReason::NotTunnelProtocol,
        DropReason::UdpMalformed,
        DropReason::UdpChecksum,
        DropReason::L2tpVersion,
        DropReason::L2tpControl,
        DropReason::UnknownSession,
        DropReason::WrongSource,
        DropReason::CookieMismatch,
        DropReason::Vccv,
        DropReason::Pwe3Fragment,
        DropReason::PayloadTruncated,
        DropReason::InvalidSource,
    ];
    for reason in checks {
        assert!(rig.drops(reason) > 0, "no packet was dropped for {reason:?}");
    }
    assert!(rig.count().flooded.get() + rig.count().forwarded.get() > 1_000, "many are still good");
    rig.assert_conserved();
}

#[test]
fn a_full_transmit_ring_drops_with_its_reason_and_loses_no_chunk() {
    let mut rig = Rig::new();
    for _ in 0..150 {
        assert!(rig.arrive(LAN_0, &inner()));
    }
    rig.drain();
    // 150 floods make 300 packets for a ring of 256; the other LAN's ring takes all its 150.
    let counters = rig.count();
    assert_eq!(counters.copy_drops.get(DropReason::TxRingFull), 300 - u64::from(RING));
    assert_eq!(counters.flooded.get(), 150, "each reached the other LAN at least");
    assert_eq!(rig.sent(WAN).len(), RING as usize);
    assert_eq!(rig.sent(LAN_1).len(), 150);
    rig.assert_conserved();
}

#[test]
fn floods_without_free_chunks_still_reach_the_last_member() {
    let mut rig = Rig::new();
    let mut hoard = Vec::new();
    while let Some(chunk) = rig.outside.take() {
        hoard.push(chunk);
    }
    rig.deliver(LAN_0, &inner());
    let counters = rig.count();
    assert_eq!((counters.flooded.get(), counters.copy_drops.get(DropReason::NoChunk)), (1, 2));
    assert_eq!(rig.discard_sent(), 1);
    hoard.into_iter().for_each(|chunk| rig.outside.give(chunk));
    rig.assert_conserved();
}
