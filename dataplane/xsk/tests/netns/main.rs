//! Privileged tests: queues on real interfaces, in a network namespace that each test makes anew, one test after the other.
//!
//! ```text
//!   namespace sw-xsk-one
//!   +---------------------------------------------+
//!   |  a0 ===== a1        b0 ===== b1              |   veth pairs, one queue each, no addresses
//!   |  ^ TX     ^ RX: XDP redirect or AF_PACKET     |
//!   +---------------------------------------------+
//! ```
//!
//! Run with `cargo test -p spanwire-xsk --test netns -- --ignored`, as root.

#![allow(clippy::cast_possible_truncation, reason = "frame numbers of tests")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod checksum;
mod denied;
mod jumbo;
mod link;
mod redirect;
mod world;

use std::os::fd::AsFd;
use std::sync::Arc;

use world::{World, sniff};
use xsk::{
    BindMode, BindOperation, BusyPoll, ChunkCache, ChunkPool, Frame, FrameBatch, SocketConfig, Umem,
    UmemConfig, XskQueue,
};

const CHUNKS: u32 = 1024;
const RING: u32 = 256;

/// Memory for one test.
struct Memory {
    umem: &'static Umem,
    pool: Arc<ChunkPool>,
    cache: ChunkCache,
}

impl Memory {
    fn map() -> Self {
        Self::of_chunks(2048)
    }

    fn of_chunks(chunk_bytes: u32) -> Self {
        let config = UmemConfig { chunk_count: CHUNKS, chunk_bytes, headroom_bytes: 0, huge_pages: false };
        let (umem, pool) = Umem::map(&config).unwrap();
        let cache = ChunkCache::new(Arc::clone(&pool), 512);
        Self { umem, pool, cache }
    }

    fn open(&mut self, world: &World, interface: &str, mode: BindMode) -> XskQueue {
        let queue = XskQueue::open(self.umem, world.ifindex(interface), 0, &config(mode), &mut self.cache);
        queue.unwrap_or_else(|error| panic!("{error}: {}", error.errno()))
    }

    /// Chunks that no queue has.
    fn free_count(&self) -> usize {
        self.pool.free_count() + self.cache.len()
    }

    /// Frame number `number`: broadcast, an experimental EtherType, the number, a pattern.
    fn frame(&mut self, number: u16, len: usize) -> Frame {
        Frame::from_bytes(self.cache.take().unwrap(), 256, &frame_bytes(number, len)).unwrap()
    }
}

fn config(mode: BindMode) -> SocketConfig {
    let (rx_ring, tx_ring, fill_ring, completion_ring) = (RING, RING, RING, RING);
    SocketConfig { rx_ring, tx_ring, fill_ring, completion_ring, mode, ..SocketConfig::default() }
}

/// The bytes of frame number `number`.
fn frame_bytes(number: u16, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend([0x02, 0, 0, 0, 0, 0xaa]);
    bytes.extend([0x88, 0xb5]);
    bytes.extend(number.to_be_bytes());
    bytes.extend((16..len).map(|place| place as u8));
    bytes
}

/// Sends all of `numbers`, 64 to a flush, as a worker would.
fn send(memory: &mut Memory, queue: &mut XskQueue, numbers: std::ops::Range<u16>) {
    for (place, number) in numbers.enumerate() {
        let frame = memory.frame(number, 60 + usize::from(number) % 1000);
        queue.transmit(frame).unwrap();
        if place % 64 == 63 {
            queue.flush();
            queue.reap(&mut memory.cache);
        }
    }
    queue.flush();
    queue.reap(&mut memory.cache);
}

