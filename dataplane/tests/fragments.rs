//! Outer packets in fragments through the engine: put together on the way in, cut on the way out, over every encapsulation.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{collections::HashSet, net::Ipv6Addr, sync::Arc};

use dataplane::{
    reassembly::FRAGMENTS_PER_PACKET,
    tables::{bridge_domains::MemberId, fdb::MacKey, oversize::Fragmentation},
    verdict::DropReason,
};
use etherparse::{LaxNetSlice, LaxSlicedPacket, defrag::IpDefragPool};
use proptest::prelude::*;
use rig::{
    COOKIE_A, LAN_0, LAN_1, Plan, RING, Rig, WAN, fragment_of,
    frames::{EVERYBODY, PC_1, PC_2, changed, data_packet, inner, lan_frame_of, packet_a, packet_b},
    pieces::{payload_bytes, piece, pieces},
};
use wire::{
    build::{FrameSpec, Transport},
    ethernet::VlanId,
    l2tpv3::{Cookie, Sublayer},
};
use xsk::ChunkCache;

const LOCAL_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const PEER_A_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER_B_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

/// A plan over a path of 1500, over IPv4 or IPv6; over the latter session A has UDP checksums.
fn plan(is_v6: bool) -> Plan {
    let v4 = Plan { path_mtu_bytes: 1500, ..Plan::default() };
    if !is_v6 {
        return v4;
    }
    Plan { local: LOCAL_6.into(), peers: [PEER_A_6.into(), PEER_B_6.into()], udp_checksum: true, ..v4 }
}

/// A whole packet from the peer of a session (0 is A).
fn packet(is_v6: bool, session: usize, inner: &[u8]) -> Vec<u8> {
    match (is_v6, session) {
        (false, 0) => packet_a(inner),
        (false, _) => packet_b(inner),
        (true, _) => {
            let (remote, transport) =
                [(PEER_A_6, Transport::udp(5001, 6001)), (PEER_B_6, Transport::L2TP_IP)][session];
            let spec = FrameSpec {
                source_ip: remote.into(),
                destination_ip: LOCAL_6.into(),
                transport,
                ..FrameSpec::default()
            };
            let (id, cookie) = [(1000, Cookie::eight(COOKIE_A)), (2000, Cookie::NONE)][session];
            data_packet(&spec, id, cookie, Sublayer::Default, inner)
        }
    }
}

/// Every form of the underlay: IPv6 or not, and the session.
const FORMS: [(bool, usize); 4] = [(false, 0), (false, 1), (true, 0), (true, 1)];

/// A LAN frame of 1514 bytes: the largest of an MTU of 1500.
fn large() -> Vec<u8> {
    lan_frame_of(EVERYBODY, PC_1, 1514)
}

#[test]
fn fragments_become_the_frame_that_was_cut_in_either_order() {
    for (is_v6, session) in FORMS {
        for is_reversed in [false, true] {
            let mut rig = Rig::with(plan(is_v6));
            let mut parts = pieces(&packet(is_v6, session, &large()), 77, 1448);
            assert_eq!(parts.len(), 2);
            if is_reversed {
                parts.reverse();
            }
            rig.deliver(WAN, &parts[0]);
            assert_eq!((rig.count().chunks.read().parked, rig.sent(LAN_0).len()), (1, 0));
            rig.deliver(WAN, &parts[1]);
            assert_eq!(rig.sent(LAN_0), [large()], "IPv6 {is_v6}, session {session}");
            assert_eq!(rig.sent(LAN_1), [large()]);
            let counters = rig.count();
            let counts = [&counters.received, &counters.flooded, &counters.reassembled];
            assert_eq!(counts.map(|counter| counter.get()), [2, 1, 1]);
            assert_eq!(counters.reassembled_packets.get(), 1);
            let session = rig.sessions[session].of(0).unwrap();
            assert_eq!((session.rx_frames.get(), session.rx_bytes.get()), (1, 1514));
            rig.assert_conserved();
            assert_eq!(rig.count().chunks.read().parked, 0);
        }
    }
}

