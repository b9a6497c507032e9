//! Outer packets put together from fragments, against a simple model, and what a flood cannot do.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{collections::HashSet, sync::Arc};

use dataplane::{
    reassembly::{Ends, FRAGMENTS_PER_PACKET, Fragment, Limits, Reassembly},
    verdict::DropReason,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rig::{
    frames::{from_peer, lan_frame_of, packet_a, raw_packet},
    pieces::{piece, pieces},
    reassembly::{Judge, Piece, bytes_of, frame_of},
    whole_pool,
};
use wire::build::Transport;
use xsk::{ChunkCache, ChunkPool};

/// What happens to the judge.
#[derive(Clone, Debug)]
enum Step {
    Take(Piece),
    Wait(u32),
}

/// A whole packet, cut at random places.
fn cut_packet() -> impl Strategy<Value = Vec<Step>> {
    let lengths = proptest::collection::vec(6usize..20, 1..6);
    (any::<bool>(), 0u8..6, lengths, 0usize..8).prop_map(|(is_v6, packet, lengths, odd)| {
        let factor = if is_v6 { 64 } else { 8 };
        let lengths = if is_v6 { &lengths[..lengths.len().min(2)] } else { &lengths };
        let mut offset = 0;
        let mut steps = Vec::new();
        for (at, units) in lengths.iter().enumerate() {
            let more = at + 1 < lengths.len();
            let len = (units + 2) * factor + if more { 0 } else { odd };
            let len = if is_v6 { len.min(800) } else { len };
            let is_split = len % 3 == 0;
            steps.push(Step::Take(Piece { is_v6, packet, offset, len, more, spoilt: 0, is_split }));
            offset += len;
        }
        steps
    })
}

/// Anything at all.
fn noise() -> impl Strategy<Value = Step> {
    any::<[u8; 5]>().prop_map(|bytes| match Judge::piece_of(bytes) {
        Ok(piece) => Step::Take(piece),
        Err(seconds) => Step::Wait(seconds),
    })
}

/// Fragments of several packets in random order, some twice, some changed, some missing, with time in between.
fn traffic() -> impl Strategy<Value = Vec<Step>> {
    let damage = proptest::collection::vec((0usize..64, 0usize..64, 0u8..4), 0..8);
    let noise = proptest::collection::vec(noise(), 0..6);
    let packets = proptest::collection::vec(cut_packet(), 1..10).prop_map(|packets| packets.concat());
    let order = (packets, any::<bool>()).prop_flat_map(|(steps, is_mixed)| {
        if is_mixed { Just(steps).prop_shuffle().boxed() } else { Just(steps).boxed() }
    });
    (order, damage, noise).prop_map(|(mut steps, damage, noise)| {
        for (from, to, kind) in damage {
            let (from, to) = (from % steps.len(), to % steps.len());
            let mut step = steps[from].clone();
            if let Step::Take(piece) = &mut step {
                match kind {
                    0 => {}
                    1 => piece.spoilt = 1,
                    2 => piece.offset += 8,
                    _ => piece.more = !piece.more,
                }
            }
            steps.insert(to, step);
        }
        let every = steps.len() / (noise.len() + 1) + 1;
        for (number, step) in noise.into_iter().enumerate() {
            steps.insert((number * every).min(steps.len()), step);
        }
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_fragment_ends_as_in_the_model(steps in traffic(), is_small in any::<bool>()) {
        let mut judge = Judge::new(if is_small { Judge::LIMITS } else { Limits::WORKER });
        for step in steps {
            match step {
                Step::Take(piece) => judge.take(piece),
                Step::Wait(seconds) => judge.wait(seconds),
            }
        }
    }

    #[test]
    fn a_packet_comes_out_whole_in_whatever_order_its_fragments_come(
        packet in cut_packet().prop_shuffle(), before in cut_packet(),
    ) {
        let mut judge = Judge::new(Limits::WORKER);
        for step in before.iter().skip(1) {
            let Step::Take(piece) = step else { unreachable!("a packet is cut, not awaited") };
            judge.take(Piece { packet: piece.packet + 10, ..*piece });
        }
        let count = packet.len();
        for step in packet {
            let Step::Take(piece) = step else { unreachable!("a packet is cut, not awaited") };
            judge.take(piece);
        }
        prop_assert_eq!(judge.whole, usize::from(count > 1));
    }
}

#[test]
fn the_traffic_that_is_judged_meets_every_fate() {
    let mut runner = TestRunner::deterministic();
    let (mut seen, mut whole) = (HashSet::new(), 0);
    for _ in 0..2_000 {
        let mut judge = Judge::new(Judge::LIMITS);
        for step in traffic().new_tree(&mut runner).unwrap().current() {
            match step {
                Step::Take(piece) => judge.take(piece),
                Step::Wait(seconds) => judge.wait(seconds),
            }
        }
        seen.extend(judge.seen.iter().copied());
        whole += judge.whole;
    }
    let all = [
        DropReason::FragmentTiny,
        DropReason::FragmentMalformed,
        DropReason::FragmentDuplicate,
        DropReason::FragmentOverlap,
        DropReason::FragmentLength,
        DropReason::FragmentTimeout,
        DropReason::FragmentShare,
    ];
    assert_eq!(seen, HashSet::from(all));
    assert!(whole > 1_000, "{whole} packets were whole");
}

/// A table without a model.
struct Table {
    table: Reassembly,
    cache: ChunkCache,
    pool: Arc<ChunkPool>,
    lost: Vec<DropReason>,
    /// Chunks that the last packet stood in.
    segments: usize,
}

/// Counts what is lost.
struct Counted<'a> {
    lost: &'a mut Vec<DropReason>,
    cache: &'a mut ChunkCache,
}

impl Ends for Counted<'_> {
    fn dropped(&mut self, reason: DropReason) {
        self.lost.push(reason);
    }

    fn merged(&mut self) {}

    fn cache(&mut self) -> &mut ChunkCache {
        self.cache
    }
}

impl Table {
    fn new(limits: Limits) -> Self {
        let pool = whole_pool();
        let cache = ChunkCache::new(Arc::clone(&pool), 0);
        Self { table: Reassembly::new(limits), cache, pool, lost: Vec::new(), segments: 0 }
    }

    /// What comes out for these bytes in this second.
    fn take_at(&mut self, now_s: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        let frame = frame_of(bytes, false, &mut self.cache);
        let fragment = Fragment::read(&frame).unwrap();
        let mut ends = Counted { lost: &mut self.lost, cache: &mut self.cache };
        let whole = self.table.take(frame, fragment, now_s, &mut ends)?;
        let bytes = bytes_of(&whole);
        self.segments = whole.segment_count();
        self.cache.give_frame(whole);
        Some(bytes)
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.take_at(1, bytes)
    }

    /// Lost so far, for this reason.
    fn lost(&self, reason: DropReason) -> usize {
        self.lost.iter().filter(|lost| **lost == reason).count()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.table.clear(&mut Counted { lost: &mut self.lost, cache: &mut self.cache });
        self.cache.flush();
        rig::give_back(&self.pool);
    }
}

/// A packet of the peer 10.9.`number`, of the given IP payload.
fn packet_from(number: u16, payload: usize) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    raw_packet(&from_peer([10, 9, high, low].into(), Transport::L2TP_IP), &vec![7; payload])
}

