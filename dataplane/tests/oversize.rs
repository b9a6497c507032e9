//! Frames that do not fit a pseudowire: errors to their senders, pieces, and a clamped MSS so that they do not arise.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::{
    counters::SessionCounters,
    tables::{
        attachment::Attachment,
        bridge_domains::{Circuit, DomainId, MemberId},
        fdb::MacKey,
        oversize::{Fragmentation, MssClamp},
    },
    verdict::DropReason,
};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpFragOffset, NetSlice, PacketBuilder, SlicedPacket, TcpOptionElement,
    TransportSlice, icmpv4::DestUnreachableHeader::FragmentationNeeded,
};
use proptest::prelude::*;
use rig::{
    LAN_0, Plan, Rig, WAN,
    frames::{EVERYBODY, PC_1, PC_2, lan_frame_of, packet_a, packet_b},
};
use wire::ethernet::VlanId;

const HOST: [u8; 4] = [192, 168, 1, 1];
const SERVER: [u8; 4] = [192, 168, 1, 2];
const HOST_6: [u8; 16] = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SERVER_6: [u8; 16] = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// What session A (UDP, cookie of 8 bytes, sublayer) adds to a frame. Units: bytes.
const OVERHEAD_A: usize = 20 + 8 + 4 + 4 + 8 + 4;
/// Largest inner IP packet of an untagged frame on session A over a path of 1500.
const INNER_MTU_A: u16 = 1500 - 48 - 14;

/// A path of 1500, the server behind session A, the host on LAN 0.
fn plan(fragmentation: Fragmentation) -> Plan {
    Plan { path_mtu_bytes: 1500, fragmentation, ..Plan::default() }
}

fn rig(plan: Plan) -> Rig {
    let rig = Rig::with(plan);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig
}

/// Bytes that differ from their neighbours.
fn counting(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

/// An IPv4 UDP packet of this whole length from the host to the server in a frame from PC 1 to PC 2.
fn udp_frame(packet_bytes: usize, dont_fragment: bool, destination: [u8; 6]) -> Vec<u8> {
    let mut ip = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::UDP, HOST, SERVER).unwrap();
    ip.dont_fragment = dont_fragment;
    ip.identification = 0x1234;
    ip_frame(ip, packet_bytes, destination)
}

fn ip_frame(mut ip: etherparse::Ipv4Header, packet_bytes: usize, destination: [u8; 6]) -> Vec<u8> {
    let payload = counting(packet_bytes - ip.header_len());
    ip.total_len = u16::try_from(packet_bytes).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = [destination, PC_1].concat();
    frame.extend([0x08, 0x00]);
    ip.write(&mut frame).unwrap();
    frame.extend(payload);
    frame
}

/// The same over IPv6; never fragmented on the way.
fn udp_frame_6(packet_bytes: usize) -> Vec<u8> {
    let payload = counting(packet_bytes - 48);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(PC_1, PC_2)
        .ipv6(HOST_6, SERVER_6, 64)
        .udp(7, 9)
        .write(&mut frame, &payload)
        .unwrap();
    frame
}

/// The frame with customer tags behind its addresses.
fn with_tags(frame: &[u8], vids: &[u16]) -> Vec<u8> {
    let tags = vids.iter().flat_map(|vid| [[0x81, 0x00], vid.to_be_bytes()].concat());
    frame[..12].iter().copied().chain(tags).chain(frame[12..].iter().copied()).collect()
}

fn session(rig: &Rig, position: usize) -> &SessionCounters {
    rig.sessions[position].of(0).unwrap()
}

