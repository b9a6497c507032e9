//! One frame for every reason a frame can be dropped for. A reason without a frame does not compile.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{ops::Range, sync::Arc};

use dataplane::{
    exchange::LANE_CHUNKS,
    tables::{
        attachment::Attachment,
        bridge_domains::{Circuit, MemberId},
        fdb::MacKey,
        oversize::Fragmentation,
        session_state::RxSequencing,
    },
    verdict::DropReason,
};
use rig::{
    LAN_0, PEER_B, Plan, RING, Rig, WAN, fragment_of,
    frames::{
        EVERYBODY, PC_1, PC_2, changed, from_peer, inner, lan_frame, lan_frame_of, lengthen, packet_a,
        packet_a_over, packet_b, raw_packet,
    },
    pieces::{piece, pieces},
};
use wire::build::Transport;

/// A rig that got one packet on the WAN.
fn on_wan(packet: &[u8]) -> Rig {
    let mut rig = Rig::new();
    rig.deliver(WAN, packet);
    rig
}

/// A rig that got session A's packet with a change.
fn changed_a(change: impl FnOnce(&mut Vec<u8>)) -> Rig {
    on_wan(&changed(packet_a(&inner()), change))
}

/// A rig that got session B's packet with a change.
fn changed_b(change: impl FnOnce(&mut Vec<u8>)) -> Rig {
    on_wan(&changed(packet_b(&inner()), change))
}

/// A rig with other tables that got one frame on LAN 0; PC 2 lives behind session A.
fn on_lan(frame: &[u8], change: impl FnOnce(&mut Plan)) -> Rig {
    let mut plan = Plan::default();
    change(&mut plan);
    let mut rig = Rig::with(plan);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.deliver(LAN_0, frame);
    rig
}

fn wrong_udp_checksum() -> Rig {
    let mut packet = packet_a_over(Transport::udp(5001, 6001), &inner());
    *packet.last_mut().unwrap() ^= 1;
    on_wan(&packet)
}

fn without_udp_checksum() -> Rig {
    let mut rig = Rig::with(Plan { udp_checksum: true, ..Plan::default() });
    rig.deliver(WAN, &packet_a(&inner()));
    rig
}

fn wrong_ip_checksum() -> Rig {
    let mut packet = packet_a(&inner());
    packet[25] ^= 1;
    on_wan(&packet)
}

/// Congestion noted on an inner packet that is not ECN-capable.
fn congested() -> Rig {
    let mut rig = Rig::with(Plan { combines_ecn: true, ..Plan::default() });
    let mut frame = lan_frame(EVERYBODY, PC_1);
    frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
    rig.deliver(WAN, &changed(packet_a(&frame), |packet| packet[15] = 3));
    rig
}

/// A packet with the option "loose source route", padded.
fn source_routed() -> Rig {
    changed_b(|packet| {
        packet.splice(34..34, [131, 7, 8, 10, 0, 0, 1, 0]);
        packet[14] = 0x47;
        lengthen(packet, 16, 8);
    })
}

fn unbridged_session() -> Rig {
    let nowhere = [Attachment::default(), Attachment::default()];
    let mut rig = Rig::with(Plan { session_attachments: nowhere, ..Plan::default() });
    rig.deliver(WAN, &packet_a(&inner()));
    rig
}

fn between_grouped_members() -> Rig {
    let mut plan = Plan::default();
    plan.members[2].group = 1;
    plan.members[3].group = 1;
    let mut rig = Rig::with(plan);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(3), 1);
    rig.deliver(WAN, &packet_a(&lan_frame(PC_2, PC_1)));
    rig
}

fn without_headroom() -> Rig {
    let mut rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    assert!(rig.wires[LAN_0.index()].send_at(40, &lan_frame(PC_2, PC_1)));
    rig.drain();
    rig
}

/// A rig whose sessions demand numbers in order; it got packets of session B with these sublayers.
fn in_order(sublayers: &[[u8; 4]]) -> Rig {
    let rx_sequencing = std::array::from_fn(|_| RxSequencing::Strict(Arc::default()));
    let mut rig = Rig::with(Plan { rx_sequencing, ..Plan::default() });
    for word in sublayers {
        rig.deliver(WAN, &changed(packet_b(&inner()), |packet| packet[38..42].copy_from_slice(word)));
    }
    rig
}

/// A flood that got no chunk for its only copy.
fn without_chunks() -> Rig {
    let mut plan = Plan::default();
    plan.members.truncate(3);
    let mut rig = Rig::with(plan);
    let mut hoard = Vec::new();
    while let Some(chunk) = rig.outside.take() {
        hoard.push(chunk);
    }
    rig.deliver(LAN_0, &inner());
    hoard.into_iter().for_each(|chunk| rig.outside.give(chunk));
    rig
}

fn after_a_full_ring() -> Rig {
    let mut rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    for _ in 0..=RING {
        rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    }
    rig
}

fn without_queue() -> Rig {
    let mut rig = Rig::new();
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig.detach(WAN);
    rig.deliver(LAN_0, &lan_frame(PC_2, PC_1));
    rig
}