#[test]
fn a_flood_from_one_peer_leaves_the_packets_of_another_whole() {
    let mut table = Table::new(Limits::WORKER);
    let (flood, good) = (packet_from(1, 1600), packet_from(2, 1500));
    let mut most = 0;
    for id in 0..5_000 {
        assert_eq!(table.take(&piece(&flood, id, 0..1480, true)), None);
        let [first, second]: [Vec<u8>; 2] = pieces(&good, id % 7, 1480).try_into().unwrap();
        assert_eq!(table.take(&second), None);
        assert_eq!(table.take(&piece(&flood, id, 1488..1600, false)), None);
        assert!(table.take(&first).is_some(), "packet {id}");
        most = most.max(table.table.parked());
    }
    assert_eq!(most, usize::from(Limits::WORKER.chunks_per_peer()));
    assert_eq!(table.lost(DropReason::FragmentShare), table.lost.len(), "its own, and nothing else");
}

#[test]
fn a_flood_from_many_peers_leaves_room_for_one_that_has_less() {
    for (payload, range) in [(1600, 0..1480), (120, 0..64)] {
        let mut table = Table::new(Limits::WORKER);
        let good = packet_from(9_999, 1500);
        for id in 0..4_000u32 {
            let flood = packet_from(u16::try_from(id % 40).unwrap(), payload);
            table.take(&piece(&flood, id, range.clone(), true));
            assert!(table.table.parked() <= usize::from(Limits::WORKER.chunks));
            let [first, second]: [Vec<u8>; 2] = pieces(&good, id, 1480).try_into().unwrap();
            assert_eq!(table.take(&first), None);
            assert!(table.take(&second).is_some(), "packet {id}");
        }
        assert!(table.lost(DropReason::ReassemblyFull) > 3_000, "the table was full");
        assert_eq!(table.lost(DropReason::ReassemblyFull), table.lost.len());
    }
}

