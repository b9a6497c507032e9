//! Tests of frames: bounds, and that bytes stay where they are while the ends move.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{ChunkCache, Umem, UmemConfig};

/// A cache over a fresh memory of `chunk_count` chunks.
fn cache(chunk_count: u32, chunk_bytes: u32) -> ChunkCache {
    let config = UmemConfig { chunk_count, chunk_bytes, headroom_bytes: 0, huge_pages: false };
    let (_, pool) = Umem::map(&config).unwrap();
    ChunkCache::new(Arc::clone(&pool), 0)
}

fn chunk(chunk_bytes: u32) -> Chunk {
    cache(1, chunk_bytes).take().unwrap()
}

#[test]
fn a_frame_is_sixteen_bytes_with_room_for_none() {
    assert_eq!(size_of::<Frame>(), 16);
    assert_eq!(size_of::<Option<Frame>>(), 16);
}

#[test]
fn a_header_pushed_in_front_leaves_the_payload_in_place() {
    let mut frame = Frame::from_bytes(chunk(2048), 256, &[0xaa, 0xbb]).unwrap();
    let payload_at = frame.head().as_ptr();
    let bytes = frame.push_front(3).unwrap();
    bytes[..3].copy_from_slice(&[1, 2, 3]);
    assert_eq!(frame.head(), [1, 2, 3, 0xaa, 0xbb]);
    assert_eq!(frame.head()[3..].as_ptr(), payload_at);
    frame.pull_front(4).unwrap();
    assert_eq!(frame.head(), [0xbb]);
}

#[test]
fn a_template_is_written_directly_in_front_of_the_start() {
    let mut frame = Frame::from_bytes(chunk(2048), 4, &[9]).unwrap();
    assert!(frame.before_mut::<5>().is_none());
    *frame.before_mut::<4>().unwrap() = [1, 2, 3, 4];
    assert_eq!(frame.head(), [9]);
    assert_eq!(frame.push_front(4).unwrap(), [1, 2, 3, 4, 9]);
    assert!(frame.before_mut::<1>().is_none());
    assert!(frame.before_mut::<0>().is_some());
}

#[test]
fn a_frame_that_does_not_fit_gives_its_chunk_back() {
    let refused = Frame::new(chunk(2048), 2000, 49).unwrap_err();
    let refused = Frame::new(refused, 2049, 0).unwrap_err();
    let refused = Frame::new(refused, usize::MAX, 1).unwrap_err();
    let refused = Frame::new(refused, 0, usize::MAX).unwrap_err();
    let whole = Frame::new(refused, 0, 2048).unwrap();
    assert_eq!((whole.len(), whole.headroom_bytes(), whole.tailroom_bytes()), (2048, 0, 0));
}

#[test]
fn a_copy_is_another_chunk_with_the_same_bytes() {
    let mut chunks = cache(2, 2048);
    let mut original = Frame::from_bytes(chunks.take().unwrap(), 300, b"pseudowire").unwrap();
    let copy = original.copy_into(chunks.take().unwrap(), 100).unwrap();
    original.head_mut().fill(0);
    assert_eq!(copy.head(), b"pseudowire");
    assert_eq!(copy.headroom_bytes(), 100);
    chunks.give_frame(original);
    chunks.give_frame(copy);
    assert_eq!(chunks.len(), 2);
}

#[test]
fn a_frame_can_be_handed_to_another_thread() {
    let mut chunks = cache(1, 2048);
    let mut frame = Frame::from_bytes(chunks.take().unwrap(), 0, &[1, 2]).unwrap();
    let frame = std::thread::spawn(move || {
        frame.head_mut()[0] = 7;
        frame
    })
    .join()
    .unwrap();
    assert_eq!(frame.head(), [7, 2]);
    chunks.give_frame(frame);
}

/// One change of a frame's ends.
#[derive(Debug, Clone, Copy)]
enum Change {
    Push(usize),
    Pull(usize),
    Truncate(usize),
    Extend(usize),
    Keep(usize, usize),
    Before,
}

fn change() -> impl Strategy<Value = Change> {
    let count = prop_oneof![0usize..80, 0usize..5000, Just(usize::MAX)];
    prop_oneof![
        count.clone().prop_map(Change::Push),
        count.clone().prop_map(Change::Pull),
        count.clone().prop_map(Change::Truncate),
        count.clone().prop_map(Change::Extend),
        (count.clone(), count).prop_map(|(from, to)| Change::Keep(from, to)),
        Just(Change::Before),
    ]
}

/// The same change on a plain vector that stands for the whole chunk; tells whether it was possible.
fn apply_to_model(change: Change, room: usize, start: &mut usize, end: &mut usize) -> bool {
    match change {
        Change::Push(count) if count <= *start => *start -= count,
        Change::Pull(count) if count <= *end - *start => *start += count,
        Change::Extend(count) if count <= room - *end => *end += count,
        Change::Truncate(len) => *end = (*start).saturating_add(len).min(*end),
        Change::Keep(from, to) if from <= to && to <= *end - *start => {
            *end = *start + to;
            *start += from;
        }
        Change::Before => return *start >= 16,
        _ => return false,
    }
    true
}

fn apply(change: Change, frame: &mut Frame, chunks: &mut ChunkCache) -> bool {
    match change {
        Change::Push(count) => frame.push_front(count).is_some(),
        Change::Pull(count) => frame.pull_front(count).is_some(),
        Change::Extend(count) => frame.extend_back(count).is_some(),
        Change::Keep(from, to) => frame.keep(from..to).is_some(),
        Change::Before => frame.before_mut::<16>().is_some(),
        Change::Truncate(len) => {
            frame.truncate(len, chunks);
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changes_keep_a_frame_inside_its_chunk_and_its_bytes_in_place(
        large in any::<bool>(), start in 0usize..=2048, len in 0usize..=2048, changes in prop::collection::vec(change(), 0..40),
    ) {
        let chunk_bytes: u16 = if large { 4096 } else { 2048 };
        let room = usize::from(chunk_bytes);
        let len = len.min(room - start);
        // Every byte of the chunk tells its own place, so a window that shows the right bytes is the right window.
        let image: Vec<u8> = (0..=250).cycle().take(room).collect();
        let mut chunks = cache(1, u32::from(chunk_bytes));
        let chunk = Frame::from_bytes(chunks.take().unwrap(), 0, &image).unwrap().into_chunks().next().unwrap();
        let mut frame = Frame::new(chunk, start, len).unwrap();
        let (mut first, mut end) = (start, start + len);
        for change in changes {
            let possible = apply_to_model(change, room, &mut first, &mut end);
            prop_assert_eq!(apply(change, &mut frame, &mut chunks), possible, "{:?}", change);
            prop_assert_eq!(frame.head(), &image[first..end]);
            prop_assert_eq!((frame.headroom_bytes(), frame.tailroom_bytes()), (first, room - end));
        }
    }
}
