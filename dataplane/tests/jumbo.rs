//! Frames that stand in several chunks: what becomes of them is what becomes of the same bytes in one.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::net::{IpAddr, Ipv6Addr};

use dataplane::{
    tables::{bridge_domains::MemberId, fdb::MacKey, oversize::Fragmentation},
    verdict::DropReason,
};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use rig::{
    COOKIE_A, LAN_0, LAN_1, LOCAL, PEER_A, PEER_B, Plan, RING, Rig, WAN,
    frames::{PC_1, PC_2, data_packet, lan_frame_of, lengthen, reseal},
};
use wire::{
    build::{FrameSpec, Transport},
    l2tpv3::{Cookie, Sublayer},
};

const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const PEER_A_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER_B_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

/// Longest frame of a LAN with MTU 9000.
const LONGEST: usize = 9014;

fn plan(is_v6: bool, udp_checksum: bool) -> Plan {
    let plan = Plan { udp_checksum, ..Plan::jumbo() };
    if !is_v6 {
        return plan;
    }
    Plan { local: LOCAL_V6.into(), peers: [PEER_A_V6.into(), PEER_B_V6.into()], ..plan }
}

/// A packet of session A or B with this inner frame.
fn packet(is_v6: bool, session: usize, udp_checksum: bool, inner: &[u8]) -> Vec<u8> {
    let (local, peers): (IpAddr, [IpAddr; 2]) = match is_v6 {
        true => (LOCAL_V6.into(), [PEER_A_V6.into(), PEER_B_V6.into()]),
        false => (LOCAL.into(), [PEER_A.into(), PEER_B.into()]),
    };
    let udp = if udp_checksum { Transport::udp } else { Transport::udp_unchecked };
    let transport = [udp(5001, 6001), Transport::L2TP_IP][session];
    let spec =
        FrameSpec { source_ip: peers[session], destination_ip: local, transport, ..FrameSpec::default() };
    let cookie = [Cookie::eight(COOKIE_A), Cookie::NONE][session];
    data_packet(&spec, [1000, 2000][session], cookie, Sublayer::Default, inner)
}

/// A frame whose every byte tells its place.
fn patterned(to: [u8; 6], from: [u8; 6], len: usize) -> Vec<u8> {
    let mut frame = lan_frame_of(to, from, len);
    frame.iter_mut().skip(14).zip((0..=250).cycle()).for_each(|(byte, place)| *byte = place);
    frame
}

#[test]
fn a_jumbo_frame_is_carried_through_both_encapsulations_and_both_ip_versions() {
    for (is_v6, session, checksum) in [0, 1, 2, 3, 4, 5, 6, 7].map(|n| (n & 1 != 0, n >> 1 & 1, n & 4 != 0)) {
        let mut rig = Rig::with(plan(is_v6, checksum));
        rig.fdb.learn(MacKey::new(PC_2), [MemberId(2), MemberId(3)][session], 1);
        rig.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
        for len in [LONGEST, 1792, 1793, 1700, 1701, 1702, 1703, 3584, 3585, 256, 60] {
            let frame = patterned(PC_2, PC_1, len);
            rig.deliver(LAN_0, &frame);
            let sent = rig.sent(WAN).pop().unwrap();
            check_packet(&sent, session == 0 && checksum, &frame);
            let back = patterned(PC_1, PC_2, len);
            rig.deliver(WAN, &packet(is_v6, session, checksum, &back));
            assert_eq!(rig.sent(LAN_0), [back], "{len} bytes back");
        }
        rig.assert_conserved();
        assert_eq!(rig.count().drops.total(), 0);
    }
}