#[test]
fn among_peers_that_have_as_much_the_newest_is_not_the_first_to_lose() {
    let mut table = Table::new(Limits { packets: 8, ..Limits::WORKER });
    let good = packet_from(9_999, 1500);
    for id in 0..100u16 {
        // Every one from another peer.
        let mut flood = |number| table.take(&piece(&packet_from(number, 1600), 1, 0..1480, true));
        (0..10).for_each(|at| assert_eq!(flood(id * 20 + at), None));
        let [first, second]: [Vec<u8>; 2] = pieces(&good, u32::from(id), 1480).try_into().unwrap();
        assert_eq!(table.take(&first), None);
        let mut flood = |number| table.take(&piece(&packet_from(number, 1600), 1, 0..1480, true));
        (10..16).for_each(|at| assert_eq!(flood(id * 20 + at), None));
        assert!(table.take(&second).is_some(), "packet {id}");
    }
}

#[test]
fn fragments_of_many_small_pieces_are_bounded_by_number_too() {
    let mut table = Table::new(Limits::WORKER);
    for id in 0..200 {
        let packet = packet_from(1, 1600);
        for at in 0..FRAGMENTS_PER_PACKET {
            table.take(&piece(&packet, id, at * 64..at * 64 + 64, true));
        }
        assert!(table.table.parked() <= usize::from(Limits::WORKER.chunks_per_peer()));
    }
    assert_eq!(table.table.parked(), usize::from(Limits::WORKER.chunks_per_peer()) / 20 * 20);
}

#[test]
fn one_fragment_too_many_spoils_the_packet() {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_from(1, 1600);
    for at in 0..=FRAGMENTS_PER_PACKET {
        assert_eq!(table.take(&piece(&packet, 1, at * 64..at * 64 + 64, true)), None);
    }
    assert_eq!(table.lost(DropReason::FragmentTooMany), FRAGMENTS_PER_PACKET + 1);
    assert_eq!(table.table.parked(), 0);
}

#[test]
fn what_overlaps_stays_refused_until_its_time_is_over() {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_from(1, 200);
    let take = |table: &mut Table, now_s, range: std::ops::Range<usize>, more| {
        table.take_at(now_s, &piece(&packet, 5, range, more))
    };
    take(&mut table, 10, 0..64, true);
    take(&mut table, 10, 56..128, true);
    assert_eq!(table.lost(DropReason::FragmentOverlap), 2);
    assert_eq!(take(&mut table, 12, 64..200, false), None);
    assert_eq!(table.lost(DropReason::FragmentOverlap), 3, "still to come when it was refused");
    assert_eq!(take(&mut table, 13, 0..64, true), None);
    assert!(take(&mut table, 13, 64..200, false).is_some(), "the number is used again");
    assert_eq!(table.lost.len(), 3);
}

#[test]
fn a_duplicate_harms_nobody_but_the_same_place_with_other_bytes_does() {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_from(1, 200);
    let [first, second] = [piece(&packet, 1, 0..64, true), piece(&packet, 1, 64..200, false)];
    assert_eq!((table.take(&first), table.take(&first)), (None, None));
    assert_eq!(table.lost, [DropReason::FragmentDuplicate]);
    assert!(table.take(&second).is_some());
    let mut forged = first.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!((table.take(&first), table.take(&forged), table.take(&second)), (None, None, None));
    assert_eq!(table.lost(DropReason::FragmentOverlap), 3);
}

#[test]
fn a_packet_in_time_comes_whole_and_a_late_one_does_not() {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_from(1, 200);
    let [first, second] = [piece(&packet, 1, 0..64, true), piece(&packet, 1, 64..200, false)];
    table.take_at(10, &first);
    assert!(table.take_at(12, &second).is_some());
    table.take_at(20, &first);
    assert_eq!(table.take_at(23, &second), None);
    assert_eq!((table.lost(DropReason::FragmentTimeout), table.table.parked()), (1, 1));
}

#[test]
fn a_packet_that_leaves_no_room_behind_its_first_part_moves_to_the_front_of_its_chunk() {
    let mut table = Table::new(Limits::WORKER);
    let largest = 2048 - 64 - 34;
    let packet = packet_from(1, largest);
    let [first, second] = [piece(&packet, 1, 0..1480, true), piece(&packet, 1, 1480..largest, false)];
    table.take(&first);
    let whole = table.take(&second).unwrap();
    assert_eq!(whole[34..], packet[34..]);
    assert_eq!(table.segments, 1);
    let packet = packet_from(1, largest + 1);
    let [first, second] = [piece(&packet, 2, 0..1480, true), piece(&packet, 2, 1480..largest + 1, false)];
    table.take(&second);
    assert_eq!(table.take(&first).unwrap()[34..], packet[34..]);
    assert_eq!(table.segments, 2, "and a longer one stands in the chunks of its parts");
}

