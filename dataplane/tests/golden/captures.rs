//! The captures of one case, read from their files and told apart by direction.

use std::{fs, path::PathBuf};

/// Which gateway sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

pub const SIDES: [Side; 2] = [Side::A, Side::B];

/// What one gateway sent: the frames it was given, and the packets that carried them, in order.
pub struct Sent {
    pub inner: Vec<Vec<u8>>,
    pub outer: Vec<Vec<u8>>,
}

/// The folder of all captures.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/captures"))
}

/// What `side` sent in a case. Last byte of its source addresses: 0x0A for a, 0x0B for b.
pub fn sent(case: &str, side: Side) -> Sent {
    let last = if side == Side::A { 0x0A } else { 0x0B };
    let of_side = |kind: &str| {
        let mut packets = read(&folder().join(format!("{case}.{kind}.pcap")));
        packets.retain(|packet| packet[11] == last);
        packets
    };
    Sent { inner: of_side("lan"), outer: of_side("underlay") }
}

/// Whole packets of a classic pcap file of Ethernet frames: microseconds, little-endian, as the recorder's tcpdump writes it.
fn read(path: &PathBuf) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (head, mut rest) = bytes.split_at(24);
    assert_eq!(head[..4], [0xD4, 0xC3, 0xB2, 0xA1], "{}", path.display());
    assert_eq!(head[20..24], [1, 0, 0, 0], "{}", path.display());
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (header, after) = rest.split_at(16);
        let captured = word(&header[8..12]);
        assert_eq!(captured, word(&header[12..16]), "{}: a packet was cut short", path.display());
        let (packet, after) = after.split_at(captured);
        packets.push(packet.to_vec());
        rest = after;
    }
    packets
}
