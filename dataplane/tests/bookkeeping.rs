//! What the engine writes down beside carrying frames: who was heard when, bytes sent, addresses not learned, checksums
//! left to hardware, and where its chunks are.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::sync::atomic::Ordering::Relaxed;

use dataplane::{
    counters::Whereabouts,
    tables::{bridge_domains::MemberId, fdb::MacKey},
};
use rig::{
    CHUNKS, LAN_0, LAN_1, PEER_B, Plan, RING, Rig, WAN,
    frames::{
        EVERYBODY, PC_1, PC_2, changed, from_peer, inner, lan_frame, lan_frame_of, packet_a, packet_b,
        raw_packet,
    },
    pieces::pieces,
};
use wire::build::Transport;

#[test]
fn the_second_in_which_a_session_was_last_heard_is_noted() {
    let mut rig = Rig::new();
    let heard =
        |rig: &Rig| [0, 1].map(|at: usize| rig.sessions[at].of(0).unwrap().last_heard_s.load(Relaxed));
    assert_eq!(heard(&rig), [0, 0], "never");
    rig.clock.set_s(40);
    rig.deliver(WAN, &packet_a(&inner()));
    assert_eq!(heard(&rig), [40, 0]);
    rig.clock.set_s(55);
    rig.deliver(WAN, &packet_b(&inner()));
    rig.deliver(WAN, &changed(packet_a(&inner()), |packet| packet[50] ^= 1));
    assert_eq!(heard(&rig), [40, 55], "a wrong cookie is not the peer's");
    rig.deliver(WAN, &packet_a(&inner()));
    assert_eq!(heard(&rig), [55, 55]);
    rig.assert_conserved();
}

#[test]
fn frames_and_bytes_into_a_session_are_those_of_the_inner_frame() {
    let mut rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 1000));
    rig.deliver(LAN_1, &lan_frame_of(EVERYBODY, [2, 0, 0, 0, 0, 3], 100));
    let sent = |at: usize| {
        let counters = rig.sessions[at].of(0).unwrap();
        (counters.tx_frames.get(), counters.tx_bytes.get())
    };
    assert_eq!((sent(0), sent(1)), ((3, 60 + 1000 + 100), (1, 100)));
    rig.assert_conserved();
}

#[test]
fn frames_that_did_not_leave_count_as_drops_of_the_session_only() {
    let mut rig = Rig::new();
    rig.detach(WAN);
    rig.deliver(LAN_0, &inner());
    let counters = rig.sessions[1].of(0).unwrap();
    assert_eq!((counters.tx_frames.get(), counters.tx_bytes.get(), counters.drops.total()), (0, 0, 1));
    rig.assert_conserved();
}

#[test]
fn addresses_that_find_the_fdb_full_are_counted_and_their_frames_flooded() {
    let mut rig = Rig::with(Plan { fdb_entries: 1, ..Plan::default() });
    let places = rig.fdb.capacity();
    let stations = u8::try_from(places).unwrap() + 5;
    for last in 0..stations {
        rig.deliver(LAN_0, &lan_frame(EVERYBODY, [2, 0, 0, 0, 1, last]));
        rig.discard_sent();
    }
    assert_eq!(rig.fdb.entries().count(), places);
    assert_eq!((rig.count().fdb_full.get(), rig.count().flooded.get()), (5, u64::from(stations)));
    rig.assert_conserved();
}

/// A UDP frame of a LAN whose checksum field holds only the pseudo-header sum, as a sender leaves it to its NIC.
fn unfilled() -> Vec<u8> {
    let mut packet = raw_packet(&from_peer(PEER_B, Transport::udp_unchecked(7, 7)), b"ping");
    // 10.200.100.10 to 10.200.100.6, protocol 17, 12 bytes: 0ac8 + 640a + 0ac8 + 6406 + 0011 + 000c.
    packet[40..42].copy_from_slice(&[0xDD, 0xBD]);
    packet
}

