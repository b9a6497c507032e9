//! Fragments of outer packets, cut by other means than the engine's.

use std::ops::Range;

use super::frames::reseal;

/// Where the IP payload of an untagged packet without options starts, and what a fragment header adds there.
fn layout(packet: &[u8]) -> (usize, usize) {
    if packet[12..14] == [0x08, 0x00] { (34, 0) } else { (54, 8) }
}

/// Length of a packet's IP payload.
pub fn payload_bytes(packet: &[u8]) -> usize {
    packet.len() - layout(packet).0
}

/// The fragment of a whole packet that has these bytes of its payload.
pub fn piece(packet: &[u8], identification: u32, range: Range<usize>, more: bool) -> Vec<u8> {
    let (header_bytes, _) = layout(packet);
    fragment(&packet[..header_bytes], identification, range.start, &packet[header_bytes..][range], more)
}

/// A fragment with these headers in front, which say nothing of fragments yet, and this payload at this offset.
pub fn fragment(headers: &[u8], identification: u32, offset: usize, payload: &[u8], more: bool) -> Vec<u8> {
    let mut bytes = headers.to_vec();
    let (header_bytes, added) = layout(headers);
    let units = u16::try_from(offset / 8).unwrap();
    let length = u16::try_from(header_bytes - 14 + added + payload.len()).unwrap();
    if added == 0 {
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
        bytes[18..20].copy_from_slice(&identification.to_be_bytes()[2..]);
        bytes[20..22].copy_from_slice(&(units | u16::from(more) << 13).to_be_bytes());
    } else {
        bytes[18..20].copy_from_slice(&(length - 40).to_be_bytes());
        let next_header = std::mem::replace(&mut bytes[20], 44);
        bytes.extend([next_header, 0]);
        bytes.extend((units << 3 | u16::from(more)).to_be_bytes());
        bytes.extend(identification.to_be_bytes());
    }
    bytes.extend(payload);
    if added == 0 {
        reseal(&mut bytes);
    }
    bytes
}

/// All fragments of a packet, each but the last with `unit` bytes of payload.
pub fn pieces(packet: &[u8], identification: u32, unit: usize) -> Vec<Vec<u8>> {
    let whole = payload_bytes(packet);
    let starts = (0..whole).step_by(unit);
    starts
        .map(|start| {
            let end = whole.min(start + unit);
            piece(packet, identification, start..end, end < whole)
        })
        .collect()
}