/// A rig that got one packet on the WAN whose first chunk has this many bytes of it.
fn on_wan_in_pieces(packet: &[u8], head: usize) -> Rig {
    let mut rig = Rig::with(Plan::jumbo());
    let (head, rest) = packet.split_at(head);
    assert!(rig.wires[WAN.index()].send_segments([head, rest].into_iter()));
    rig.drain();
    rig
}

/// A frame that would fit a chunk, but does not stand in one.
fn out_of_a_port_without_multi_buffer() -> Rig {
    let mut rig = Rig::with(Plan { max_segments: [17, 17, 1], ..Plan::default() });
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    let frame = lan_frame_of(PC_2, PC_1, 1000);
    assert!(rig.wires[LAN_0.index()].send_segments(frame.chunks(600)));
    rig.drain();
    rig
}

/// A packet of session A of 2000 bytes and more.
fn large() -> Vec<u8> {
    packet_a(&lan_frame_of(EVERYBODY, PC_1, 2100))
}

/// A rig that got fragments of one packet.
fn fragments(ranges: &[(Range<usize>, bool)]) -> Rig {
    let mut rig = Rig::new();
    for (range, more) in ranges {
        rig.deliver(WAN, &piece(&large(), 1, range.clone(), *more));
    }
    rig
}

fn too_many_fragments() -> Rig {
    fragments(&core::array::from_fn::<_, 21, _>(|at| (at * 80..at * 80 + 80, true)))
}

/// Eighteen fragments of a packet that does not fit a chunk: more chunks than a frame can have.
fn too_many_chunks() -> Rig {
    let mut rig = Rig::new();
    for part in pieces(&raw_packet(&from_peer(PEER_B, Transport::L2TP_IP), &[7; 18 * 120]), 1, 120) {
        rig.deliver(WAN, &part);
    }
    rig
}

fn contradictory_ecn() -> Rig {
    let mut rig = Rig::new();
    let congested = changed(piece(&large(), 1, 80..160, false), |packet| packet[15] = 3);
    rig.deliver(WAN, &piece(&large(), 1, 0..80, true));
    rig.deliver(WAN, &congested);
    rig
}

fn late_fragment() -> Rig {
    let mut rig = fragments(&[(0..80, true)]);
    rig.clock.set_s(10);
    rig.worker.round();
    rig
}

/// A rig that got the first fragments of many packets, of senders with these last numbers.
fn unfinished<const COUNT: usize>(senders: [u8; COUNT]) -> Rig {
    let mut rig = Rig::new();
    for (id, sender) in (0u32..).zip(senders) {
        rig.deliver(WAN, &changed(piece(&large(), id, 0..80, true), |packet| packet[29] = sender));
    }
    rig
}

/// A rig with another worker that takes nothing, which a tunnel's fragments belong to.
fn without_takers() -> Rig {
    let mut rig = Rig::with(Plan { other_workers: 1, ..Plan::default() });
    let packet = piece(&large(), 1, 0..80, true);
    assert_eq!(rig.others[0].owner(fragment_of(&packet).key.tunnel_hash()), 1);
    while rig.drops(DropReason::HandOverFull) == 0 {
        rig.deliver(WAN, &packet);
    }
    // What one tunnel may have wait: half of the room.
    assert_eq!(rig.count().handed.get(), LANE_CHUNKS as u64 / 2);
    rig
}

/// How many frames end with the one that is refused.
fn frames_lost_for(reason: DropReason) -> u64 {
    match reason {
        DropReason::FragmentOverlap | DropReason::FragmentLength => 2,
        DropReason::FragmentTooMany => 21,
        _ => 1,
    }
}