/// Next-hop MTU of a "fragmentation needed" from PC 2 and the server to PC 1 and the host, as the judge reads it.
#[track_caller]
fn told_mtu(frame: &[u8], about: &[u8]) -> u16 {
    let judged = SlicedPacket::from_ethernet(frame).unwrap();
    let link = judged.link.as_ref().and_then(|link| link.to_header()?.ethernet2()).unwrap();
    assert_eq!((link.destination, link.source), (PC_1, PC_2), "back to where the frame came from");
    let Some(NetSlice::Ipv4(ip)) = &judged.net else { panic!("no IPv4") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert_eq!((header.source, header.destination), (SERVER, HOST));
    let Some(TransportSlice::Icmpv4(icmp)) = &judged.transport else { panic!("no ICMP") };
    let quoted_from = about.len() - usize::from(total_length(about));
    assert_eq!(icmp.payload(), &about[quoted_from..][..548], "the packet is quoted");
    match icmp.icmp_type() {
        Icmpv4Type::DestinationUnreachable(FragmentationNeeded { next_hop_mtu }) => next_hop_mtu,
        other => panic!("{other:?}"),
    }
}

/// IPv4 total length of a frame's packet.
fn total_length(frame: &[u8]) -> u16 {
    match SlicedPacket::from_ethernet(frame).unwrap().net.unwrap() {
        NetSlice::Ipv4(ip) => ip.header().total_len(),
        other => panic!("{other:?}"),
    }
}

/// Delivers a frame that does not fit, expects it to be dropped for that, and gives what came back to LAN 0.
#[track_caller]
fn answers(rig: &mut Rig, frame: &[u8]) -> Vec<Vec<u8>> {
    let before = (rig.drops(DropReason::TooBig), session(rig, 0).drops.get(DropReason::TooBig));
    rig.deliver(LAN_0, frame);
    assert_eq!(rig.drops(DropReason::TooBig), before.0 + 1);
    assert_eq!(session(rig, 0).drops.get(DropReason::TooBig), before.1 + 1);
    assert_eq!(rig.sent(WAN).len(), 0, "nothing leaves by the pseudowire");
    rig.sent(LAN_0)
}

#[test]
fn the_sender_of_a_packet_that_must_not_be_fragmented_is_told_what_fits() {
    for fragmentation in [Fragmentation::Drop, Fragmentation::Inner] {
        let mut rig = rig(plan(fragmentation));
        let frame = udp_frame(1500, true, PC_2);
        let back = answers(&mut rig, &frame);
        assert_eq!(back.len(), 1);
        assert_eq!(told_mtu(&back[0], &frame), INNER_MTU_A);
        assert_eq!((session(&rig, 0).icmp_sent.get(), session(&rig, 0).icmp_limited.get()), (1, 0));

        // What it was told fits, and one byte more does not.
        rig.deliver(LAN_0, &udp_frame(INNER_MTU_A.into(), true, PC_2));
        assert_eq!((rig.sent(WAN).len(), rig.sent(LAN_0).len()), (1, 0));
        assert_eq!(answers(&mut rig, &udp_frame(usize::from(INNER_MTU_A) + 1, true, PC_2)).len(), 1);
        rig.assert_conserved();
    }
}

#[test]
fn the_sender_of_an_ipv6_packet_is_told_what_fits() {
    let mut rig = rig(plan(Fragmentation::Drop));
    let frame = udp_frame_6(1500);
    let back = answers(&mut rig, &frame);
    let judged = SlicedPacket::from_ethernet(&back[0]).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &judged.net else { panic!("no IPv6") };
    assert_eq!((ip.header().source(), ip.header().destination()), (SERVER_6, HOST_6));
    let Some(TransportSlice::Icmpv6(icmp)) = &judged.transport else { panic!("no ICMPv6") };
    assert!(icmp.is_checksum_valid(SERVER_6, HOST_6));
    assert_eq!(icmp.icmp_type(), Icmpv6Type::PacketTooBig { mtu: u32::from(INNER_MTU_A) });
    assert_eq!(icmp.payload(), &frame[14..][..1280 - 48]);
    assert_eq!(back[0].len(), 14 + 1280);
    assert_eq!(back[0][..12], [PC_1, PC_2].concat());
    rig.assert_conserved();
}

#[test]
fn no_host_is_told_less_than_every_ipv6_link_takes() {
    let smallest = 1280 + 14 + OVERHEAD_A;
    let mut narrow = rig(Plan { path_mtu_bytes: smallest - 1, ..plan(Fragmentation::Drop) });
    assert_eq!(answers(&mut narrow, &udp_frame_6(1400)), [[0; 0]; 0], "1279 would not be believed");
    assert_eq!(answers(&mut narrow, &udp_frame(1400, true, PC_2)).len(), 1, "IPv4 goes lower");
    narrow.assert_conserved();
    let mut wide = rig(Plan { path_mtu_bytes: smallest, ..plan(Fragmentation::Drop) });
    assert_eq!(answers(&mut wide, &udp_frame_6(1400)).len(), 1);
}

#[test]
fn tags_are_kept_and_counted() {
    let mut rig = rig(plan(Fragmentation::Drop));
    for (vids, expected) in [(&[10][..], INNER_MTU_A - 4), (&[10, 20], INNER_MTU_A - 8)] {
        let frame = with_tags(&udp_frame(1500, true, PC_2), vids);
        let back = answers(&mut rig, &frame);
        let tags_end = 12 + 4 * vids.len();
        assert_eq!(back[0][12..tags_end], frame[12..tags_end]);
        assert_eq!(told_mtu(&back[0], &frame), expected);
    }
    rig.assert_conserved();
}

#[test]
fn a_member_s_own_tag_is_put_back_and_counted() {
    // VLAN 10 of LAN 0 is a member; the pseudowire's frames have VLAN 20.
    let vlan = |vid| VlanId::new(vid).unwrap();
    let mut plan = plan(Fragmentation::Drop);
    plan.members[0].vlan = Some(vlan(10));
    plan.members[2].vlan = Some(vlan(20));
    let mut attachment = Attachment::default();
    attachment.attach_vlan(vlan(10), DomainId(0), MemberId(0));
    plan.attachments[0] = attachment;
    let mut rig = rig(plan);
    let frame = udp_frame(1500, true, PC_2);
    let back = answers(&mut rig, &with_tags(&frame, &[10]));
    assert_eq!(back[0][12..16], [0x81, 0x00, 0, 10]);
    assert_eq!(told_mtu(&[&back[0][..12], &back[0][16..]].concat(), &frame), INNER_MTU_A - 4);
    rig.assert_conserved();
}

#[test]
fn a_sender_behind_another_pseudowire_is_told_through_it() {
    let mut rig = rig(plan(Fragmentation::Drop));
    // Session B adds less, so its frames can be too large for session A.
    let frame = udp_frame(1446, true, PC_2);
    rig.deliver(WAN, &packet_b(&frame));
    let sent = rig.sent(WAN);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][23], 115, "by session B");
    assert_eq!(told_mtu(&sent[0][14 + 28..], &frame), INNER_MTU_A);
    assert_eq!((session(&rig, 0).icmp_sent.get(), session(&rig, 1).tx_frames.get()), (1, 1));
    assert_eq!(session(&rig, 0).drops.get(DropReason::TooBig), 1);
    rig.assert_conserved();
}