#[test]
fn a_jumbo_packet_stands_in_the_chunks_of_its_fragments() {
    // The fragments of a LAN of 9000 bytes over a path of 1500, and over one of 9000.
    for (unit, chunks) in [(1480, 7), (8976, 7)] {
        let mut table = Table::new(Limits::WORKER);
        let packet = packet_from(1, 9050);
        let mut parts = pieces(&packet, 1, unit);
        let last = parts.pop().unwrap();
        parts.iter().rev().for_each(|part| assert_eq!(table.take(part), None));
        let whole = table.take(&last).unwrap();
        assert_eq!((whole[16..18].to_vec(), &whole[34..]), (vec![0x23, 0x6E], &packet[34..]));
        assert_eq!(table.segments, chunks);
        assert!(wire::checksum::sum(&whole[14..34]).is_valid());
    }
}

#[test]
fn a_packet_of_more_chunks_than_a_frame_can_have_is_lost() {
    let mut table = Table::new(Limits::WORKER);
    let parts = pieces(&packet_from(1, 18 * 120), 1, 120);
    assert!(parts.iter().all(|part| table.take(part).is_none()));
    assert_eq!(table.lost, [DropReason::ReassembledTooBig], "the others count as parts of it");
    assert_eq!(table.table.parked(), 0);
}

/// The ECN field that a packet has whose two fragments have these.
fn joined_ecn(first: u8, second: u8) -> Option<u8> {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_from(1, 200);
    let marked = |range, more, ecn: u8| {
        rig::frames::changed(piece(&packet, 1, range, more), |bytes| bytes[15] = 0xB8 | ecn)
    };
    table.take(&marked(0..64, true, first));
    let whole = table.take(&marked(64..200, false, second));
    assert_eq!(table.lost(DropReason::FragmentEcn), usize::from(whole.is_none()));
    whole.map(|bytes| {
        assert_eq!(bytes[15] & !3, 0xB8, "the DSCP is the first fragment's");
        assert!(wire::checksum::sum(&bytes[14..34]).is_valid());
        bytes[15] & 3
    })
}

#[test]
fn congestion_that_one_fragment_met_is_the_packets() {
    assert_eq!(joined_ecn(2, 2), Some(2));
    assert_eq!(joined_ecn(1, 2), Some(1));
    assert_eq!(joined_ecn(2, 3), Some(3));
    assert_eq!(joined_ecn(3, 1), Some(3));
    assert_eq!(joined_ecn(0, 2), Some(0));
    assert_eq!(joined_ecn(2, 0), Some(0));
    assert_eq!(joined_ecn(0, 3), None);
    assert_eq!(joined_ecn(3, 0), None);
}

#[test]
fn ipv4_options_of_the_first_fragment_stay() {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_from(1, 200);
    let with_options = |range, more| {
        let mut bytes = piece(&packet, 1, range, more);
        bytes.splice(34..34, [1, 1, 1, 0]);
        let length = u16::try_from(bytes.len() - 14).unwrap();
        rig::frames::changed(bytes, |bytes| {
            bytes[14] = 0x46;
            bytes[16..18].copy_from_slice(&length.to_be_bytes());
        })
    };
    table.take(&with_options(64..200, false));
    let whole = table.take(&with_options(0..64, true)).unwrap();
    assert_eq!((whole[14], &whole[34..38], &whole[38..]), (0x46, &[1, 1, 1, 0][..], &packet[34..]));
    assert!(wire::checksum::sum(&whole[14..38]).is_valid());
}

#[test]
fn fragments_of_one_tunnel_have_one_hash_and_those_of_others_other_ones() {
    let hash = |peer: u16, id: u32| {
        let bytes = piece(&packet_from(peer, 200), id, 0..64, true);
        rig::fragment_of(&bytes).key.tunnel_hash()
    };
    let mut groups = HashSet::new();
    for peer in 0..400 {
        assert!((2..50).all(|id| hash(peer, id) == hash(peer, 1)));
        groups.insert(hash(peer, 1) >> 32 & 1023);
    }
    assert!(groups.len() > 300, "{} groups of tunnels", groups.len());
}

#[test]
fn padding_behind_a_fragment_is_no_part_of_it() {
    let mut table = Table::new(Limits::WORKER);
    let packet = packet_a(&lan_frame_of([2; 6], [4; 6], 200));
    let [mut first, mut second]: [Vec<u8>; 2] = pieces(&packet, 3, 160).try_into().unwrap();
    first.extend([0xEE; 9]);
    second.extend([0xEE; 40]);
    table.take(&second);
    assert_eq!(table.take(&first).unwrap()[34..], packet[34..]);
}