#[test]
fn fragments_of_a_batch_come_out_behind_the_whole_packets_of_it() {
    let mut rig = Rig::new();
    let small = |last| lan_frame_of(EVERYBODY, [2, 0, 0, 0, 0, last], 60);
    for part in pieces(&packet_a(&large()), 1, 1480) {
        assert!(rig.arrive(WAN, &part));
        assert!(rig.arrive(WAN, &packet_b(&small(5))));
    }
    assert_eq!(rig.worker.round(), 4);
    assert_eq!(rig.sent(LAN_0), [small(5), small(5), large()]);
    rig.assert_conserved();
}

#[test]
fn a_fragment_whose_others_do_not_come_is_given_up_by_time_without_traffic() {
    let mut rig = Rig::new();
    rig.clock.set_s(100);
    rig.deliver(WAN, &pieces(&packet_a(&large()), 1, 1480)[0]);
    rig.clock.set_s(102);
    rig.worker.round();
    assert_eq!((rig.count().chunks.read().parked, rig.drops(DropReason::FragmentTimeout)), (1, 0));
    rig.assert_conserved();
    rig.clock.set_s(103);
    rig.worker.round();
    assert_eq!((rig.count().chunks.read().parked, rig.drops(DropReason::FragmentTimeout)), (0, 1));
    rig.assert_conserved();
}

#[test]
fn a_packet_put_together_passes_every_check_of_decapsulation() {
    let mut rig = Rig::new();
    let wrong_cookie = changed(packet_a(&large()), |packet| packet[50] ^= 1);
    pieces(&wrong_cookie, 1, 1480).iter().for_each(|part| rig.deliver(WAN, part));
    assert_eq!((rig.drops(DropReason::CookieMismatch), rig.discard_sent()), (1, 0));
    assert_eq!(rig.sessions[0].of(0).unwrap().drops.get(DropReason::CookieMismatch), 1);
    let stranger = changed(packet_a(&large()), |packet| packet[29] = 77);
    pieces(&stranger, 1, 1480).iter().for_each(|part| rig.deliver(WAN, part));
    assert_eq!((rig.drops(DropReason::WrongSource), rig.discard_sent()), (1, 0));
    let mut corrupted = packet(true, 0, &large());
    *corrupted.last_mut().unwrap() ^= 1;
    let mut rig_6 = Rig::with(plan(true));
    pieces(&corrupted, 1, 1448).iter().for_each(|part| rig_6.deliver(WAN, part));
    assert_eq!((rig_6.drops(DropReason::UdpChecksum), rig_6.discard_sent()), (1, 0));
    rig.assert_conserved();
    rig_6.assert_conserved();
}

#[test]
fn fragments_of_other_protocols_and_ports_without_tunnels_take_no_room() {
    let mut rig = Rig::new();
    let gre = changed(packet_a(&large()), |packet| packet[23] = 47);
    pieces(&gre, 1, 1480).iter().for_each(|part| rig.deliver(WAN, part));
    assert_eq!(rig.drops(DropReason::NotTunnelProtocol), 2);
    pieces(&packet_a(&large()), 1, 1480).iter().for_each(|part| rig.deliver(LAN_0, part));
    assert_eq!((rig.count().flooded.get(), rig.count().chunks.read().parked), (2, 0), "a LAN's own business");
    rig.assert_conserved();
}

/// What an independent reader makes of fragments: the payload of the whole packet and its protocol.
fn put_together(fragments: &[Vec<u8>]) -> Option<(u8, Vec<u8>)> {
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut whole = None;
    for fragment in fragments {
        let sliced = LaxSlicedPacket::from_ethernet(fragment).unwrap();
        assert!(matches!(sliced.net, Some(LaxNetSlice::Ipv4(_) | LaxNetSlice::Ipv6(_))));
        let strict = etherparse::SlicedPacket::from_ethernet(fragment).unwrap();
        whole = pool.process_sliced_packet(&strict, (), ()).unwrap().or(whole);
    }
    whole.map(|found| (found.ip_number.0, found.payload))
}