#[test]
fn nobody_is_told_where_nobody_may_be() {
    let mut rig = rig(plan(Fragmentation::Drop));
    let ipv4 = |change: &dyn Fn(&mut etherparse::Ipv4Header)| {
        let mut ip = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::UDP, HOST, SERVER).unwrap();
        ip.dont_fragment = true;
        change(&mut ip);
        ip_frame(ip, 1500, PC_2)
    };
    let mut wrong_checksum = udp_frame(1500, true, PC_2);
    wrong_checksum[24] ^= 1;
    let mut icmp_error = udp_frame(1500, true, PC_2);
    icmp_error[14..34].copy_from_slice(&ipv4(&|ip| ip.protocol = etherparse::IpNumber::ICMP)[14..34]);
    icmp_error[34] = 3;
    let mut icmp_error_6 = udp_frame_6(1500);
    icmp_error_6[14 + 6] = 58;
    icmp_error_6[14 + 40] = 2;
    for (frame, why) in [
        (udp_frame(1500, false, PC_2), "DF is clear"),
        (ipv4(&|ip| ip.fragment_offset = IpFragOffset::try_new(8).unwrap()), "a later fragment"),
        (ipv4(&|ip| ip.source = [0, 0, 0, 0]), "the sender has no address yet"),
        (ipv4(&|ip| ip.destination = [239, 0, 0, 1]), "multicast"),
        (wrong_checksum, "damaged"),
        (icmp_error, "an ICMP error"),
        (icmp_error_6, "an ICMPv6 error"),
        (lan_frame_of(PC_2, PC_1, 1514), "not IP"),
        ([&udp_frame(1438, true, PC_2)[..], &[0; 30]].concat(), "it would fit but for what stands behind it"),
    ] {
        assert_eq!(answers(&mut rig, &frame), [[0; 0]; 0], "{why}");
    }
    assert_eq!(session(&rig, 0).icmp_sent.get(), 0);
    rig.assert_conserved();
}

