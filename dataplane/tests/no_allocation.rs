//! The packet path allocates nothing once it is warm: a counting allocator watches every stage.
//!
//! One test in a binary of its own: the allocator counts for the whole process.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{
    alloc::System,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rig::{COOKIE_A, LAN_0, LAN_1, LOCAL, PEER_A, Rig, WAN};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::{
    build::{self, FrameSpec, Transport},
    l2tpv3::{Cookie, DataHeader, SessionId, Sublayer},
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn lan_frame(to: [u8; 6], from: u8) -> Vec<u8> {
    let mut bytes = [&to[..], &[2, 0, 0, 0, 0, from, 0x88, 0xB5]].concat();
    bytes.resize(60, 0);
    bytes
}

fn tunnel_packet(inner: &[u8], cookie: [u8; 8]) -> Vec<u8> {
    let spec = FrameSpec {
        source_ip: IpAddr::V4(PEER_A),
        destination_ip: IpAddr::V4(LOCAL),
        transport: Transport::udp(5001, 6001),
        ..FrameSpec::default()
    };
    let header = DataHeader::new(SessionId::new(1000).unwrap(), Cookie::eight(cookie), Sublayer::Default);
    let mut bytes = vec![0; 256];
    let used = build::l2tp_frame(&mut bytes, &spec, &header, inner).unwrap();
    bytes.truncate(used);
    bytes
}

/// Floods, unicast both ways, relays, and drops: everything a frame can meet.
fn traffic() -> Vec<(dataplane::tables::PortId, Vec<u8>)> {
    let everybody = [0xFF; 6];
    let unknown = [2, 0, 0, 0, 9, 9];
    vec![
        (LAN_0, lan_frame(everybody, 1)),
        (LAN_1, lan_frame([2, 0, 0, 0, 0, 1], 2)),
        (WAN, tunnel_packet(&lan_frame([2, 0, 0, 0, 0, 1], 3), COOKIE_A)),
        (LAN_0, lan_frame([2, 0, 0, 0, 0, 3], 1)),
        (LAN_0, lan_frame(unknown, 1)),
        (WAN, tunnel_packet(&lan_frame(unknown, 3), COOKIE_A)),
        (WAN, tunnel_packet(&lan_frame(unknown, 3), [0; 8])),
        (WAN, vec![0; 20]),
        (LAN_1, vec![1; 10]),
    ]
}

#[test]
fn a_warm_path_does_not_touch_the_allocator() {
    let mut rig = Rig::new();
    let traffic = traffic();
    let allocations = AtomicU64::new(0);
    let pass = |rig: &mut Rig| {
        for (port, bytes) in traffic.iter().cycle().take(90) {
            assert!(rig.arrive(*port, bytes));
        }
        rig.drain();
        rig.discard_sent();
    };
    pass(&mut rig);
    let region = Region::new(ALLOCATOR);
    for _ in 0..20 {
        pass(&mut rig);
    }
    let change = region.change();
    allocations.store((change.allocations + change.deallocations + change.reallocations) as u64, Relaxed);
    assert_eq!(allocations.load(Relaxed), 0, "{change:?}");
    let counters = rig.counters.of(0).unwrap();
    assert!(counters.forwarded.get() > 0 && counters.flooded.get() > 0 && counters.drops.total() > 0);
    rig.assert_conserved();
}