/// A rig with PC 2 behind a session.
fn with_pc_2_behind(plan: Plan, session: usize) -> Rig {
    let rig = Rig::with(plan);
    let member = MemberId(2 + u16::try_from(session).unwrap());
    rig.fdb.learn(MacKey::new(PC_2), member, 1);
    rig
}

/// The outer headers of a packet, and its L2TPv3 packet with the UDP header.
fn split(packet: &[u8]) -> (&[u8], &[u8]) {
    packet.split_at(packet.len() - payload_bytes(packet))
}

#[test]
fn a_frame_that_does_not_fit_leaves_in_fragments_that_another_reader_puts_together() {
    for (is_v6, session) in FORMS {
        let frame = lan_frame_of(PC_2, PC_1, 1514);
        let mut wide = with_pc_2_behind(Plan { path_mtu_bytes: 1600, ..plan(is_v6) }, session);
        wide.deliver(LAN_0, &frame);
        let [whole]: [Vec<u8>; 1] = wide.sent(WAN).try_into().unwrap();

        let mut rig = with_pc_2_behind(plan(is_v6), session);
        rig.deliver(LAN_0, &frame);
        let parts = rig.sent(WAN);
        assert_eq!(parts.len(), 2, "IPv6 {is_v6}, session {session}");
        let largest = 14 + if is_v6 { 1496 } else { 1500 };
        assert_eq!(parts[0].len(), largest, "as long as the path allows, in units of 8");
        let (protocol, payload) = put_together(&parts).unwrap();
        assert_eq!(protocol, if session == 0 { 17 } else { 115 });
        assert_eq!(payload, split(&whole).1);
        for part in &parts {
            assert_eq!(part[..12], whole[..12], "the same link");
            let addresses = if is_v6 { 22..54 } else { 26..34 };
            assert_eq!(part[addresses.clone()], whole[addresses]);
        }
        let counters = rig.sessions[session].of(0).unwrap();
        let counts = [&counters.tx_frames, &counters.tx_bytes, &counters.tx_fragments];
        assert_eq!(counts.map(|counter| counter.get()), [1, 1514, 2]);
        assert_eq!((rig.count().forwarded.get(), rig.count().extra_fragments.get()), (1, 1));
        assert_eq!(wide.count().extra_fragments.get(), 0);
        rig.assert_conserved();
    }
}

/// Makes what the gateway sends to a peer what the peer sends to the gateway: addresses and ports the other way round.
fn turned_round(mut packet: Vec<u8>, is_v6: bool) -> Vec<u8> {
    let (addresses, half) = if is_v6 { (22, 16) } else { (26, 4) };
    let (first, rest) = packet[addresses..].split_at_mut(half);
    first.swap_with_slice(&mut rest[..half]);
    let (protocol, offset, ports) = if is_v6 {
        let is_fragment = packet[20] == 44;
        let offset = if is_fragment { u16::from_be_bytes([packet[56], packet[57]]) & 0xFFF8 } else { 0 };
        (if is_fragment { packet[54] } else { packet[20] }, offset, if is_fragment { 62 } else { 54 })
    } else {
        (packet[23], u16::from_be_bytes([packet[20], packet[21]]) & 0x1FFF, 34)
    };
    if protocol == 17 && offset == 0 {
        let (source, destination) = packet[ports..].split_at_mut(2);
        source.swap_with_slice(&mut destination[..2]);
    }
    packet
}

/// The same plan for jumbo frames on the LAN.
fn jumbo(is_v6: bool) -> Plan {
    let Plan { lan_frame_bytes, max_segments, .. } = Plan::jumbo();
    Plan { lan_frame_bytes, max_segments, ..plan(is_v6) }
}

