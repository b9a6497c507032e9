//! Frames that span several chunks, on the kernel's own rings.

use std::os::fd::AsFd;

use xsk::{BindMode, BindOperation, Frame, FrameBatch, MAX_SEGMENTS, SocketConfig, XskQueue};

use super::redirect;
use super::world::{self, World, sniff};
use super::{CHUNKS, Memory, RING, config, drain, frame_bytes};

/// MTU of all interfaces.
const MTU: usize = 9000;
/// Longest frame that is sent: four bytes are put in front of it on its way.
const LONGEST: usize = MTU + 14 - 4;

fn wide(mode: BindMode) -> SocketConfig {
    SocketConfig { multi_buffer: true, ..config(mode) }
}

fn enter(test: impl FnOnce(&World) + Send) {
    World::enter(|world| {
        for interface in ["a0", "a1", "b0", "b1"] {
            world.ip(&format!("link set {interface} mtu {MTU}"));
        }
        test(world);
    });
}

fn open(memory: &mut Memory, world: &World, interface: &str) -> XskQueue {
    let config = wide(BindMode::Copy);
    XskQueue::open(memory.umem, world.ifindex(interface), 0, &config, &mut memory.cache).unwrap()
}

/// Lengths that use one chunk, several, and the last byte of each.
fn len_of(number: u16) -> usize {
    match number % 8 {
        0 => LONGEST,
        1 => 60,
        2 => 1792,
        3 => 1793,
        4 => 3840,
        5 => 3841,
        6 => 7681,
        _ => 60 + usize::from(number) * 37 % (LONGEST - 60),
    }
}

/// A frame in as few chunks as hold it.
fn long_frame(memory: &mut Memory, number: u16) -> Frame {
    let bytes = frame_bytes(number, len_of(number));
    let room = memory.umem.rx_room_bytes();
    let mut rest: Option<Frame> = None;
    for part in bytes.chunks(room).rev() {
        let head = Frame::from_bytes(memory.cache.take().unwrap(), 256, part).unwrap();
        rest = Some(match rest {
            None => head,
            Some(rest) => head.followed_by(rest).unwrap(),
        });
    }
    rest.unwrap()
}