#[test]
fn a_checksum_that_was_left_to_hardware_is_noticed_on_the_port_it_came_by() {
    let mut rig = Rig::new();
    let noticed =
        |rig: &Rig| [0, 1, 2].map(|at: usize| rig.port_counters[at].of(0).unwrap().partial_checksums.get());
    rig.deliver(LAN_1, &unfilled());
    assert_eq!(noticed(&rig), [0, 1, 0]);
    rig.deliver(LAN_1, &raw_packet(&from_peer(PEER_B, Transport::udp(7, 7)), b"ping"));
    rig.deliver(LAN_1, &raw_packet(&from_peer(PEER_B, Transport::udp_unchecked(7, 7)), b"ping"));
    assert_eq!(noticed(&rig), [0, 1, 0], "a right one and none at all");
    rig.deliver(LAN_0, &unfilled());
    assert_eq!(noticed(&rig), [1, 1, 0]);
    rig.assert_conserved();
}

#[test]
fn of_a_batch_only_the_first_frame_s_checksum_is_looked_at() {
    let mut rig = Rig::new();
    for bytes in [unfilled(), unfilled(), inner()] {
        assert!(rig.arrive(LAN_1, &bytes));
    }
    rig.drain();
    assert_eq!(rig.port_counters[LAN_1.index()].of(0).unwrap().partial_checksums.get(), 1);
    rig.assert_conserved();
}

#[test]
fn what_the_far_side_did_not_take_leaves_later_without_another_frame_coming() {
    let mut rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(1), 1);
    let wire = rig.wires[LAN_1.index()].clone();
    wire.hold_up(true);
    rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    rig.drain();
    assert!(rig.sent(LAN_1).is_empty());
    wire.hold_up(false);
    // Nothing comes, and nothing was completed: a quiet round.
    assert_eq!(rig.worker.round(), 0);
    assert_eq!(wire.waiting(), 1);
    assert_eq!(rig.sent(LAN_1), [lan_frame(PC_2, PC_1)]);
    rig.assert_conserved();
}

#[test]
fn chunks_are_counted_where_they_are() {
    let mut rig = Rig::new();
    let ring = u64::from(RING);
    let now = |rig: &mut Rig| {
        rig.drain();
        let chunks = rig.count().chunks.read();
        assert!(chunks.is_conserved(), "{chunks:?}");
        rig.outside.flush();
        assert_eq!(rig.pool.free_count() as u64 + chunks.on_loan, u64::from(CHUNKS));
        chunks
    };
    let whole = Whereabouts { fill: 3 * ring, on_loan: 3 * ring, ..Whereabouts::default() };
    assert_eq!(now(&mut rig), whole, "attached with full fill rings");

    rig.fdb.learn(MacKey::new(PC_2), MemberId(1), 1);
    for _ in 0..5 {
        rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    }
    let sent = now(&mut rig);
    assert_eq!((sent.fill, sent.tx), (3 * ring, 5), "five wait for the far side, five others were lent");

    rig.deliver(WAN, &pieces(&packet_a(&lan_frame_of(PC_2, PC_1, 1000)), 1, 480)[1]);
    let parked = now(&mut rig);
    assert_eq!(
        (parked.parked, parked.fill, parked.tx),
        (1, 3 * ring, 5),
        "a fragment waits, another chunk was lent"
    );

    assert_eq!(rig.detach(LAN_0), 1);
    let detached = now(&mut rig);
    assert_eq!((detached.fill, detached.tx), (2 * ring, 5));
    assert_eq!(sent.on_loan - detached.on_loan, ring, "left with the queue");

    assert_eq!(rig.detach(LAN_1), 1);
    let detached = now(&mut rig);
    assert_eq!((detached.fill, detached.tx), (ring, 0), "frames nobody took left with their queue");

    rig.attach(LAN_0);
    assert_eq!(now(&mut rig).fill, 2 * ring);
    assert_eq!((rig.detach(WAN), rig.detach(LAN_0), rig.detach(LAN_0)), (1, 1, 0));
    let bare = now(&mut rig);
    assert_eq!((bare.fill, bare.tx, bare.parked, bare.cached), (0, 0, 1, bare.on_loan - 1));
}
