//! Tests of a queue's rings in plain memory, with the test as the kernel at the other ends.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::ring::{Consumer, HeapRing, Producer, pair};
use crate::sys::{Released, Tenure};
use crate::tx_metadata::TX_METADATA_BYTES;
use crate::{ChunkPool, Held, Umem, UmemConfig};

#[path = "rings_chain_tests.rs"]
mod chains;
#[path = "rings_row_tests.rs"]
mod rows;
#[path = "rings_sleep_tests.rs"]
mod sleeps;

type Addresses = Arc<HeapRing<u64>>;
type Descriptors = Arc<HeapRing<Descriptor>>;

const BLANK: Descriptor = Descriptor { ring_address: 0, len: 0, options: 0 };
const CHUNKS: u32 = 96;
const RING: u32 = 32;

/// The kernel's ends of the four rings.
struct Kernel {
    fill: Consumer<u64, Addresses>,
    rx: Producer<Descriptor, Descriptors>,
    tx: Consumer<Descriptor, Descriptors>,
    completion: Producer<u64, Addresses>,
}

/// A queue whose kernel is the test.
struct Bench {
    rings: Rings<Addresses, Descriptors>,
    kernel: Kernel,
    lent: Lent,
    cache: ChunkCache,
    pool: Arc<ChunkPool>,
    umem: &'static Umem,
    tenure: Tenure,
}

impl Bench {
    fn new() -> Self {
        let config =
            UmemConfig { chunk_count: CHUNKS, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (umem, pool) = Umem::map(&config).unwrap();
        let tenure = Tenure::begin(1, 0);
        let (fill, kernel_fill) = pair(RING, 0, u32::MAX - 5);
        let (kernel_rx, rx) = pair(RING, BLANK, 0);
        let (tx, kernel_tx) = pair(RING, BLANK, 7);
        let (kernel_completion, completion) = pair(RING, 0, u32::MAX);
        Self {
            rings: Rings::new(Ends { fill, rx, tx, completion }, MAX_SEGMENTS),
            kernel: Kernel { fill: kernel_fill, rx: kernel_rx, tx: kernel_tx, completion: kernel_completion },
            lent: Lent::new(Arc::clone(&pool), tenure),
            cache: ChunkCache::new(Arc::clone(&pool), 0),
            pool,
            umem,
            tenure,
        }
    }

    fn refill(&mut self) -> usize {
        self.rings.refill(&mut self.lent, &mut self.cache)
    }

    fn receive(&mut self) -> FrameBatch {
        let mut out = FrameBatch::new();
        self.rings.receive(&mut self.lent, &mut self.cache, &mut out);
        out
    }

    fn reap(&mut self) -> usize {
        self.rings.reap(&mut self.lent, &mut self.cache)
    }

    fn frame(&mut self, bytes: &[u8]) -> Frame {
        Frame::from_bytes(self.cache.take().unwrap(), 300, bytes).unwrap()
    }

    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        self.rings.transmit(&mut self.lent, frame)
    }

    /// All chunks: in the pool, in the cache and lent.
    fn accounted(&self) -> usize {
        self.pool.free_count() + self.cache.len() + self.lent.held().total() as usize
    }
}

impl Kernel {
    /// Delivers a frame of `len` bytes in the next chunk of the fill ring.
    fn deliver(&mut self, len: u32) -> bool {
        self.deliver_segment(len, false)
    }

    /// Delivers a segment of `len` bytes in the next chunk of the fill ring, with more to follow or not.
    fn deliver_segment(&mut self, len: u32, is_continued: bool) -> bool {
        if self.rx.free_count(1) == 0 {
            return false;
        }
        let Some(chunk) = self.fill.pop() else { return false };
        self.fill.release();
        self.say_segment(chunk + 256, len, is_continued);
        true
    }

    /// Delivers a frame of segments of these lengths, all of it or nothing.
    fn deliver_chain(&mut self, lens: &[u32]) -> bool {
        let count = u32::try_from(lens.len()).unwrap();
        if self.rx.free_count(count) < count || self.fill.available(count) < count {
            return false;
        }
        for (place, len) in lens.iter().enumerate() {
            assert!(self.deliver_segment(*len, place + 1 < lens.len()));
        }
        true
    }

    /// Writes any entry into the RX ring.
    fn say_received(&mut self, ring_address: u64, len: u32) {
        self.say_segment(ring_address, len, false);
    }

    /// Writes any entry into the RX ring, with more to follow or not.
    fn say_segment(&mut self, ring_address: u64, len: u32, is_continued: bool) {
        let options = if is_continued { Descriptor::CONTINUED } else { 0 };
        self.rx.push(Descriptor { ring_address, len, options }).unwrap();
        self.rx.publish();
    }