#[test]
fn by_default_a_frame_that_does_not_fit_leaves_in_outer_fragments_and_nobody_is_told() {
    let mut rig = rig(plan(Fragmentation::Outer));
    rig.deliver(LAN_0, &udp_frame(1500, true, PC_2));
    assert_eq!((rig.sent(LAN_0).len(), rig.sent(WAN).len()), (0, 2));
    rig.assert_conserved();
}

/// LAN 0 and session A alone.
fn only_lan_0_and_a(fragmentation: Fragmentation) -> Plan {
    let mut plan = plan(fragmentation);
    plan.members[1].circuit = Circuit::Down;
    plan.up[1] = false;
    plan.members[3].circuit = Circuit::Down;
    plan
}

#[test]
fn a_flooded_frame_is_answered_only_when_it_reached_nobody() {
    let unknown = [2, 0, 0, 0, 9, 9];
    let frame = |destination| udp_frame(1500, true, destination);
    let mut rig = Rig::with(only_lan_0_and_a(Fragmentation::Drop));
    rig.deliver(LAN_0, &frame(unknown));
    assert_eq!(
        (rig.sent(LAN_0).len(), rig.drops(DropReason::TooBig)),
        (1, 1),
        "it may live behind the pseudowire"
    );
    rig.deliver(LAN_0, &frame(EVERYBODY));
    assert_eq!((rig.sent(LAN_0).len(), rig.drops(DropReason::TooBig)), (0, 2), "a frame to many");
    rig.assert_conserved();

    let mut rig = Rig::with(plan(Fragmentation::Drop));
    rig.deliver(LAN_0, &frame(unknown));
    assert_eq!((rig.sent(LAN_0).len(), rig.count().flooded.get()), (0, 1), "it left by LAN 1");
    rig.assert_conserved();
}

#[test]
fn a_second_has_so_many_answers_for_a_host_and_the_rest_is_counted() {
    let mut rig = rig(plan(Fragmentation::Drop));
    let frame = udp_frame(1500, true, PC_2);
    let flood = |rig: &mut Rig| {
        (0..100).for_each(|_| rig.deliver(LAN_0, &frame));
        rig.sent(LAN_0).len()
    };
    rig.clock.set_s(7);
    assert_eq!(flood(&mut rig), 16);
    assert_eq!((session(&rig, 0).icmp_sent.get(), session(&rig, 0).icmp_limited.get()), (16, 84));
    assert_eq!(rig.drops(DropReason::TooBig), 100);
    assert_eq!(answers(&mut rig, &udp_frame_6(1500)).len(), 1, "another host has a budget of its own");
    rig.clock.set_s(8);
    assert_eq!(flood(&mut rig), 16);
    rig.assert_conserved();
}

