//! The master invariant under random traffic, full rings and exhausted memory:
//! received = forwarded + flooded + dropped, and free + in flight = all chunks.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::verdict::DropReason;
use proptest::prelude::*;
use rig::{COOKIE_A, LAN_0, LAN_1, LOCAL, PEER_A, PEER_B, Rig, WAN};
use std::net::IpAddr;
use wire::{
    build::{self, FrameSpec, Transport},
    l2tpv3::{Cookie, DataHeader, SessionId, Sublayer},
};

/// A frame to inject: port, good or random bytes.
#[derive(Clone, Debug)]
struct Injected {
    port: usize,
    bytes: Vec<u8>,
}

fn lan_frame() -> impl Strategy<Value = Vec<u8>> {
    (0u8..20, 0u8..20, 14usize..1600).prop_map(|(to, from, len)| {
        let mut bytes = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xB5];
        bytes.resize(len, 0);
        bytes
    })
}

fn tunnel_packet() -> impl Strategy<Value = Vec<u8>> {
    (lan_frame(), any::<bool>(), any::<Option<(u16, u8)>>()).prop_map(|(mut inner, over_udp, damage)| {
        inner.truncate(1500);
        let (remote, transport, id, cookie) = if over_udp {
            (PEER_A, Transport::udp_unchecked(5001, 6001), 1000, Cookie::eight(COOKIE_A))
        } else {
            (PEER_B, Transport::L2TP_IP, 2000, Cookie::NONE)
        };
        let spec = FrameSpec {
            source_ip: IpAddr::V4(remote),
            destination_ip: IpAddr::V4(LOCAL),
            transport,
            ..FrameSpec::default()
        };
        let header = DataHeader::new(SessionId::new(id).unwrap(), cookie, Sublayer::Default);
        let mut bytes = vec![0; 1700];
        let used = build::l2tp_frame(&mut bytes, &spec, &header, &inner).unwrap();
        bytes.truncate(used);
        if let Some((at, value)) = damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= value;
        }
        bytes
    })
}

fn injected() -> impl Strategy<Value = Injected> {
    let bytes = prop_oneof![
        4 => lan_frame(),
        4 => tunnel_packet(),
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
        let mut waiting = 0;
        for frame in &frames {
            waiting += usize::from(rig.arrive(ports[frame.port], &frame.bytes));
            if waiting >= *rounds.next().unwrap() {
                rig.worker.round();
                rig.discard_sent();
                waiting = 0;
            }
        }
        rig.assert_conserved();
        prop_assert_eq!(rig.counters.of(0).unwrap().received.get(), frames.len() as u64);
    }
}

#[test]
fn a_full_transmit_ring_drops_with_its_reason_and_loses_no_chunk() {
    let mut rig = Rig::new();
    let mut frame = vec![0xFF; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xB5]);
    frame.resize(60, 0);
    for _ in 0..300 {
        assert!(rig.arrive(LAN_0, &frame));
    }
    rig.drain();
    // 300 floods make 600 packets for a ring of 512; the other LAN's ring takes all its 300.
    let counters = rig.counters.of(0).unwrap();
    assert_eq!(counters.copy_drops.get(DropReason::TxRingFull), 88);
    assert_eq!(counters.flooded.get(), 300, "each reached the other LAN at least");
    assert_eq!(rig.sent(WAN).len(), 512);
    assert_eq!(rig.sent(LAN_1).len(), 300);
    rig.assert_conserved();
}

#[test]
fn floods_without_free_chunks_still_reach_the_last_member() {
    let mut rig = Rig::new();
    let mut frame = vec![0xFF; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x88, 0xB5]);
    frame.resize(60, 0);
    let mut hoard = Vec::new();
    assert!(rig.arrive(LAN_0, &frame));
    while let Some(chunk) = rig.outside.take() {
        hoard.push(chunk);
    }
    rig.drain();
    let counters = rig.counters.of(0).unwrap();
    assert_eq!((counters.flooded.get(), counters.copy_drops.get(DropReason::NoChunk)), (1, 2));
    assert_eq!(rig.discard_sent(), 1);
    hoard.into_iter().for_each(|chunk| rig.outside.give(chunk));
    rig.assert_conserved();
}