/// Sends frames from the LAN of one gateway over a path, and compares them with what the other's LAN gets. `turn`: from which fragment
/// on the others come first.
fn carry(form: usize, plan: fn(bool) -> Plan, mtu: usize, lengths: &[usize], turn: usize) {
    let (is_v6, session) = FORMS[form];
    let mut near = with_pc_2_behind(Plan { path_mtu_bytes: mtu, ..plan(is_v6) }, session);
    let mut far = Rig::with(plan(is_v6));
    let mut frames: Vec<_> = lengths.iter().map(|len| numbered(*len)).collect();
    for frame in &frames {
        near.deliver(LAN_0, frame);
    }
    let mut sent = near.sent(WAN);
    assert!(sent.iter().all(|part| part.len() <= 14 + mtu), "no packet is longer than the path");
    assert!(sent.len() >= frames.len());
    let turn = turn % sent.len();
    sent.rotate_left(turn);
    for part in sent {
        far.deliver(WAN, &turned_round(part, is_v6));
    }
    let mut came = far.sent(LAN_0);
    came.sort();
    frames.sort();
    assert!(came == frames, "{} of {} frames came", came.len(), frames.len());
    near.assert_conserved();
    far.assert_conserved();
}

/// A frame to PC 2 whose bytes tell their place.
fn numbered(len: usize) -> Vec<u8> {
    let mut frame = lan_frame_of(PC_2, PC_1, len);
    for (at, byte) in frame.iter_mut().enumerate().skip(14) {
        *byte = at.to_le_bytes()[0].wrapping_mul(31) ^ at.to_le_bytes()[1];
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_one_gateway_cuts_another_puts_together(
        form in 0usize..4, mtu in 256usize..1700, lengths in proptest::collection::vec(14usize..1519, 1..12),
        turn in prop_oneof![Just(0), 0usize..100],
    ) {
        carry(form, plan, if FORMS[form].0 { mtu.max(1280) } else { mtu }, &lengths, turn);
    }

    #[test]
    fn jumbo_frames_pass_in_fragments_over_paths_of_any_size(
        form in 0usize..4, mtu in prop_oneof![1280usize..1700, 1700usize..9000, 8900usize..9100],
        lengths in proptest::collection::vec(prop_oneof![14usize..9019, 8900usize..9019], 1..6),
        turn in prop_oneof![Just(0), 0usize..100],
    ) {
        carry(form, jumbo, mtu, &lengths, turn);
    }
}

#[test]
fn a_jumbo_lan_works_over_paths_of_1500_and_of_9000() {
    for form in 0..FORMS.len() {
        for mtu in [1500, 9000] {
            carry(form, jumbo, mtu, &[9014, 60, 9018, 1514], 0);
        }
    }
}

#[test]
fn fragments_of_a_jumbo_frame_that_fit_a_chunk_leave_by_a_port_without_multi_buffer() {
    let mut plan = jumbo(false);
    plan.max_segments[WAN.index()] = 1;
    let mut rig = with_pc_2_behind(plan, 0);
    // In pieces of 600: the head does not hold what a fragment of 1500 does.
    assert!(rig.wires[LAN_0.index()].send_segments(numbered(9014).chunks(600)));
    rig.drain();
    let sent = rig.sent(WAN);
    assert_eq!(sent.len(), 7);
    assert!(put_together(&sent).unwrap().1.ends_with(&numbered(9014)));
    rig.assert_conserved();
    let wide = Plan { path_mtu_bytes: 4000, max_segments: [17, 17, 1], ..jumbo(false) };
    let mut rig = with_pc_2_behind(wide, 0);
    rig.deliver(LAN_0, &numbered(9014));
    assert_eq!((rig.drops(DropReason::TooManySegments), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn fragments_in_several_chunks_wait_as_so_many_chunks() {
    let mut rig = Rig::with(jumbo(false));
    let packet = packet_a(&numbered(9014));
    rig.deliver(WAN, &piece(&packet, 1, 0..8976, true));
    let counters = rig.count();
    assert_eq!((counters.parked.get(), counters.chunks.read().parked), (1, 6));
    rig.assert_conserved();
    rig.deliver(WAN, &piece(&packet, 1, 8976..payload_bytes(&packet), false));
    assert_eq!(rig.sent(LAN_0), [numbered(9014)]);
    rig.assert_conserved();
}

#[test]
fn a_packet_without_a_chunk_for_every_fragment_is_dropped_whole() {
    // 1514 bytes over a path of 300: six fragments, five further chunks.
    let mut rig = with_pc_2_behind(Plan { path_mtu_bytes: 300, ..plan(false) }, 0);
    let frame = lan_frame_of(PC_2, PC_1, 1514);
    let mut hoard = Vec::new();
    while let Some(chunk) = rig.outside.take() {
        hoard.push(chunk);
    }
    rig.deliver(LAN_0, &frame);
    assert_eq!((rig.drops(DropReason::NoChunk), rig.discard_sent()), (1, 0));
    assert_eq!(rig.sessions[0].of(0).unwrap().drops.get(DropReason::NoChunk), 1);
    // The dropped frame's chunk was lent for reception again, so exactly what is given now can be had.
    (0..4).for_each(|_| rig.outside.give(hoard.pop().unwrap()));
    rig.outside.flush();
    rig.deliver(LAN_0, &frame);
    assert_eq!((rig.drops(DropReason::NoChunk), rig.discard_sent()), (2, 0));
    hoard.drain(..).for_each(|chunk| rig.outside.give(chunk));
    rig.outside.flush();
    rig.deliver(LAN_0, &frame);
    assert_eq!(rig.sent(WAN).len(), 6);
    rig.assert_conserved();
}

#[test]
fn a_packet_without_room_in_the_ring_for_every_fragment_is_dropped_whole() {
    let mut rig = with_pc_2_behind(plan(false), 0);
    for _ in 0..RING - 1 {
        rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 60));
    }
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 1514));
    assert_eq!(rig.drops(DropReason::TxRingFull), 1);
    assert_eq!(rig.sessions[0].of(0).unwrap().tx_fragments.get(), 0);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 60));
    let sent = rig.sent(WAN);
    assert_eq!(sent.len(), RING as usize);
    assert!(sent.iter().all(|packet| packet[20..22] == [0, 0]), "none is a fragment");
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 1514));
    assert_eq!(rig.sent(WAN).len(), 2);
    rig.assert_conserved();
}

