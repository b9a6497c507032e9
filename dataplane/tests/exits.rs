//! What can keep a frame from leaving by the member it was meant for: each has its own reason, and costs no chunk.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::{
    tables::{bridge_domains::MemberId, fdb::MacKey, oversize::Fragmentation},
    verdict::DropReason,
};
use rig::{
    LAN_0, LAN_1, LAN_FRAME_BYTES, Plan, RING, Rig, WAN,
    frames::{EVERYBODY, PC_1, PC_2, inner, lan_frame, lan_frame_of},
};
use wire::ethernet::VlanId;

/// A rig in which PC 2 lives behind a member.
fn with_pc_2_behind(member: u16) -> Rig {
    let rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(member), 1);
    rig
}

#[test]
fn a_port_without_a_queue_of_this_worker_is_told_from_one_whose_ring_is_full() {
    for (member, port) in [(1, LAN_1), (2, WAN)] {
        let mut rig = with_pc_2_behind(member);
        for _ in 0..RING {
            rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
        }
        assert_eq!(rig.count().drops.total(), 0, "the ring has room for all of them");
        rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
        assert_eq!((rig.drops(DropReason::TxRingFull), rig.count().drops.total()), (1, 1));
        rig.discard_sent();
        rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
        assert_eq!((rig.sent(port).len(), rig.count().drops.total()), (1, 1), "room again");

        assert_eq!(rig.detach(port), 1);
        rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
        assert_eq!((rig.drops(DropReason::NoTxQueue), rig.count().drops.total()), (1, 2));
        if port == WAN {
            let drops = &rig.sessions[0].of(0).unwrap().drops;
            assert_eq!((drops.get(DropReason::TxRingFull), drops.get(DropReason::NoTxQueue)), (1, 1));
        }
        rig.assert_conserved();
    }
}

#[test]
fn a_flood_passes_by_members_without_a_queue() {
    let mut rig = Rig::new();
    rig.detach(WAN);
    rig.deliver(LAN_0, &inner());
    assert_eq!(rig.sent(LAN_1), [inner()]);
    let counters = rig.count();
    assert_eq!((counters.flooded.get(), counters.copy_drops.get(DropReason::NoTxQueue)), (1, 2));
    rig.assert_conserved();
}

#[test]
fn a_port_transmits_frames_up_to_its_limit_and_no_larger_ones() {
    let mut rig = with_pc_2_behind(1);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, LAN_FRAME_BYTES));
    assert_eq!(rig.sent(LAN_1), [lan_frame_of(PC_2, PC_1, LAN_FRAME_BYTES)]);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, LAN_FRAME_BYTES + 1));
    assert_eq!((rig.drops(DropReason::TooBig), rig.discard_sent()), (1, 0));

    rig.deliver(LAN_0, &lan_frame_of(EVERYBODY, PC_1, LAN_FRAME_BYTES + 1));
    assert_eq!((rig.sent(LAN_1).len(), rig.sent(WAN).len()), (0, 2), "the pseudowires take a little more");
    assert_eq!(rig.count().copy_drops.get(DropReason::TooBig), 1);
    rig.assert_conserved();
}

#[test]
fn the_tag_that_a_member_pushes_counts_towards_the_limit() {
    let mut plan = Plan::default();
    plan.members[1].vlan = Some(VlanId::new(20).unwrap());
    let mut rig = Rig::with(plan);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(1), 1);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, LAN_FRAME_BYTES - 4));
    assert_eq!(rig.sent(LAN_1)[0].len(), LAN_FRAME_BYTES);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, LAN_FRAME_BYTES - 3));
    assert_eq!((rig.drops(DropReason::TooBig), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn a_path_takes_frames_up_to_its_mtu_and_no_larger_ones() {
    // IPv4 20, UDP 8, flags 4, session id 4, cookie 8, sublayer 4: what is left of the path for the frame.
    let largest = 1500 - 48;
    let fragmentation = Fragmentation::Drop;
    let mut rig = Rig::with(Plan { path_mtu_bytes: 1500, fragmentation, ..Plan::default() });
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, largest));
    assert_eq!(rig.sent(WAN)[0].len(), 14 + 1500);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, largest + 1));
    assert_eq!((rig.drops(DropReason::TooBig), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn a_frame_that_starts_too_near_to_its_chunk_s_begin_is_not_encapsulated() {
    // Headers of 62 bytes are copied as 64.
    const ROOM_BYTES: usize = 64;
    let mut rig = with_pc_2_behind(2);
    let sent = lan_frame(PC_2, PC_1);
    assert!(rig.wires[LAN_0.index()].send_at(ROOM_BYTES, &sent));
    rig.drain();
    assert_eq!(rig.sent(WAN).len(), 1, "just enough room for the headers");
    assert!(rig.wires[LAN_0.index()].send_at(ROOM_BYTES - 1, &sent));
    rig.drain();
    assert_eq!((rig.drops(DropReason::NoHeadroom), rig.discard_sent()), (1, 0));
    assert_eq!(rig.sessions[0].of(0).unwrap().drops.get(DropReason::NoHeadroom), 1);
    rig.assert_conserved();
}

#[test]
fn a_tag_without_room_in_front_is_not_pushed() {
    let mut plan = Plan::default();
    plan.members[1].vlan = Some(VlanId::new(20).unwrap());
    let mut rig = Rig::with(plan);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(1), 1);
    assert!(rig.wires[LAN_0.index()].send_at(3, &lan_frame(PC_2, PC_1)));
    rig.drain();
    assert_eq!((rig.drops(DropReason::NoHeadroom), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}
