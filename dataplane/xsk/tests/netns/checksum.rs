//! Checksums that a frame leaves to the kernel: in copy mode it fills them in, or the device does.

use std::os::fd::OwnedFd;

use xsk::{BindMode, ChecksumRequest, Frame, SocketConfig, TX_METADATA_BYTES, XskQueue};

use super::world::{self, World, sniff};
use super::{CHUNKS, Memory, config, drain};

/// Ethernet and IPv6 header. Units: bytes.
const UDP_START: u16 = 14 + 40;
/// Place of the checksum in a UDP header. Units: bytes.
const CHECKSUM_OFFSET: u16 = 6;
/// An address of a documentation network.
const ADDRESS: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// One's-complement sum of 16-bit words, the slow way.
fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The pseudo-header of a UDP packet of `len` bytes.
fn pseudo_header(len: u16) -> Vec<u8> {
    [&ADDRESS[..], &ADDRESS, &[0, 0], &len.to_be_bytes(), &[0, 0, 0, 17]].concat()
}

/// A UDP packet over IPv6 in a frame, with nothing but the sum of the pseudo-header for a checksum.
fn unfinished(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut bytes = vec![0xff; 6];
    bytes.extend([0x02, 0, 0, 0, 0, 0xaa, 0x86, 0xdd, 0x60, 0, 0, 0]);
    bytes.extend(len.to_be_bytes());
    bytes.extend([17, 64]);
    bytes.extend([ADDRESS, ADDRESS].concat());
    bytes.extend([0x06, 0xa5, 0x06, 0xa5]);
    bytes.extend(len.to_be_bytes());
    bytes.extend(sum(&pseudo_header(len)).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Whether the UDP checksum is right, and there.
fn is_right(frame: &[u8]) -> bool {
    let udp = &frame[usize::from(UDP_START)..];
    let covered = [pseudo_header(udp.len() as u16), udp.to_vec()].concat();
    udp[6..8] != [0, 0] && sum(&covered) == 0xffff
}

/// A payload of `len` bytes, another for each `seed`.
fn payload(seed: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|place| (place.wrapping_mul(seed) >> 3) as u8).collect()
}

/// A frame of as many chunks as there are parts.
fn frame(memory: &mut Memory, parts: &[&[u8]]) -> Frame {
    let mut rest: Option<Frame> = None;
    for part in parts.iter().rev() {
        let head = Frame::from_bytes(memory.cache.take().unwrap(), 200, part).unwrap();
        rest = Some(match rest {
            None => head,
            Some(rest) => head.followed_by(rest).unwrap(),
        });
    }
    rest.unwrap()
}

/// A queue on `a0`, whose device leaves checksums to the kernel, and a socket that hears IPv6 on the other end.
fn open(world: &World, memory: &mut Memory) -> (XskQueue, OwnedFd) {
    world.ethtool("-K a0 tx off");
    for interface in ["a0", "a1"] {
        world.ip(&format!("link set {interface} mtu 9000"));
    }
    let config = SocketConfig { multi_buffer: true, ..config(BindMode::Copy) };
    let queue = XskQueue::open(memory.umem, world.ifindex("a0"), 0, &config, &mut memory.cache).unwrap();
    assert!(queue.has_tx_metadata(), "kernels from 6.11 on have it");
    (queue, world::sniffer_of(0x86dd))
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_checksum_that_is_asked_for_is_right_at_the_other_end() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let (mut queue, sniffer) = open(world, &mut memory);
        let request = ChecksumRequest { start: UDP_START, offset: CHECKSUM_OFFSET };
        for seed in 1..100 {
            let bytes = unfinished(&payload(seed * 77, 1 + seed as usize * 13));
            assert!(!is_right(&bytes));
            let asking = frame(&mut memory, &[&bytes]);
            queue.transmit_requesting(asking, request).unwrap();
            let plain = frame(&mut memory, &[&bytes]);
            queue.transmit(plain).unwrap();
            queue.flush();
            let (filled_in, as_it_was) = (sniff(&sniffer), sniff(&sniffer));
            assert!(is_right(&filled_in), "{filled_in:02x?}");
            assert_eq!((&filled_in[..60], &filled_in[62..]), (&bytes[..60], &bytes[62..]), "all else stays");
            assert_eq!(as_it_was, bytes, "nobody asked");
            queue.reap(&mut memory.cache);
        }
        drain(&mut memory, &mut queue);
        assert_eq!(queue.statistics().unwrap().tx_invalid_descriptors, 0);
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_checksum_of_a_frame_in_several_chunks_is_over_all_of_them() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let (mut queue, sniffer) = open(world, &mut memory);
        let request = ChecksumRequest { start: UDP_START, offset: CHECKSUM_OFFSET };
        for (seed, lens) in
            [(3, [1700, 1700, 1700]), (5, [62, 1, 1]), (7, [63, 1701, 5]), (9, [700, 1, 1600])]
        {
            let bytes = unfinished(&payload(seed, lens.iter().sum::<usize>() - 62));
            let (head, rest) = bytes.split_at(lens[0]);
            let (middle, tail) = rest.split_at(lens[1]);
            let asking = frame(&mut memory, &[head, middle, tail]);
            queue.transmit_requesting(asking, request).unwrap();
            queue.flush();
            let filled_in = sniff(&sniffer);
            assert!(is_right(&filled_in), "{lens:?}");
            assert_eq!((&filled_in[..60], &filled_in[62..]), (&bytes[..60], &bytes[62..]));
        }
        drain(&mut memory, &mut queue);
        assert_eq!(queue.statistics().unwrap().tx_invalid_descriptors, 0);
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_first_byte_that_may_be_sent_is_the_one_behind_the_metadata() {
    World::enter(|world| {
        let mut memory = Memory::map();
        let (mut queue, sniffer) = open(world, &mut memory);
        let bytes = unfinished(b"first");
        let early = Frame::from_bytes(memory.cache.take().unwrap(), TX_METADATA_BYTES, &bytes).unwrap();
        queue.transmit(early).unwrap();
        let chunk = memory.cache.take().unwrap();
        let last = chunk.room_bytes() - bytes.len();
        queue.transmit(Frame::from_bytes(chunk, last, &bytes).unwrap()).unwrap();
        queue.flush();
        assert_eq!((sniff(&sniffer), sniff(&sniffer)), (bytes.clone(), bytes));
        drain(&mut memory, &mut queue);
        assert_eq!(queue.statistics().unwrap().tx_invalid_descriptors, 0, "neither was skipped");
        queue.close(&mut memory.cache);
        assert_eq!(memory.free_count(), CHUNKS as usize);
    });
}