#[test]
fn a_packet_of_more_fragments_than_anybody_puts_together_is_too_big() {
    // A path of 68 carries 48 bytes of payload: 20 of them are 960, less 28 of UDP and L2TPv3.
    let largest = FRAGMENTS_PER_PACKET * 48 - 28;
    let mut rig = with_pc_2_behind(Plan { path_mtu_bytes: 68, ..plan(false) }, 0);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, largest));
    assert_eq!(rig.sent(WAN).len(), FRAGMENTS_PER_PACKET);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, largest + 1));
    assert_eq!((rig.drops(DropReason::TooBig), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn a_path_too_narrow_for_any_fragment_takes_nothing() {
    let mut rig = with_pc_2_behind(Plan { path_mtu_bytes: 27, ..plan(false) }, 0);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 60));
    assert_eq!((rig.drops(DropReason::TooBig), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn fragmentation_that_was_switched_off_drops_what_does_not_fit() {
    let mut rig = with_pc_2_behind(Plan { fragmentation: Fragmentation::Drop, ..plan(false) }, 0);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 1452));
    assert_eq!(rig.sent(WAN)[0].len(), 1514);
    rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 1453));
    assert_eq!((rig.drops(DropReason::TooBig), rig.discard_sent()), (1, 0));
    rig.assert_conserved();
}

#[test]
fn every_packet_has_an_identification_of_its_own() {
    for is_v6 in [false, true] {
        let mut rig = with_pc_2_behind(plan(is_v6), 0);
        let mut seen = HashSet::new();
        for _ in 0..500 {
            rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 1514));
            let sent = rig.sent(WAN);
            let number = |part: &[u8]| part[if is_v6 { 58..62 } else { 18..20 }].to_vec();
            assert!(sent.iter().all(|part| number(part) == number(&sent[0])));
            assert!(seen.insert(number(&sent[0])));
        }
        rig.assert_conserved();
    }
}