#[test]
fn without_room_for_an_answer_there_is_none() {
    let mut rig = rig(plan(Fragmentation::Drop));
    assert!(rig.wires[LAN_0.index()].send_at(27, &udp_frame(1500, true, PC_2)));
    rig.drain();
    assert_eq!((rig.discard_sent(), rig.drops(DropReason::TooBig)), (0, 1));
    assert!(rig.wires[LAN_0.index()].send_at(28, &udp_frame(1500, true, PC_2)));
    rig.drain();
    assert_eq!(rig.sent(LAN_0).len(), 1);
    rig.assert_conserved();
}

/// The inner frames of what left by session A.
fn inner_of_a(sent: &[Vec<u8>]) -> Vec<Vec<u8>> {
    sent.iter().map(|packet| packet[14 + OVERHEAD_A..].to_vec()).collect()
}

/// Puts the fragments' payloads together, in the order in which they came.
fn reassembled(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut together = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let judged = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = judged.net else { panic!("no IPv4") };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.fragment_offset.value()) * 8, together.len());
        assert_eq!(header.more_fragments, number + 1 < frames.len());
        assert_eq!(header.identification, 0x1234);
        together.extend_from_slice(ip.payload().payload);
    }
    together
}

#[test]
fn a_packet_that_may_be_fragmented_goes_through_in_pieces() {
    let mut rig = rig(plan(Fragmentation::Inner));
    let frame = udp_frame(1500, false, PC_2);
    rig.deliver(LAN_0, &frame);
    let sent = rig.sent(WAN);
    assert!(sent.iter().all(|packet| packet.len() <= 14 + 1500));
    let pieces = inner_of_a(&sent);
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [14 + 1436, 14 + 84]);
    assert!(pieces.iter().all(|piece| piece[..14] == frame[..14]));
    assert_eq!(reassembled(&pieces), frame[34..]);
    assert_eq!((rig.count().forwarded.get(), rig.count().drops.total()), (1, 0), "one frame, one verdict");
    let counters = session(&rig, 0);
    assert_eq!((counters.inner_fragmented.get(), counters.tx_frames.get()), (1, 2));
    assert_eq!(counters.tx_bytes.get(), 14 + 1436 + 14 + 84);
    rig.assert_conserved();
}

#[test]
fn pieces_keep_their_tags_and_leave_room_for_the_member_s_own() {
    let mut plan = plan(Fragmentation::Inner);
    plan.members[2].vlan = VlanId::new(20);
    let mut rig = rig(plan);
    let frame = with_tags(&udp_frame(1496, false, PC_2), &[10]);
    rig.deliver(LAN_0, &frame);
    let pieces = inner_of_a(&rig.sent(WAN));
    assert_eq!(pieces.len(), 2);
    for piece in &pieces {
        assert_eq!(piece[12..20], [0x81, 0x00, 0, 20, 0x81, 0x00, 0, 10]);
        assert!(piece.len() <= 1500 - OVERHEAD_A);
    }
    assert_eq!(reassembled(&pieces), frame[38..]);
    rig.assert_conserved();
}

#[test]
fn the_last_piece_is_as_long_as_an_ethernet_frame_has_to_be() {
    let mut rig = rig(plan(Fragmentation::Inner));
    let frame = udp_frame(20 + 1416 + 8, false, PC_2);
    rig.deliver(LAN_0, &frame);
    let pieces = inner_of_a(&rig.sent(WAN));
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [1450, 60]);
    assert_eq!(pieces[1][14 + 28..], [0; 18]);
    assert_eq!(reassembled(&pieces), frame[34..]);
    rig.assert_conserved();
}