/// What another implementation sees in a packet.
fn check_packet(packet: &[u8], has_checksum: bool, frame: &[u8]) {
    let sliced = SlicedPacket::from_ethernet(packet).unwrap();
    let (ip, payload) = match sliced.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => (14 + usize::from(ip.header().total_len()), ip.payload().payload),
        NetSlice::Ipv6(ip) => (54 + usize::from(ip.header().payload_length()), ip.payload().payload),
        NetSlice::Arp(_) => panic!("no ARP"),
    };
    assert_eq!(ip, packet.len(), "the IP length counts every segment");
    if let Some(TransportSlice::Udp(udp)) = &sliced.transport {
        assert_eq!(usize::from(udp.length()), payload.len());
        assert_eq!(udp.checksum() != 0, has_checksum);
        if has_checksum {
            let header = udp.to_header();
            let expected = match sliced.net.as_ref().unwrap() {
                NetSlice::Ipv4(ip) => header.calc_checksum_ipv4_raw(
                    ip.header().source(),
                    ip.header().destination(),
                    udp.payload(),
                ),
                NetSlice::Ipv6(ip) => header.calc_checksum_ipv6_raw(
                    ip.header().source(),
                    ip.header().destination(),
                    udp.payload(),
                ),
                NetSlice::Arp(_) => panic!("no ARP"),
            };
            assert_eq!(udp.checksum(), expected.unwrap());
        }
    }
    assert!(packet.ends_with(frame), "the frame is the end of the packet");
}

#[test]
fn what_stands_behind_the_ip_packet_is_cut_and_its_chunks_come_back() {
    for extra in [1, 500, 1792, 4000] {
        let mut rig = Rig::with(plan(false, false));
        rig.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
        for len in [60, 1000, 1792, 5000] {
            let inner = patterned(PC_1, PC_2, len);
            let mut packet = packet(false, 0, false, &inner);
            packet.resize(packet.len() + extra, 0xEE);
            rig.deliver(WAN, &packet);
            assert_eq!(rig.sent(LAN_0), [inner], "{len} and {extra}");
        }
        rig.assert_conserved();
    }
}

#[test]
fn a_udp_checksum_is_verified_over_every_segment() {
    let inner = patterned(PC_1, PC_2, 5001);
    let good = packet(false, 0, true, &inner);
    for at in [70, 1791, 1792, 3583, 3584, good.len() - 1] {
        let mut rig = Rig::with(plan(false, true));
        rig.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        rig.deliver(WAN, &bad);
        assert_eq!((rig.drops(DropReason::UdpChecksum), rig.sent(LAN_0).len()), (1, 0), "byte {at}");
        rig.deliver(WAN, &good);
        assert_eq!(rig.sent(LAN_0).concat(), inner);
        rig.assert_conserved();
    }
}

#[test]
fn a_jumbo_flood_gives_everybody_the_whole_frame() {
    let mut rig = Rig::with(plan(false, true));
    let frame = patterned([0xFF; 6], PC_1, LONGEST);
    rig.deliver(LAN_0, &frame);
    assert_eq!(rig.sent(LAN_1).concat(), frame);
    let sent = rig.sent(WAN);
    assert_eq!(sent.len(), 2);
    for packet in sent {
        check_packet(&packet, packet[23] == 17, &frame);
    }
    assert_eq!((rig.count().flooded.get(), rig.count().copies.get()), (1, 2));
    rig.assert_conserved();
}

#[test]
fn a_flood_without_chunks_for_all_of_a_copy_leaves_it_out_and_keeps_none() {
    let mut rig = Rig::with(plan(false, false));
    let mut hoard: Vec<_> = std::iter::from_fn(|| rig.outside.take()).collect();
    // Chunks for one copy of five (a copy fills its chunks better than the kernel) and some of the other.
    hoard.drain(..7).for_each(|chunk| rig.outside.give(chunk));
    rig.outside.flush();
    let frame = patterned([0xFF; 6], PC_1, LONGEST);
    rig.deliver(LAN_0, &frame);
    assert_eq!(rig.count().copy_drops.get(DropReason::NoChunk), 1);
    assert_eq!((rig.sent(LAN_1), rig.sent(WAN).len()), (vec![frame], 1));
    hoard.into_iter().for_each(|chunk| rig.outside.give(chunk));
    rig.assert_conserved();
}