#[test]
fn a_relayed_frame_is_put_together_and_cut_again_and_its_tag_counts() {
    let mut plan = plan(false);
    plan.members[3].vlan = Some(VlanId::new(30).unwrap());
    let mut rig = with_pc_2_behind(plan, 1);
    let frame = lan_frame_of(PC_2, PC_1, 1514);
    pieces(&packet_a(&frame), 9, 1480).iter().for_each(|part| rig.deliver(WAN, part));
    let parts = rig.sent(WAN);
    assert_eq!(parts.len(), 2);
    let (_, payload) = put_together(&parts).unwrap();
    assert_eq!(payload[8..], [&frame[..12], &[0x81, 0, 0, 30], &frame[12..]].concat());
    assert_eq!((rig.count().forwarded.get(), rig.count().reassembled.get()), (1, 1));
    rig.assert_conserved();
}

#[test]
fn copies_of_a_flood_are_cut_for_each_pseudowire() {
    let mut rig = Rig::with(plan(false));
    rig.deliver(LAN_0, &large());
    let sent = rig.sent(WAN);
    assert_eq!((sent.len(), rig.sent(LAN_1)), (4, vec![large()]));
    assert!(put_together(&sent[..2]).is_some() && put_together(&sent[2..]).is_some());
    let counters = rig.count();
    assert_eq!((counters.flooded.get(), counters.copies.get(), counters.extra_fragments.get()), (1, 2, 2));
    rig.assert_conserved();
}

#[test]
fn fragments_of_another_workers_tunnel_are_handed_to_it_and_to_nobody_else() {
    let mut rig = Rig::with(Plan { other_workers: 2, ..plan(false) });
    let part = |sender: u8| {
        let packet = changed(packet_b(&large()), |packet| packet[29] = sender);
        piece(&packet, 1, 0..1480, true)
    };
    let hash = |sender| fragment_of(&part(sender)).key.tunnel_hash();
    // Ten tunnels' fragments came to the other workers before.
    let owners = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1];
    for (sender, owner) in (0..).zip(owners) {
        assert_eq!(rig.others[owner - 1].owner(hash(sender)), owner);
    }
    for sender in 0..30 {
        rig.deliver(WAN, &part(sender));
    }
    let counters = rig.count();
    assert_eq!((counters.handed.get(), counters.chunks.read().parked), (10, 20), "the rest is its own");
    assert_eq!(rig.others[0].owner(hash(20)), 0);
    let mut cache = ChunkCache::new(Arc::clone(&rig.pool), 0);
    rig.assert_conserved();
    let taken = rig.others.iter_mut().map(|other| {
        let frames = std::iter::from_fn(|| other.take());
        frames.map(|frame| (frame.head()[29], cache.give_frame(frame)).0).collect::<Vec<_>>()
    });
    let taken: Vec<_> = taken.collect();
    assert_eq!(taken, [vec![0, 2, 4, 6, 7, 8, 9], vec![1, 3, 5]]);
}

#[test]
fn a_flood_of_one_peer_s_fragments_leaves_other_tunnels_whole_and_its_own_whole_packets_too() {
    let mut rig = Rig::with(plan(false));
    let good = packet_b(&large());
    for id in 0..3_000u32 {
        assert!(rig.arrive(WAN, &piece(&packet_a(&large()), id, 0..1480, true)));
        for part in pieces(&good, id, 1480) {
            assert!(rig.arrive(WAN, &part));
        }
        assert!(rig.arrive(WAN, &packet_a(&inner())));
        rig.worker.round();
        assert_eq!(rig.sent(LAN_0).len(), 2, "packet {id}");
        rig.discard_sent();
    }
    let counters = rig.count();
    assert_eq!(counters.drops.total(), 3_000 - 256, "but for its share, the flood is gone");
    assert_eq!(rig.drops(DropReason::FragmentShare), 3_000 - 256);
    assert_eq!(counters.chunks.read().parked, 256);
    rig.assert_conserved();
}