/// A rig in which exactly one frame met exactly this.
fn meet(reason: DropReason) -> Rig {
    let unknown_peer = from_peer(PEER_B, Transport::udp_unchecked(5001, 6001));
    match reason {
        DropReason::EthernetMalformed => on_lan(&[2; 13], |_| ()),
        DropReason::VlanNotMember => on_lan(&inner(), |plan| plan.attachments = Default::default()),
        DropReason::NotIp => changed_a(|packet| packet[12..14].copy_from_slice(&[0x08, 0x06])),
        DropReason::IpMalformed => changed_a(|packet| packet[14] = 0x44),
        DropReason::IpChecksum => wrong_ip_checksum(),
        DropReason::IpOptions => source_routed(),
        DropReason::NotTunnelProtocol => changed_a(|packet| packet[23] = 47),
        DropReason::FragmentMalformed => on_wan(&piece(&large(), 1, 0..100, true)),
        DropReason::FragmentTiny => on_wan(&piece(&large(), 1, 0..40, true)),
        DropReason::HandOverFull => without_takers(),
        DropReason::FragmentDuplicate => fragments(&[(0..80, true), (0..80, true)]),
        DropReason::FragmentOverlap => fragments(&[(0..80, true), (72..160, true)]),
        DropReason::FragmentLength => fragments(&[(80..100, false), (120..160, true)]),
        DropReason::FragmentTooMany => too_many_fragments(),
        DropReason::FragmentEcn => contradictory_ecn(),
        DropReason::ReassembledTooBig => too_many_chunks(),
        DropReason::FragmentTimeout => late_fragment(),
        DropReason::FragmentShare => unfinished([2; 257]),
        DropReason::ReassemblyFull => unfinished::<513>(core::array::from_fn(|id| [2, 3, 4][id / 256])),
        DropReason::UdpMalformed => changed_a(|packet| packet[38..40].copy_from_slice(&[0, 7])),
        DropReason::UdpChecksum => wrong_udp_checksum(),
        DropReason::UdpChecksumMissing => without_udp_checksum(),
        DropReason::L2tpTruncated => on_wan(&raw_packet(&from_peer(PEER_B, Transport::L2TP_IP), &[0, 0, 7])),
        DropReason::L2tpVersion => changed_a(|packet| packet[43] = 2),
        DropReason::L2tpControl => changed_b(|packet| packet[34..38].fill(0)),
        DropReason::UnknownSession => changed_a(|packet| packet[49] ^= 1),
        DropReason::WrongSource => on_wan(&raw_packet(&unknown_peer, &packet_a(&inner())[42..])),
        DropReason::CookieMismatch => changed_a(|packet| packet[57] ^= 0x80),
        DropReason::Vccv => changed_b(|packet| packet[38] = 0x80),
        DropReason::Pwe3Fragment => changed_b(|packet| packet[38] = 0x10),
        DropReason::SequenceMissing => in_order(&[[0; 4]]),
        DropReason::OutOfSequence => in_order(&[[0x40, 0, 0, 7], [0x40, 0, 0, 7]]),
        DropReason::PayloadTruncated => on_wan(&packet_b(&inner()[..13])),
        DropReason::CeOverNotEct => congested(),
        DropReason::SessionUnbridged => unbridged_session(),
        DropReason::InvalidSource => on_lan(&lan_frame(EVERYBODY, EVERYBODY), |_| ()),
        DropReason::ReservedMulticast => on_lan(&lan_frame([1, 0x80, 0xC2, 0, 0, 1], PC_1), |_| ()),
        DropReason::SamePort => on_lan(&lan_frame(PC_1, PC_1), |_| ()),
        DropReason::SplitHorizon => between_grouped_members(),
        DropReason::NoDestination => on_lan(&inner(), |plan| plan.members.truncate(1)),
        DropReason::MemberDown => {
            on_lan(&lan_frame(PC_2, PC_1), |plan| plan.members[2].circuit = Circuit::Down)
        }
        DropReason::TooBig => on_lan(&lan_frame_of(PC_2, PC_1, 200), |plan| {
            plan.path_mtu_bytes = 200;
            plan.fragmentation = Fragmentation::Drop;
        }),
        DropReason::NoHeadroom => without_headroom(),
        DropReason::NoChunk => without_chunks(),
        DropReason::TxRingFull => after_a_full_ring(),
        DropReason::NoTxQueue => without_queue(),
        DropReason::HeadersSplit => on_wan_in_pieces(&packet_a(&lan_frame_of(PC_1, PC_2, 1000)), 255),
        DropReason::TooManySegments => out_of_a_port_without_multi_buffer(),
    }
}

#[test]
fn every_reason_has_a_frame_that_is_dropped_for_it_alone() {
    for &reason in DropReason::ALL {
        let mut rig = meet(reason);
        let counters = rig.count();
        // A missing chunk ends a copy, never the frame: the last member of a flood set gets the original.
        let drops = if reason == DropReason::NoChunk { &counters.copy_drops } else { &counters.drops };
        let lost = frames_lost_for(reason);
        assert_eq!((drops.get(reason), drops.total()), (lost, lost), "{reason:?}");
        rig.assert_conserved();
    }
}

#[test]
fn drops_of_a_known_session_are_counted_there_too() {
    for reason in [
        DropReason::UdpChecksumMissing,
        DropReason::CookieMismatch,
        DropReason::Vccv,
        DropReason::Pwe3Fragment,
        DropReason::SequenceMissing,
        DropReason::OutOfSequence,
        DropReason::PayloadTruncated,
        DropReason::CeOverNotEct,
        DropReason::SessionUnbridged,
        DropReason::SplitHorizon,
        DropReason::TooBig,
        DropReason::NoHeadroom,
        DropReason::TooManySegments,
        DropReason::TxRingFull,
        DropReason::NoTxQueue,
    ] {
        let rig = meet(reason);
        let at_sessions: u64 =
            rig.sessions.iter().map(|session| session.of(0).unwrap().drops.get(reason)).sum();
        assert_eq!(at_sessions, 1, "{reason:?}");
    }
    for reason in [DropReason::WrongSource, DropReason::UnknownSession, DropReason::L2tpVersion] {
        let rig = meet(reason);
        assert!(rig.sessions.iter().all(|s| s.of(0).unwrap().drops.total() == 0), "{reason:?}: whose?");
    }
}