#[test]
fn a_flood_leaves_in_pieces_only_where_it_has_to() {
    let mut rig = Rig::with(plan(Fragmentation::Inner));
    // It fits session B, not session A.
    let frame = udp_frame(1446, false, EVERYBODY);
    rig.deliver(LAN_0, &frame);
    assert_eq!(rig.sent(rig::LAN_1), [frame]);
    assert_eq!((session(&rig, 0).tx_frames.get(), session(&rig, 1).tx_frames.get()), (2, 1));
    assert_eq!((session(&rig, 0).inner_fragmented.get(), session(&rig, 1).inner_fragmented.get()), (1, 0));
    assert_eq!((rig.count().flooded.get(), rig.count().copies.get()), (1, 2));
    rig.assert_conserved();
}

#[test]
fn a_packet_of_which_a_piece_finds_no_room_is_lost_with_that_reason() {
    let mut rig = rig(plan(Fragmentation::Inner));
    // Fills the transmit ring but for one place.
    let fitting = udp_frame(100, false, PC_2);
    for _ in 0..rig::RING - 1 {
        rig.deliver(LAN_0, &fitting);
    }
    rig.deliver(LAN_0, &udp_frame(1500, false, PC_2));
    assert_eq!(rig.drops(DropReason::TxRingFull), 1);
    assert_eq!(session(&rig, 0).drops.get(DropReason::TxRingFull), 1);
    assert_eq!(session(&rig, 0).inner_fragmented.get(), 0);
    rig.assert_conserved();
}

/// A SYN with an MSS, from the host to the server or the other way round.
fn syn(mss: u16, is_ipv6: bool, destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(source, destination);
    let ip = if is_ipv6 { link.ipv6(HOST_6, SERVER_6, 64) } else { link.ipv4(HOST, SERVER, 64) };
    let options = [TcpOptionElement::MaximumSegmentSize(mss)];
    let mut frame = Vec::new();
    ip.tcp(40_000, 80, 1, 64_000).syn().options(&options).unwrap().write(&mut frame, &[]).unwrap();
    frame
}

/// The MSS in a frame, and whether the TCP checksum is right.
fn mss_of(frame: &[u8]) -> (u16, bool) {
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
        other => panic!("{other:?}"),
    };
    let Some(Ok(TcpOptionElement::MaximumSegmentSize(mss))) = tcp.options_iterator().next() else {
        panic!("no MSS")
    };
    (mss, checksum.unwrap() == header.checksum)
}

fn clamped(mss_clamp: MssClamp) -> Plan {
    Plan { path_mtu_bytes: 1500, mss_clamp, ..Plan::default() }
}

#[test]
fn a_syn_is_clamped_to_the_path_whichever_way_it_goes() {
    for (is_ipv6, expected) in [(false, INNER_MTU_A - 40), (true, INNER_MTU_A - 60)] {
        let mut rig = rig(clamped(MssClamp::Path));
        rig.deliver(LAN_0, &syn(1460, is_ipv6, PC_2, PC_1));
        assert_eq!(mss_of(&inner_of_a(&rig.sent(WAN))[0]), (expected, true), "on its way out");
        assert_eq!(session(&rig, 0).mss_clamped.get(), 1);
        rig.deliver(WAN, &packet_a(&syn(1460, is_ipv6, PC_1, PC_2)));
        assert_eq!(mss_of(&rig.sent(LAN_0)[0]), (expected, true), "on its way in");
        assert_eq!(session(&rig, 0).mss_clamped.get(), 2);
        rig.assert_conserved();
    }
}

#[test]
fn the_tags_of_a_member_and_of_a_frame_count_towards_the_clamp() {
    let mut plan = clamped(MssClamp::Path);
    plan.members[2].vlan = VlanId::new(20);
    let mut attachment = Attachment::default();
    attachment.attach_vlan(VlanId::new(20).unwrap(), DomainId(0), MemberId(2));
    plan.session_attachments[0] = attachment;
    let mut rig = rig(plan);
    rig.deliver(LAN_0, &with_tags(&syn(1460, false, PC_2, PC_1), &[10]));
    assert_eq!(mss_of(&inner_of_a(&rig.sent(WAN))[0]), (INNER_MTU_A - 48, true));
    rig.deliver(WAN, &packet_a(&with_tags(&syn(1460, false, PC_1, PC_2), &[20])));
    assert_eq!(mss_of(&rig.sent(LAN_0)[0]), (INNER_MTU_A - 44, true), "as it stood in the pseudowire");
    rig.assert_conserved();
}

