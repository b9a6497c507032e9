//! Tests of frames of several segments on a queue's rings: whole or not at all, and no chunk lost when they cannot be taken.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;

/// Lengths of a frame's segments.
fn lens(frame: &Frame) -> Vec<usize> {
    frame.segments().map(<[u8]>::len).collect()
}

/// A frame of these segments.
fn chain(bench: &mut Bench, segments: &[&[u8]]) -> Frame {
    let mut rest = None;
    for bytes in segments.iter().rev() {
        let head = bench.frame(bytes);
        rest = Some(match rest {
            None => head,
            Some(rest) => head.followed_by(rest).unwrap(),
        });
    }
    rest.unwrap()
}

#[test]
fn a_frame_of_several_chunks_is_received_as_one() {
    let mut bench = Bench::new();
    bench.refill();
    assert!(bench.kernel.deliver(60));
    assert!(bench.kernel.deliver_chain(&[1792, 1791, 5]));
    assert!(bench.kernel.deliver_chain(&[1792, 1]));
    assert!(bench.kernel.deliver(61));
    let frames = bench.receive();
    let received: Vec<_> = frames.iter().map(lens).collect();
    assert_eq!(received, [vec![60], vec![1792, 1791, 5], vec![1792, 1], vec![61]]);
    let places: Vec<_> = frames[1].chain().map(|segment| bench.umem.index_of(segment.base())).collect();
    let first = bench.umem.index_of(frames[0].base()).unwrap();
    assert_eq!(
        places,
        [1, 2, 3].map(|place| first.checked_sub(place)),
        "the chunks the kernel named, in order"
    );
    assert_eq!(frames[1].headroom_bytes(), 240);
    assert_eq!(bench.lent.held(), Held { fill: RING - 7, tx: 0 });
    let counts = bench.rings.counts;
    assert_eq!((counts.rx_chained, counts.rx_discarded, counts.bad_entries), (2, 0, 0));
    frames.into_iter().for_each(|frame| bench.cache.give_frame(frame));
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_frame_whose_end_is_not_there_yet_waits_in_the_ring() {
    let mut bench = Bench::new();
    bench.refill();
    assert!(bench.kernel.deliver(60));
    assert!(bench.kernel.deliver_segment(1792, true) && bench.kernel.deliver_segment(1792, true));
    for _ in 0..3 {
        bench.receive().into_iter().for_each(|frame| bench.cache.give_frame(frame));
        assert_eq!(bench.lent.held(), Held { fill: RING - 1, tx: 0 }, "its chunks are the kernel's still");
    }
    assert!(bench.kernel.deliver_segment(7, false));
    let frame = bench.receive().pop().unwrap();
    assert_eq!(lens(&frame), [1792, 1792, 7]);
    bench.cache.give_frame(frame);
    assert_eq!((bench.accounted(), bench.rings.counts.rx_discarded), (CHUNKS as usize, 0));
}

#[test]
fn a_frame_of_too_many_segments_is_discarded_and_the_next_one_received() {
    let mut bench = Bench::new();
    bench.refill();
    assert!(bench.kernel.deliver_chain(&[1; MAX_SEGMENTS]));
    assert!(bench.kernel.deliver_chain(&[1; MAX_SEGMENTS - 3]));
    let most = bench.receive();
    assert_eq!(most.iter().map(Frame::len).collect::<Vec<_>>(), [MAX_SEGMENTS, MAX_SEGMENTS - 3]);
    most.into_iter().for_each(|frame| bench.cache.give_frame(frame));
    bench.refill();
    assert!(bench.kernel.deliver_chain(&[1; MAX_SEGMENTS + 1]));
    assert!(bench.kernel.deliver_chain(&[2, 2]));
    let frame = bench.receive().pop().unwrap();
    assert_eq!((lens(&frame), bench.rings.counts.rx_discarded), (vec![2, 2], 1));
    bench.cache.give_frame(frame);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn the_end_of_a_discarded_frame_is_waited_for() {
    let mut bench = Bench::new();
    bench.refill();
    (0..=MAX_SEGMENTS).for_each(|_| assert!(bench.kernel.deliver_segment(1, true)));
    assert!(bench.receive().is_empty());
    assert_eq!(bench.lent.held().fill as usize, RING as usize - MAX_SEGMENTS - 1);
    assert!(bench.kernel.deliver_segment(3, true) && bench.kernel.deliver_segment(4, false));
    assert!(bench.kernel.deliver(60));
    let frames = bench.receive();
    assert_eq!(frames.iter().map(Frame::len).collect::<Vec<_>>(), [60], "no part passes for a frame");
    assert_eq!(bench.rings.counts.rx_discarded, 1);
    frames.into_iter().for_each(|frame| bench.cache.give_frame(frame));
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_frame_that_fills_the_ring_without_an_end_does_not_block_it() {
    let mut bench = Bench::new();
    // An RX ring smaller than the longest frame.
    let (rx, ours) = pair(8, BLANK, 0);
    (bench.kernel.rx, bench.rings.ends.rx) = (rx, ours);
    bench.refill();
    (0..8).for_each(|_| assert!(bench.kernel.deliver_segment(1, true)));
    assert!(bench.receive().is_empty());
    assert_eq!(bench.rings.counts.rx_discarded, 1);
    assert!(bench.kernel.deliver(5) && bench.kernel.deliver(6));
    let frame = bench.receive().pop().unwrap();
    assert_eq!(frame.len(), 6);
    bench.cache.give_frame(frame);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_frame_with_an_entry_that_was_not_lent_is_discarded_whole() {
    let mut bench = Bench::new();
    bench.refill();
    for bad in 0..3 {
        for place in 0..3 {
            if place == bad {
                bench.kernel.say_segment(u64::from(CHUNKS) * 2048, 1792, place < 2);
            } else {
                assert!(bench.kernel.deliver_segment(1792, place < 2));
            }
        }
    }
    assert!(bench.kernel.deliver(60));
    let frame = bench.receive().pop().unwrap();
    assert_eq!(frame.len(), 60);
    let counts = bench.rings.counts;
    assert_eq!((counts.rx_discarded, counts.bad_entries, counts.rx_chained), (3, 3, 0));
    bench.cache.give_frame(frame);
    assert_eq!(bench.lent.held(), Held { fill: RING - 7, tx: 0 });
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn one_chunk_named_twice_in_a_frame_is_taken_once() {
    let mut bench = Bench::new();
    bench.refill();
    let chunk = bench.kernel.fill.pop().unwrap();
    bench.kernel.say_segment(chunk + 256, 100, true);
    bench.kernel.say_segment(chunk + 512, 100, false);
    assert!(bench.receive().is_empty());
    assert_eq!((bench.rings.counts.rx_discarded, bench.rings.counts.bad_entries), (1, 1));
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn segments_without_a_byte_are_left_out() {
    let mut bench = Bench::new();
    bench.refill();
    assert!(bench.kernel.deliver_chain(&[0, 1792, 0, 4, 0]));
    assert!(bench.kernel.deliver_chain(&[60, 0]));
    let frames = bench.receive();
    assert_eq!(frames.iter().map(lens).collect::<Vec<_>>(), [vec![1792, 4], vec![60]]);
    frames.into_iter().for_each(|frame| bench.cache.give_frame(frame));
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_segment_without_room_for_a_link_is_discarded() {
    let mut bench = Bench::new();
    bench.refill();
    let chunk = bench.kernel.fill.pop().unwrap();
    bench.kernel.say_segment(chunk + 8, 100, true);
    assert!(bench.kernel.deliver(100));
    assert!(bench.receive().is_empty());
    assert_eq!((bench.rings.counts.rx_discarded, bench.rings.counts.bad_entries), (1, 0));
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_frame_of_several_chunks_is_transmitted_as_entries_that_continue() {
    let mut bench = Bench::new();
    let mut frame = chain(&mut bench, &[b"head", b"mid", b"t"]);
    frame.push_front(2).unwrap();
    let at: Vec<_> = frame.chain().map(|segment| bench.umem.index_of(segment.base()).unwrap()).collect();
    bench.transmit(frame).unwrap();
    assert_eq!(bench.lent.held(), Held { fill: 0, tx: 3 });
    bench.rings.ends.tx.publish();
    let sent: Vec<_> = std::iter::from_fn(|| bench.kernel.transmit()).collect();
    let seen = |entry: &Descriptor| (entry.ring_address, entry.len, entry.options);
    let expected = [(at[0], 298, 6, 1), (at[1], 300, 3, 1), (at[2], 300, 1, 0)]
        .map(|(index, start, len, options)| (u64::from(index) * 2048 + start, len, options));
    assert_eq!(sent.iter().map(seen).collect::<Vec<_>>(), expected);
    assert_eq!((bench.reap(), bench.lent.held(), bench.rings.counts.tx_chained), (3, Held::default(), 1));
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_ring_without_room_for_all_of_a_frame_takes_nothing_of_it() {
    let mut bench = Bench::new();
    for _ in 0..RING - 2 {
        let frame = bench.frame(&[1]);
        bench.transmit(frame).unwrap();
    }
    let long = chain(&mut bench, &[b"a", b"b", b"c"]);
    let long = bench.transmit(long).unwrap_err();
    assert_eq!(
        (lens(&long), bench.lent.held().tx, bench.rings.ends.tx.free_count(8)),
        (vec![1, 1, 1], RING - 2, 2)
    );
    let mut short = long;
    short.truncate(2, &mut bench.cache);
    bench.transmit(short).unwrap();
    assert_eq!((bench.lent.held().tx, bench.accounted()), (RING, CHUNKS as usize));
}

#[test]
fn a_queue_takes_no_more_segments_than_its_device() {
    let mut bench = Bench::new();
    for limit in [1, 2, 3] {
        bench.rings.max_segments = limit;
        let frame = chain(&mut bench, &[b"a", b"b", b"c"]);
        match bench.transmit(frame) {
            Ok(()) => assert_eq!(limit, 3),
            Err(frame) => {
                assert!(limit < 3);
                assert_eq!(lens(&frame), [1, 1, 1]);
                bench.cache.give_frame(frame);
            }
        }
    }
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn a_chain_of_two_memories_is_not_transmitted() {
    let mut bench = Bench::new();
    let mut other = Bench::new();
    let foreign = other.frame(b"foreign");
    let frame = bench.frame(b"ours").followed_by(foreign).unwrap();
    let mut frame = bench.transmit(frame).unwrap_err();
    assert_eq!(bench.lent.held(), Held::default());
    other.cache.give_frame(frame.take_rest().unwrap());
    bench.cache.give_frame(frame);
    assert_eq!((bench.accounted(), other.accounted()), (CHUNKS as usize, CHUNKS as usize));
}

#[test]
fn only_the_first_entry_of_a_frame_of_several_chunks_asks_for_the_checksum() {
    let mut bench = Bench::new();
    let frame = chain(&mut bench, &[&[1; 60], &[2; 30], &[3; 20]]);
    let request = ChecksumRequest { start: 34, offset: 6 };
    bench.rings.transmit_requesting(request, &mut bench.lent, frame).unwrap();
    bench.rings.ends.tx.publish();
    let options: Vec<u32> =
        std::iter::from_fn(|| bench.kernel.transmit()).map(|entry| entry.options).collect();
    assert_eq!(options, [Descriptor::METADATA | Descriptor::CONTINUED, Descriptor::CONTINUED, 0]);
    assert_eq!(bench.reap(), 3);
    let frame = chain(&mut bench, &[&[1; 41], &[2; 30]]);
    let refused = bench.rings.transmit_requesting(request, &mut bench.lent, frame).unwrap_err();
    bench.cache.give_frame(refused);
    assert_eq!(bench.accounted(), CHUNKS as usize);
}

#[test]
fn frames_of_one_and_of_several_chunks_are_told_apart_while_the_kernel_goes_on() {
    let count: u32 = if cfg!(miri) { 50 } else { 400_000 };
    let Bench { mut rings, mut kernel, mut lent, mut cache, .. } = Bench::new();
    rings.refill(&mut lent, &mut cache);
    let is_over = AtomicBool::new(false);
    let fault = std::thread::scope(|scope| {
        // One of two chunks and three of one, at another pace each time.
        scope.spawn(|| {
            for number in 0..count {
                for lens in [&[100, 7][..], &[60], &[61], &[62]] {
                    while !kernel.deliver_chain(lens) {
                        if is_over.load(Relaxed) {
                            return;
                        }
                        std::thread::yield_now();
                    }
                }
                (0..number % 64).for_each(|_| core::hint::spin_loop());
            }
        });
        let (mut left, mut next) =
            (4 * count, [vec![100, 7], vec![60], vec![61], vec![62]].into_iter().cycle());
        let mut fault = None;
        while left > 0 && fault.is_none() {
            let mut out = FrameBatch::new();
            rings.receive(&mut lent, &mut cache, &mut out);
            for frame in out {
                let (seen, expected) = (lens(&frame), next.next().unwrap());
                if seen != expected {
                    fault = Some((seen, expected));
                }
                cache.give_frame(frame);
                left -= 1;
            }
            rings.refill(&mut lent, &mut cache);
        }
        is_over.store(true, Relaxed);
        fault
    });
    assert_eq!(fault, None, "what came, and what was sent");
    assert_eq!((rings.counts.rx_discarded, rings.counts.bad_entries), (0, 0));
}