    /// Transmits the next entry of the TX ring.
    fn transmit(&mut self) -> Option<Descriptor> {
        if self.completion.free_count(1) == 0 {
            return None;
        }
        let entry = self.tx.pop()?;
        self.tx.release();
        self.say_completed(entry.ring_address);
        Some(entry)
    }

    /// Writes any entry into the completion ring.
    fn say_completed(&mut self, ring_address: u64) {
        self.completion.push(ring_address).unwrap();
        self.completion.publish();
    }
}

#[test]
fn a_received_frame_lies_where_the_kernel_put_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.refill(), RING as usize);
    assert!(bench.kernel.deliver(60));
    let frame = bench.receive().pop().unwrap();
    assert_eq!((frame.len(), frame.headroom_bytes(), frame.tailroom_bytes()), (60, 256, 2048 - 256 - 60));
    assert_eq!(bench.lent.held(), Held { fill: RING - 1, tx: 0 });
    bench.cache.give_frame(frame);
    assert_eq!(bench.refill(), 1);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_transmitted_frame_starts_where_its_headers_were_written() {
    let mut bench = Bench::new();
    let mut frame = bench.frame(b"payload");
    frame.push_front(4).unwrap();
    let index = bench.umem.index_of(frame.base()).unwrap();
    bench.transmit(frame).unwrap();
    assert_eq!(bench.kernel.tx.pop(), None, "not visible before it is published");
    bench.rings.ends.tx.publish();
    let entry = bench.kernel.transmit().unwrap();
    assert_eq!((entry.ring_address, entry.len), (u64::from(index) * 2048 + 296, 11));
    assert_eq!(bench.lent.held(), Held { fill: 0, tx: 1 });
    assert_eq!(bench.reap(), 1);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_full_tx_ring_gives_the_frame_back() {
    let mut bench = Bench::new();
    for _ in 0..RING {
        let frame = bench.frame(&[1]);
        bench.transmit(frame).unwrap();
    }
    let frame = bench.frame(&[2]);
    let refused = bench.transmit(frame).unwrap_err();
    assert_eq!(refused.head(), [2]);
    bench.cache.give_frame(refused);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn an_empty_frame_and_one_of_another_memory_are_not_transmitted() {
    let mut bench = Bench::new();
    let mut other = Bench::new();
    let empty = bench.frame(&[]);
    let empty = bench.transmit(empty).unwrap_err();
    bench.cache.give_frame(empty);
    let foreign = bench.transmit(other.frame(&[1])).unwrap_err();
    other.cache.give_frame(foreign);
    assert_eq!(bench.lent.held(), Held::default());
}

#[test]
fn a_frame_without_the_room_in_front_that_the_kernel_wants_is_not_transmitted() {
    let mut bench = Bench::new();
    for (start, is_sent) in [(0, false), (TX_METADATA_BYTES - 1, false), (TX_METADATA_BYTES, true)] {
        let frame = Frame::from_bytes(bench.cache.take().unwrap(), start, &[1]).unwrap();
        let sent = bench.transmit(frame).map_err(|frame| bench.cache.give_frame(frame));
        assert_eq!(sent.is_ok(), is_sent, "{start}");
    }
    let head = Frame::from_bytes(bench.cache.take().unwrap(), 300, &[1]).unwrap();
    let near = Frame::from_bytes(bench.cache.take().unwrap(), 16, &[2]).unwrap();
    let refused = bench.transmit(head.followed_by(near).unwrap()).unwrap_err();
    bench.cache.give_frame(refused);
    assert_eq!(bench.lent.held(), Held { fill: 0, tx: 1 });
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_frame_that_asks_for_its_checksum_has_the_option_and_the_next_one_has_not() {
    let mut bench = Bench::new();
    let request = ChecksumRequest { start: 34, offset: 6 };
    let asking = bench.frame(&[1; 60]);
    bench.rings.transmit_requesting(request, &mut bench.lent, asking).unwrap();
    let plain = bench.frame(&[2; 60]);
    bench.transmit(plain).unwrap();
    let short = bench.frame(&[3; 41]);
    let refused = bench.rings.transmit_requesting(request, &mut bench.lent, short).unwrap_err();
    bench.cache.give_frame(refused);
    bench.rings.ends.tx.publish();
    let options: Vec<u32> =
        std::iter::from_fn(|| bench.kernel.transmit()).map(|entry| entry.options).collect();
    assert_eq!(options, [Descriptor::METADATA, 0]);
    assert_eq!(bench.reap(), 2);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn entries_that_name_what_was_not_lent_are_counted_and_ignored() {
    let mut bench = Bench::new();
    bench.refill();
    let ours = bench.frame(b"ours");
    let ours_at = bench.umem.ring_address(bench.umem.index_of(ours.base()).unwrap(), 0);
    let lent_at = bench.kernel.fill.pop().unwrap();
    for (address, len) in [
        (ours_at + 256, 60),            // a chunk in our hands
        (u64::from(CHUNKS) * 2048, 60), // the byte after the memory
        (u64::MAX, 60),                 // an address that overflows everything
        (lent_at + 2000, 49),           // a lent chunk, but bytes of the next one
        (lent_at, u32::MAX),            // a length that overflows everything
    ] {
        bench.kernel.say_received(address, len);
    }
    bench.kernel.say_completed(ours_at);
    bench.kernel.say_completed(lent_at); // lent, but for reception
    bench.kernel.say_completed(u64::MAX);
    assert!(bench.receive().is_empty());
    assert_eq!(bench.reap(), 0);
    assert_eq!(bench.rings.counts.bad_entries, 8);
    assert_eq!(bench.lent.held(), Held { fill: RING, tx: 0 });
    assert_eq!(ours.head(), b"ours");
    bench.kernel.say_received(lent_at + 256, 60);
    bench.kernel.say_received(lent_at + 256, 60);
    assert_eq!(bench.receive().len(), 1, "the same chunk does not come twice");
}

#[test]
fn reception_stops_at_the_room_left_in_the_batch() {
    let mut bench = Bench::new();
    bench.refill();
    while bench.kernel.deliver(60) {}
    let mut out = FrameBatch::new();
    for _ in 0..crate::BATCH - 3 {
        out.push(bench.frame(&[0]));
    }
    assert_eq!(bench.rings.receive(&mut bench.lent, &mut bench.cache, &mut out), 3);
    assert!(out.is_full());
    assert_eq!(bench.rings.receive(&mut bench.lent, &mut bench.cache, &mut out), 0);
    assert_eq!(bench.receive().len(), RING as usize - 3);
}

#[test]
fn a_queue_that_ends_in_the_midst_of_everything_gives_every_chunk_back() {
    let mut bench = Bench::new();
    bench.refill();
    for _ in 0..5 {
        bench.kernel.deliver(100);
    }
    for _ in 0..7 {
        let frame = bench.frame(&[1]);
        bench.transmit(frame).unwrap();
    }
    bench.rings.ends.tx.publish();
    bench.kernel.transmit().unwrap();
    drop(bench.rings);
    let cache = &mut bench.cache;
    let held = bench.lent.take_back(&Released::in_plain_memory(bench.tenure), |chunk| cache.give(chunk));
    assert_eq!(held, Held { fill: RING, tx: 7 });
    assert_eq!(bench.pool.free_count() + bench.cache.len(), CHUNKS as usize);
    let places: std::collections::HashSet<_> =
        std::iter::from_fn(|| bench.cache.take()).map(|chunk| chunk.base().addr()).collect();
    assert_eq!(places.len(), CHUNKS as usize, "none lost, none doubled");
}

#[test]
#[should_panic(expected = "the proof is about this opening of this queue")]
fn a_proof_about_another_queue_takes_nothing_back() {
    let mut bench = Bench::new();
    bench.refill();
    let proof = Released::in_plain_memory(Tenure::begin(1, 1));
    bench.lent.take_back(&proof, |_| ());
}

#[test]
#[should_panic(expected = "the proof is about this opening of this queue")]
fn a_proof_about_another_socket_of_the_same_queue_takes_nothing_back() {
    let mut bench = Bench::new();
    bench.refill();
    let proof = Released::in_plain_memory(Tenure::begin(1, 0));
    bench.lent.take_back(&proof, |_| ());
}

/// One act of either side.
#[derive(Debug, Clone, Copy)]
enum Act {
    Refill,
    Deliver(u8),
    /// A frame of this many segments, some of them too many.
    DeliverChain(u8),
    /// A segment with more to follow, of which the kernel shows the rest later.
    DeliverPart,
    Receive,
    Forward(u8),
    /// So many in one go.
    ForwardRow(u8),
    /// Each frame in hand gets the next one behind it.
    Join(u8),
    Discard(u8),
    Flush,
    Transmit(u8),
    Reap,
}

fn act() -> impl Strategy<Value = Act> {
    let some = 1u8..40;
    prop_oneof![
        Just(Act::Refill),
        some.clone().prop_map(Act::Deliver),
        (1u8..22).prop_map(Act::DeliverChain),
        Just(Act::DeliverPart),
        Just(Act::Receive),
        some.clone().prop_map(Act::Forward),
        some.clone().prop_map(Act::ForwardRow),
        (1u8..4).prop_map(Act::Join),
        some.clone().prop_map(Act::Discard),
        Just(Act::Flush),
        some.prop_map(Act::Transmit),
        Just(Act::Reap),
    ]
}

/// Does one act; `hand` holds the frames in the engine's hands.
fn step(act: Act, bench: &mut Bench, hand: &mut Vec<Frame>) {
    match act {
        Act::Refill => _ = bench.refill(),
        Act::Deliver(count) => (0..count).for_each(|_| _ = bench.kernel.deliver(64)),
        Act::DeliverChain(count) => _ = bench.kernel.deliver_chain(&vec![64; usize::from(count)]),
        Act::DeliverPart => _ = bench.kernel.deliver_segment(64, true),
        Act::Receive => hand.extend(bench.receive()),
        Act::Join(count) => (0..count).for_each(|_| join(bench, hand)),
        Act::Forward(count) => {
            for _ in 0..count {
                let Some(frame) = hand.pop() else { break };
                let (segments, before) = (to_count(frame.segment_count()), bench.lent.held().tx);
                match bench.transmit(frame) {
                    Ok(()) => assert_eq!(bench.lent.held().tx, before + segments),
                    Err(frame) => {
                        assert_eq!(
                            (to_count(frame.segment_count()), bench.lent.held().tx),
                            (segments, before)
                        );
                        bench.cache.give_frame(frame);
                    }
                }
            }
        }
        Act::ForwardRow(count) => {
            let keep = hand.len().saturating_sub(usize::from(count));
            let given = hand.len() - keep;
            let mut row = hand.drain(keep..);
            let (taken, bytes, refused) = bench.rings.transmit_row(&mut bench.lent, &mut row, given);
            let left: Vec<Frame> = row.collect();
            assert_eq!(taken + usize::from(refused.is_some()) + left.len(), given);
            assert!(bytes >= 64 * taken as u64, "{taken} frames, {bytes} bytes");
            assert!(
                refused.is_some() || left.is_empty(),
                "it stops at a frame that is refused and nowhere else"
            );
            refused.into_iter().chain(left).for_each(|frame| bench.cache.give_frame(frame));
        }
        Act::Discard(count) => {
            let keep = hand.len().saturating_sub(usize::from(count));
            hand.drain(keep..).for_each(|frame| bench.cache.give_frame(frame));
        }
        Act::Flush => _ = bench.rings.ends.tx.publish(),
        Act::Transmit(count) => (0..count).for_each(|_| _ = bench.kernel.transmit()),
        Act::Reap => _ = bench.reap(),
    }
}

/// Both sides finish what they have begun.
fn settle(bench: &mut Bench) {
    bench.rings.ends.tx.publish();
    for _ in 0..3 {
        while bench.kernel.transmit().is_some() {}
        bench.reap();
        bench.receive().into_iter().for_each(|frame| bench.cache.give_frame(frame));
        bench.refill();
    }
}

/// Lets one frame in hand follow another, if it can.
fn join(bench: &mut Bench, hand: &mut Vec<Frame>) {
    if hand.len() < 2 {
        return;
    }
    let (head, rest) = (hand.pop().unwrap(), hand.pop().unwrap());
    match head.followed_by(rest) {
        Ok(frame) => hand.push(frame),
        Err((head, rest)) => {
            bench.cache.give_frame(head);
            bench.cache.give_frame(rest);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 128 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn free_lent_and_in_hand_are_all_chunks_after_every_act(acts in prop::collection::vec(act(), 0..150)) {
        let mut bench = Bench::new();
        let mut hand = Vec::new();
        for act in acts {
            step(act, &mut bench, &mut hand);
            let in_hand: usize = hand.iter().map(Frame::segment_count).sum();
            prop_assert_eq!(bench.accounted() + in_hand, CHUNKS as usize, "{:?}", act);
        }
        prop_assert_eq!(bench.rings.counts.bad_entries, 0);
        // Whatever was left half shown, the ring goes on once its end is there.
        hand.drain(..).for_each(|frame| bench.cache.give_frame(frame));
        settle(&mut bench);
        prop_assert!(bench.kernel.deliver(64));
        settle(&mut bench);
        prop_assert!(bench.kernel.deliver(65));
        let last = bench.receive().pop();
        prop_assert_eq!(last.as_ref().map(Frame::len), Some(65));
    }
}