/// Reaps until the kernel has completed everything, for two seconds at most.
fn drain(memory: &mut Memory, queue: &mut XskQueue) {
    world::wait_until("all transmissions complete", || {
        queue.flush();
        queue.reap(&mut memory.cache);
        queue.held().tx == 0
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn frames_leave_as_written_and_every_chunk_comes_back() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let mut queue = memory.open(world, "a0", BindMode::Copy);
        assert_eq!(queue.held().fill, RING);
        let sniffer = world::sniffer();
        send(&mut memory, &mut queue, 0..200);
        drain(&mut memory, &mut queue);
        for number in 0..200 {
            assert_eq!(sniff(&sniffer), frame_bytes(number, 60 + usize::from(number)), "frame {number}");
        }
        let counts = queue.counts();
        assert!(counts.tx_kicks >= 4, "one flush per 64 frames: {counts:?}");
        assert_eq!((counts.tx_kick_errors, counts.bad_entries), (0, 0));
        assert_eq!(queue.statistics().unwrap().tx_invalid_descriptors, 0);
        let held = queue.close(&mut memory.cache);
        assert_eq!((held.fill, held.tx), (RING, 0));
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn one_flush_moves_a_whole_ring_although_one_call_takes_a_part() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let mut queue = memory.open(world, "a0", BindMode::Copy);
        for number in 0..RING as u16 {
            let frame = memory.frame(number, 60);
            queue.transmit(frame).unwrap();
        }
        queue.flush();
        assert_eq!(queue.counts().tx_kick_errors, 0);
        world::wait_until("the whole ring is completed without another flush", || {
            queue.reap(&mut memory.cache);
            queue.held().tx == 0
        });
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_link_that_is_down_is_seldom_called_and_sends_when_it_comes_up() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let mut queue = memory.open(world, "a0", BindMode::Copy);
        let sniffer = world::sniffer();
        world.ip("link set a0 down");
        send(&mut memory, &mut queue, 0..100);
        for _ in 0..1000 {
            queue.flush();
            queue.reap(&mut memory.cache);
        }
        // With pauses of 1, 2, 4 to 128 flushes the ninth call is at flush 264, then one in 257: at most 12 in 1002.
        let counts = queue.counts();
        assert!(counts.tx_kicks <= 12, "{counts:?}");
        assert_eq!((counts.tx_kick_errors, counts.tx_lost), (counts.tx_kicks, 0));
        assert_eq!(queue.held().tx, 100);
        world.ip("link set a0 up");
        drain(&mut memory, &mut queue);
        for number in 0..100 {
            assert_eq!(sniff(&sniffer), frame_bytes(number, 60 + usize::from(number)), "frame {number}");
        }
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn frames_to_a_link_without_carrier_are_counted_as_lost_and_their_chunks_come_back() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let mut queue = memory.open(world, "a0", BindMode::Copy);
        world.ip("link set a1 down");
        send(&mut memory, &mut queue, 0..6);
        drain(&mut memory, &mut queue);
        let counts = queue.counts();
        assert_eq!((counts.tx_lost, counts.tx_kick_errors), (6, 0), "{counts:?}");
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_frame_passes_between_two_devices_that_share_one_memory() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let mut near = memory.open(world, "a0", BindMode::Copy);
        let mut far = memory.open(world, "a1", BindMode::Copy);
        let mut onward = memory.open(world, "b0", BindMode::Copy);
        let _redirect = redirect::attach(far.ifindex(), far.as_fd());
        let sniffer = world::sniffer();
        for round in 0..10u16 {
            send(&mut memory, &mut near, round * 100..round * 100 + 100);
            forward(&mut memory, &mut far, &mut onward, round * 100..round * 100 + 100);
            drain(&mut memory, &mut near);
        }
        drain(&mut memory, &mut onward);
        for number in 0..1000u16 {
            let sent = frame_bytes(number, 60 + usize::from(number));
            assert_eq!(sniff(&sniffer), [&sent[..14], &sent[10..]].concat(), "frame {number}");
        }
        assert_eq!(far.counts().bad_entries, 0);
        for queue in [near, far, onward] {
            queue.close(&mut memory.cache);
        }
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

/// Receives `numbers` on one queue, puts four bytes in front of each in place, and sends them by another.
fn forward(memory: &mut Memory, from: &mut XskQueue, to: &mut XskQueue, numbers: std::ops::Range<u16>) {
    let mut expected = numbers.clone();
    world::wait_until("all frames are received", || {
        let mut batch = FrameBatch::new();
        from.receive(&mut memory.cache, &mut batch);
        for mut frame in batch {
            let number = expected.next().expect("no more than were sent");
            assert_eq!(frame.head(), frame_bytes(number, 60 + usize::from(number) % 1000));
            assert_eq!(frame.headroom_bytes(), memory.umem.rx_start_bytes());
            // A second header in front of the first one's tail, so that the EtherType stands where the sniffer looks for it.
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
fn automatic_mode_falls_back_to_copy_and_says_why() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let queue = memory.open(world, "a0", BindMode::Auto);
        assert!(!queue.is_zero_copy());
        let refusal = queue.zero_copy_refusal().expect("veth has no zero-copy mode");
        assert_eq!((refusal.operation(), refusal.errno()), (BindOperation::BindZeroCopy, libc::EOPNOTSUPP));
        drop(queue);
        assert_eq!(memory.free_count(), CHUNKS as usize, "dropping a queue gives its chunks back, too");

        let strict = config(BindMode::ZeroCopy);
        let error =
            XskQueue::open(memory.umem, world.ifindex("a0"), 0, &strict, &mut memory.cache).unwrap_err();
        assert!(error.hint().contains("no zero-copy mode"), "{error}");
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_cannot_be_bound_is_refused_by_its_own_reason_and_costs_no_chunk() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let first = memory.open(world, "a0", BindMode::Copy);
        let free = memory.free_count();
        for (interface, queue, errno, hint) in [
            (world.ifindex("a0"), 0, libc::EBUSY, "already has an AF_XDP socket"),
            (world.ifindex("a0"), 9, libc::EINVAL, "the queue does not exist"),
            (9999, 0, libc::ENODEV, "the interface is gone"),
        ] {
            let config = config(BindMode::Copy);
            let error =
                XskQueue::open(memory.umem, interface, queue, &config, &mut memory.cache).unwrap_err();
            assert_eq!(
                (error.errno(), error.ifindex(), error.queue_id()),
                (errno, interface, queue),
                "{error}"
            );
            assert!(error.to_string().contains(hint), "{error}");
            assert_eq!(memory.free_count(), free);
        }
        first.close(&mut memory.cache);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_open_that_fails_after_binding_gives_the_chunks_back_to_the_cache() {
    World::enter(|world| {
        let mut memory = Memory::map();
        // A cache that never gives to the pool: what it lacks afterwards went there by another way.
        memory.cache = ChunkCache::new(Arc::clone(&memory.pool), CHUNKS as usize);
        let (ifindex, config) = (world.ifindex("a0"), config(BindMode::Copy));
        denied::deny_xdp_options();
        let error = XskQueue::open(memory.umem, ifindex, 0, &config, &mut memory.cache).unwrap_err();
        assert_eq!((error.operation(), error.errno()), (BindOperation::ReadOptions, libc::EACCES));
        assert_eq!(memory.cache.len(), RING as usize, "all that were taken for the fill ring");
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_closed_queue_can_be_opened_again_at_once() {
    World::enter(|world| {
        let mut memory = Memory::map();
        for _ in 0..5 {
            let queue = memory.open(world, "a0", BindMode::Copy);
            queue.close(&mut memory.cache);
            assert_eq!(memory.free_count(), CHUNKS as usize);
        }
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_port_that_vanishes_in_the_midst_of_traffic_loses_no_chunk() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let mut near = memory.open(world, "a0", BindMode::Copy);
        let mut far = memory.open(world, "a1", BindMode::Copy);
        let other = memory.open(world, "b0", BindMode::Copy);
        let _redirect = redirect::attach(far.ifindex(), far.as_fd());
        send(&mut memory, &mut near, 0..100);
        world.ip("link del a0");
        for number in 0..10 {
            let frame = memory.frame(number, 60);
            near.transmit(frame).unwrap();
        }
        near.flush();
        assert!(near.counts().tx_kick_errors > 0);
        near.refill(&mut memory.cache);
        assert!(near.close(&mut memory.cache).total() >= RING + 10);
        assert!(far.receive(&mut memory.cache, &mut FrameBatch::new()) <= 64 && far.held().fill > 0);
        drop(other);
        let again = memory.open(world, "b1", BindMode::Copy);
        again.close(&mut memory.cache);
        let in_batch = RING - far.held().fill;
        far.close(&mut memory.cache);
        assert_eq!(memory.free_count() + in_batch as usize, CHUNKS as usize);
        assert_eq!(memory.pool.withheld_count(), 0);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_registration_is_shared_on_when_its_first_owner_is_gone() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let first = memory.open(world, "a0", BindMode::Copy);
        let second = memory.open(world, "b0", BindMode::Copy);
        first.close(&mut memory.cache);
        world.ip("link del b0");
        // The only live socket is one whose interface is gone: it cannot be shared with, so the memory is registered anew.
        let third = memory.open(world, "a1", BindMode::Copy);
        second.close(&mut memory.cache);
        let fourth = memory.open(world, "a0", BindMode::Copy);
        third.close(&mut memory.cache);
        fourth.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn chunks_of_a_socket_that_somebody_keeps_open_are_withheld() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let queue = memory.open(world, "a0", BindMode::Copy);
        let duplicate = queue.as_fd().try_clone_to_owned().unwrap();
        assert_eq!(queue.close(&mut memory.cache).total(), 0);
        assert_eq!(memory.pool.withheld_count(), RING as usize);
        assert_eq!(memory.free_count() + RING as usize, CHUNKS as usize);
        drop(duplicate);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_queue_over_which_nothing_comes_is_quiet_unless_it_polls_its_driver() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let poll = BusyPoll { timeout_us: 20, budget_frames: 8 };
        for (interface, busy_poll) in [("a0", None), ("b0", Some(poll))] {
            let config = SocketConfig { busy_poll, ..config(BindMode::Copy) };
            let ifindex = world.ifindex(interface);
            let mut queue =
                XskQueue::open(memory.umem, ifindex, 0, &config, &mut memory.cache).expect("a queue");
            assert_eq!(queue.is_quiet(), busy_poll.is_none(), "{interface}");
            let before = queue.counts().rx_kicks;
            queue.refill(&mut memory.cache);
            assert_eq!(queue.counts().rx_kicks - before, u64::from(busy_poll.is_some()), "{interface}");
            queue.close(&mut memory.cache);
        }
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}