fn whole(frame: &Frame) -> Vec<u8> {
    frame.segments().collect::<Vec<_>>().concat()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn jumbo_frames_pass_between_two_devices_whatever_the_chunks() {
    for chunk_bytes in [2048, 4096] {
        enter(|world| pass(world, Memory::of_chunks(chunk_bytes)));
    }
}

fn pass(world: &World, mut memory: Memory) {
    let (mut near, mut far) = (open(&mut memory, world, "a0"), open(&mut memory, world, "a1"));
    let mut onward = open(&mut memory, world, "b0");
    assert_eq!(near.max_segments(), MAX_SEGMENTS);
    let _redirect = redirect::attach(far.ifindex(), far.as_fd());
    let sniffer = world::sniffer();
    for round in 0..40u16 {
        let numbers = round * 24..round * 24 + 24;
        for number in numbers.clone() {
            let frame = long_frame(&mut memory, number);
            near.transmit(frame).unwrap();
        }
        near.flush();
        carry(&mut memory, &mut far, &mut onward, numbers.clone());
        drain(&mut memory, &mut near);
        drain(&mut memory, &mut onward);
        for number in numbers {
            let sent = frame_bytes(number, len_of(number));
            assert!(sniff(&sniffer) == [&sent[..14], &sent[10..]].concat(), "frame {number}");
        }
    }
    let (received, sent) = (far.counts(), onward.counts());
    assert!(received.rx_chained > 300 && sent.tx_chained == received.rx_chained, "{received:?} {sent:?}");
    assert_eq!((received.rx_discarded, received.bad_entries, sent.bad_entries), (0, 0, 0));
    assert_eq!(onward.statistics().unwrap().tx_invalid_descriptors, 0);
    for queue in [near, far, onward] {
        queue.close(&mut memory.cache);
    }
    assert_eq!(memory.free_count(), CHUNKS as usize);
}

/// Receives `numbers` on one queue, puts four bytes in front of each in place, and sends them by another.
fn carry(memory: &mut Memory, from: &mut XskQueue, to: &mut XskQueue, numbers: std::ops::Range<u16>) {
    let mut expected = numbers;
    world::wait_until("all frames are received", || {
        let mut batch = FrameBatch::new();
        from.receive(&mut memory.cache, &mut batch);
        for mut frame in batch {
            let number = expected.next().expect("no more than were sent");
            assert!(whole(&frame) == frame_bytes(number, len_of(number)), "frame {number}: {frame:?}");
            let room = memory.umem.rx_room_bytes();
            assert_eq!(frame.head_len(), room.min(frame.len()), "the head is filled first");
            let header: [u8; 14] = frame.head()[..14].try_into().unwrap();
            frame.push_front(4).unwrap()[..14].copy_from_slice(&header);
            to.transmit(frame).unwrap();
        }
        to.flush();
        to.reap(&mut memory.cache);
        from.refill(&mut memory.cache);
        expected.is_empty()
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_queue_without_multi_buffer_gets_no_long_frame_and_takes_none() {
    enter(|world| {
        let mut memory = Memory::of_chunks(4096);
        let mut near = open(&mut memory, world, "a0");
        let mut far = memory.open(world, "a1", BindMode::Copy);
        assert_eq!(far.max_segments(), 1);
        let _redirect = redirect::attach(far.ifindex(), far.as_fd());
        for number in [0, 1, 0, 1] {
            let frame = long_frame(&mut memory, number);
            near.transmit(frame).unwrap();
        }
        drain(&mut memory, &mut near);
        let mut batch = FrameBatch::new();
        world::wait_until("the short frames are received", || {
            far.receive(&mut memory.cache, &mut batch);
            batch.len() == 2
        });
        assert!(batch.iter().all(|frame| frame.linear() == Some(&frame_bytes(1, 60)[..])));
        assert_eq!(far.statistics().unwrap().rx_dropped, 2);
        batch.into_iter().for_each(|frame| memory.cache.give_frame(frame));
        let long = long_frame(&mut memory, 0);
        let long = far.transmit(long).unwrap_err();
        memory.cache.give_frame(long);
        near.close(&mut memory.cache);
        far.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_queue_that_ends_with_long_frames_in_every_ring_gives_every_chunk_back() {
    enter(|world| {
        let mut memory = Memory::of_chunks(4096);
        let (mut near, far) = (open(&mut memory, world, "a0"), open(&mut memory, world, "a1"));
        let _redirect = redirect::attach(far.ifindex(), far.as_fd());
        for _ in 0..20 {
            let frame = long_frame(&mut memory, 0);
            near.transmit(frame).unwrap();
        }
        near.flush();
        for _ in 0..20 {
            let frame = long_frame(&mut memory, 0);
            near.transmit(frame).unwrap();
        }
        assert_eq!(near.close(&mut memory.cache).fill, RING);
        assert_eq!(far.close(&mut memory.cache).fill, RING);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn automatic_mode_falls_back_to_copy_for_long_frames_too() {
    enter(|world| {
        let mut memory = Memory::of_chunks(4096);
        let config = wide(BindMode::Auto);
        let queue = XskQueue::open(memory.umem, world.ifindex("a0"), 0, &config, &mut memory.cache).unwrap();
        let refusal = queue.zero_copy_refusal().expect("veth has no zero-copy mode");
        assert_eq!((refusal.operation(), refusal.errno()), (BindOperation::BindZeroCopy, libc::EOPNOTSUPP));
        assert!(refusal.hint().contains("lower the MTU"), "{refusal}");
        assert_eq!(queue.max_segments(), MAX_SEGMENTS);
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_driver_says_what_it_can_do() {
    World::enter(|world| {
        let able = xsk::nic::xdp_capabilities(world.ifindex("a0")).unwrap();
        assert!(able.native && able.rx_multi_buffer, "{able:?}");
        assert_eq!(able.zero_copy_segments, 0, "veth has no zero-copy mode");
        let none = xsk::nic::xdp_capabilities(9999).unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::ENODEV));
    });
}
