//! Tests of rows of frames to be sent, and of what makes a queue quiet.

use super::*;

#[test]
fn a_row_is_taken_up_to_the_frame_that_does_not_fit_with_frames_of_several_segments_among_them() {
    let mut bench = Bench::new();
    let mut row: Vec<Frame> =
        (1..u8::try_from(RING).unwrap()).map(|number| bench.frame(&[number; 2])).collect();
    let long = bench.frame(&[101; 3]).followed_by(bench.frame(&[102; 4])).unwrap();
    row.insert(2, long);
    let count = row.len();
    let mut frames = row.into_iter();
    // 31 of one segment and one of two are an entry too many.
    let (taken, bytes, refused) = bench.rings.transmit_row(&mut bench.lent, &mut frames, count);
    assert_eq!((taken, bytes), (count - 1, 2 * 30 + 7));
    let refused = refused.unwrap();
    assert_eq!((refused.head(), frames.len()), (&[31; 2][..], 0));
    bench.cache.give_frame(refused);
    bench.rings.ends.tx.publish();
    let sent: Vec<u32> = std::iter::from_fn(|| bench.kernel.transmit()).map(|entry| entry.len).collect();
    assert_eq!((sent.len(), &sent[..6]), (RING as usize, &[2, 2, 3, 4, 2, 2][..]));
    bench.reap();
    assert_eq!(bench.accounted(), CHUNKS as usize);
    assert_eq!(bench.rings.transmit_row(&mut bench.lent, &mut std::iter::empty(), 3).0, 0);
}

#[test]
fn a_frame_that_cannot_be_sent_ends_a_row_and_those_behind_it_are_left() {
    let mut bench = Bench::new();
    let row = [&[1][..], &[2], &[], &[4]].map(|bytes| bench.frame(bytes));
    let mut frames = row.into_iter();
    let (taken, bytes, refused) = bench.rings.transmit_row(&mut bench.lent, &mut frames, 4);
    let refused = refused.unwrap();
    assert_eq!((taken, bytes, refused.len(), frames.len()), (2, 2, 0, 1));
    let behind = frames.next().unwrap();
    assert_eq!(behind.head(), [4]);
    [refused, behind].into_iter().for_each(|frame| bench.cache.give_frame(frame));
    assert_eq!((bench.lent.held().tx, bench.accounted()), (2, CHUNKS as usize));
}

#[test]
fn a_queue_is_quiet_when_nothing_came_or_was_completed_and_all_is_lent() {
    let mut bench = Bench::new();
    assert!(!bench.rings.is_quiet(), "chunks can be lent");
    bench.refill();
    assert!(bench.rings.is_quiet());
    bench.kernel.fill.ask_for_wakeup(true);
    assert!(!bench.rings.is_quiet(), "the kernel asks to be woken for them");
    bench.kernel.fill.ask_for_wakeup(false);
    bench.kernel.deliver(60);
    assert!(!bench.rings.is_quiet(), "a frame came");
    let frame = bench.receive().pop().unwrap();
    assert!(!bench.rings.is_quiet(), "its chunk can be replaced");
    bench.refill();
    bench.transmit(frame).unwrap();
    bench.rings.ends.tx.publish();
    assert!(bench.rings.is_quiet(), "what waits to be sent is for `flush`");
    bench.kernel.transmit().unwrap();
    assert!(!bench.rings.is_quiet(), "a transmission was completed");
    bench.reap();
    assert!(bench.rings.is_quiet());
}