#[test]
fn a_full_ring_takes_all_of_a_frame_or_nothing() {
    let mut rig = Rig::with(plan(false, false));
    rig.fdb.learn(MacKey::new(PC_2), MemberId(1), 1);
    let (long, short) = (patterned(PC_2, PC_1, LONGEST), patterned(PC_2, PC_1, 60));
    let chunks = LONGEST.div_ceil(1792);
    let fit = RING as usize / chunks;
    for _ in 0..fit + 1 {
        rig.deliver(LAN_0, &long);
    }
    assert_eq!(rig.drops(DropReason::TxRingFull), 1);
    for _ in 0..RING as usize - fit * chunks {
        rig.deliver(LAN_0, &short);
    }
    assert_eq!(rig.drops(DropReason::TxRingFull), 1, "what is left of the ring is of use");
    let sent = rig.sent(LAN_1);
    assert!(
        sent[..fit].iter().all(|frame| *frame == long) && sent[fit..].iter().all(|frame| *frame == short)
    );
    rig.assert_conserved();
}

#[test]
fn a_frame_too_long_for_a_port_or_path_is_too_big_whatever_it_stands_in() {
    let mut rig = Rig::with(Plan {
        lan_frame_bytes: 9000,
        path_mtu_bytes: 9000,
        fragmentation: Fragmentation::Drop,
        ..plan(false, false)
    });
    rig.fdb.learn(MacKey::new(PC_1), MemberId(1), 1);
    rig.fdb.learn(MacKey::new(PC_2), MemberId(3), 1);
    // IPv4, session id and sublayer take 28 bytes of the path's 9000.
    for (to, largest) in [(PC_1, 9000), (PC_2, 9000 - 28)] {
        let from = [2, 0, 0, 0, 0, 7];
        let before = rig.drops(DropReason::TooBig);
        rig.deliver(LAN_0, &patterned(to, from, largest));
        assert_eq!(rig.drops(DropReason::TooBig), before);
        rig.deliver(LAN_0, &patterned(to, from, largest + 1));
        assert_eq!(rig.drops(DropReason::TooBig), before + 1);
    }
    assert_eq!(rig.discard_sent(), 2);
    rig.assert_conserved();
}

#[test]
fn a_port_without_multi_buffer_refuses_long_frames_and_goes_on() {
    let mut rig = Rig::with(Plan { max_segments: [17, 1, 17], ..plan(false, false) });
    rig.fdb.learn(MacKey::new(PC_2), MemberId(1), 1);
    for _ in 0..3 * RING {
        rig.deliver(LAN_0, &patterned(PC_2, PC_1, LONGEST));
    }
    let short = patterned(PC_2, PC_1, 60);
    rig.deliver(LAN_0, &short);
    assert_eq!(rig.drops(DropReason::TooManySegments), u64::from(3 * RING));
    assert_eq!(rig.sent(LAN_1), [short]);
    rig.assert_conserved();
}

/// What arrives, and how it is cut.
#[derive(Clone, Debug)]
struct Arrival {
    on_wan: Option<usize>,
    to: u8,
    from: u8,
    len: usize,
    /// What becomes of the good bytes: nothing, a changed byte, changed lengths, bytes more or less at the end.
    damage: Damage,
    head: usize,
    piece: usize,
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    Byte(usize, u8),
    Lengths(i16, i16),
    Longer(usize),
    Shorter(usize),
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let damage = prop_oneof![
        4 => Just(Damage::None),
        2 => (0usize..1700, any::<u8>()).prop_map(|(at, bits)| Damage::Byte(at, bits)),
        2 => (12usize..90, any::<u8>()).prop_map(|(at, bits)| Damage::Byte(at, bits)),
        2 => (-300i16..300, -300i16..300).prop_map(|(ip, udp)| Damage::Lengths(ip, udp)),
        1 => (0usize..300).prop_map(Damage::Longer),
        1 => (0usize..300).prop_map(Damage::Shorter),
    ];
    let len = prop_oneof![60usize..400, 300usize..1450];
    (prop::option::of(0usize..2), 0u8..5, 0u8..5, len, damage, 256usize..700, 120usize..700).prop_map(
        |(on_wan, to, from, len, damage, head, piece)| Arrival { on_wan, to, from, len, damage, head, piece },
    )
}

/// Longest frame that stands in one chunk, behind the headroom. Units: bytes.
const LINEAR_BYTES: usize = 2048 - 256;

impl Arrival {
    /// The bytes that arrive.
    fn bytes(&self, is_v6: bool, udp_checksum: bool) -> Vec<u8> {
        let station = |last| if last == 4 { [0xFF; 6] } else { [2, 0, 0, 0, 0, last] };
        let frame = patterned(station(self.to), station(self.from), self.len);
        let Some(session) = self.on_wan else { return self.inflict(frame, is_v6) };
        self.inflict(packet(is_v6, session, udp_checksum, &frame), is_v6)
    }