#[test]
fn a_relayed_syn_is_clamped_to_the_smaller_of_two_paths() {
    let mut rig = rig(clamped(MssClamp::Path));
    rig.deliver(WAN, &packet_b(&syn(1460, false, PC_2, PC_1)));
    assert_eq!(mss_of(&inner_of_a(&rig.sent(WAN))[0]), (INNER_MTU_A - 40, true));
    assert_eq!((session(&rig, 0).mss_clamped.get(), session(&rig, 1).mss_clamped.get()), (1, 1));
    rig.assert_conserved();
}

#[test]
fn off_means_that_frames_are_delivered_as_they_are() {
    let mut rig = rig(clamped(MssClamp::Off));
    let frame = syn(9000, false, PC_2, PC_1);
    rig.deliver(LAN_0, &frame);
    assert_eq!(inner_of_a(&rig.sent(WAN)), [frame]);
    let frame = syn(9000, true, PC_1, PC_2);
    rig.deliver(WAN, &packet_a(&frame));
    assert_eq!(rig.sent(LAN_0), [frame]);
    assert_eq!(session(&rig, 0).mss_clamped.get(), 0);
}

#[test]
fn a_fixed_clamp_does_not_depend_on_the_path() {
    let mut rig = rig(clamped(MssClamp::To(1200)));
    rig.deliver(LAN_0, &syn(1460, true, PC_2, PC_1));
    rig.deliver(LAN_0, &syn(1100, true, PC_2, PC_1));
    let sent: Vec<_> = inner_of_a(&rig.sent(WAN)).iter().map(|frame| mss_of(frame)).collect();
    assert_eq!(sent, [(1200, true), (1100, true)]);
}

fn any_fragmentation() -> impl Strategy<Value = Fragmentation> {
    prop_oneof![Just(Fragmentation::Outer), Just(Fragmentation::Inner), Just(Fragmentation::Drop)]
}

/// IP frames of every kind, whole and damaged.
fn any_ip_frame() -> impl Strategy<Value = Vec<u8>> {
    let whole = (68usize..1500, any::<bool>(), 0usize..=2, any::<bool>(), any::<bool>()).prop_map(
        |(bytes, df, tags, is_ipv6, is_flood)| {
            let destination = if is_flood { EVERYBODY } else { PC_2 };
            let frame = if is_ipv6 { udp_frame_6(bytes) } else { udp_frame(bytes, df, destination) };
            with_tags(&frame, &[10, 20][..tags])
        },
    );
    (whole, proptest::collection::vec((12usize..90, any::<u8>()), 0..3)).prop_map(|(mut frame, damage)| {
        for (at, bits) in damage {
            let at = at % frame.len();
            frame[at] ^= bits;
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_does_not_fit_nothing_is_lost_and_nothing_too_large_leaves(
        frames in proptest::collection::vec((any::<bool>(), any_ip_frame()), 0..60),
        path_mtu_bytes in 68usize..1600, fragmentation in any_fragmentation(),
    ) {
        let plan = Plan { path_mtu_bytes, fragmentation, mss_clamp: MssClamp::Path, ..Plan::default() };
        let mut rig = rig(plan);
        for (is_from_b, frame) in &frames {
            if *is_from_b {
                rig.deliver(WAN, &packet_b(frame));
            } else {
                rig.deliver(LAN_0, frame);
            }
            for packet in rig.sent(WAN) {
                prop_assert!(packet.len() <= 14 + path_mtu_bytes);
            }
            rig.discard_sent();
        }
        rig.assert_conserved();
    }
}