    fn inflict(&self, mut bytes: Vec<u8>, is_v6: bool) -> Vec<u8> {
        let is_v4_packet = self.on_wan.is_some() && !is_v6;
        match self.damage {
            Damage::None => {}
            Damage::Byte(at, bits) => {
                let at = at % bytes.len();
                bytes[at] ^= bits;
            }
            Damage::Lengths(ip, udp) if is_v4_packet => {
                lengthen(&mut bytes, 16, ip);
                lengthen(&mut bytes, 38, udp);
            }
            Damage::Lengths(ip, udp) if self.on_wan.is_some() => {
                lengthen(&mut bytes, 18, ip);
                lengthen(&mut bytes, 58, udp);
            }
            Damage::Lengths(..) => {}
            // The other rig's frame has to fit a chunk.
            Damage::Longer(by) => bytes.resize((bytes.len() + by).min(LINEAR_BYTES), 0xEE),
            Damage::Shorter(by) => bytes.truncate(bytes.len() - by.min(bytes.len() - 60)),
        }
        // Half of the broken headers are well sealed.
        if is_v4_packet && self.piece.is_multiple_of(2) {
            reseal(&mut bytes);
        }
        bytes
    }

    /// The same bytes in pieces, the headers in the first.
    fn pieces<'b>(&self, bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let (head, rest) = bytes.split_at(self.head.min(bytes.len()));
        std::iter::once(head).chain(rest.chunks(self.piece)).collect()
    }
}

/// Every number that the engine counts of frames, and what left by each port.
fn outcome(rig: &mut Rig) -> (Vec<u64>, Vec<Vec<Vec<u8>>>) {
    let counters = rig.count();
    let mut numbers = vec![
        counters.received.get(),
        counters.forwarded.get(),
        counters.flooded.get(),
        counters.copies.get(),
        counters.copy_drops.total(),
    ];
    numbers.extend(DropReason::ALL.iter().map(|&reason| counters.drops.get(reason)));
    for session in &rig.sessions {
        let session = session.of(0).unwrap();
        numbers.extend([session.rx_frames.get(), session.rx_bytes.get(), session.tx_bytes.get()]);
        numbers.push(session.drops.total());
    }
    (numbers, [LAN_0, LAN_1, WAN].map(|port| rig.sent_unnumbered(port)).into())
}

/// Makes a damaged packet a whole one, if it says it is a fragment: in several chunks those are refused unread, they belong to
/// packets that no chunk takes.
fn no_fragment(packet: &mut [u8], is_v6: bool) {
    match is_v6 {
        true if packet[20] == 44 => packet[20] = 0xFD,
        true => {}
        false => {
            packet[20..22].copy_from_slice(&[0x40, 0]);
            reseal(packet);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The stages cannot tell a frame in pieces from the same frame in one, whatever its bytes are.
    #[test]
    fn a_frame_in_pieces_ends_as_the_same_frame_in_one(
        is_v6 in any::<bool>(), checksum in any::<bool>(), arrivals in prop::collection::vec(arrival(), 1..30),
    ) {
        let (mut whole, mut cut) = (Rig::with(plan(is_v6, checksum)), Rig::with(plan(is_v6, checksum)));
        for arrival in &arrivals {
            let mut bytes = arrival.bytes(is_v6, checksum);
            if arrival.on_wan.is_some() {
                no_fragment(&mut bytes, is_v6);
            }
            let port = if arrival.on_wan.is_some() { WAN } else { LAN_0 };
            prop_assert!(whole.wires[port.index()].send_at(256, &bytes));
            whole.drain();
            prop_assert!(cut.wires[port.index()].send_segments(arrival.pieces(&bytes).into_iter()));
            cut.drain();
            let (whole, cut) = (outcome(&mut whole), outcome(&mut cut));
            prop_assert_eq!(&whole.0, &cut.0, "{:?}", arrival);
            prop_assert!(whole.1 == cut.1, "{arrival:?} left otherwise");
        }
        whole.assert_conserved();
        cut.assert_conserved();
    }
}
