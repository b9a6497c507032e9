//! fill_in: the checksum that a frame asks for, made here.
//!
//! Place on the path: where a port has nobody behind it who does this, and at the far side of ports in memory, which stand in for a NIC.

use wire::checksum::{Pieces, Sum};
use xsk::{ChecksumRequest, Frame};

/// Fills in a checksum as a NIC does: the complement of the sum of everything from the request's start to the frame's end, the partial
/// sum at its place included. A frame whose head does not hold the place stays as it is.
pub fn fill_in(frame: &mut Frame, request: ChecksumRequest) {
    let (start, offset) = (usize::from(request.start), usize::from(request.offset));
    let Some(covered) = frame.head().get(start..) else { return };
    let head = Pieces::after(Sum::ZERO).with(covered);
    let checksum = frame.segments().skip(1).fold(head, Pieces::with).sum().finish_udp();
    if let Some(place) = frame.head_mut().get_mut(start + offset..).and_then(<[u8]>::first_chunk_mut) {
        *place = checksum.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use xsk::{ChunkCache, Umem, UmemConfig};

    use super::*;

    #[test]
    fn the_sum_is_over_everything_from_the_start_on_whatever_the_segments() {
        let config = UmemConfig { chunk_count: 4, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let mut cache = ChunkCache::new(Umem::map(&config).unwrap().1, 4);
        let mut part = |bytes: &[u8]| Frame::from_bytes(cache.take().unwrap(), 256, bytes).unwrap();
        let request = ChecksumRequest { start: 2, offset: 2 };
        // 0x1234 + 0x0005 + 0xFF00 + 0x0100, of which the second word is the partial sum: 0x11239, folded 0x123A.
        let mut linear = part(&[9, 9, 0x12, 0x34, 0x00, 0x05, 0xFF, 0x00, 0x01]);
        fill_in(&mut linear, request);
        assert_eq!(linear.head(), [9, 9, 0x12, 0x34, 0xED, 0xC5, 0xFF, 0x00, 0x01]);
        let mut chained = part(&[9, 9, 0x12, 0x34, 0x00, 0x05, 0xFF])
            .followed_by(part(&[0x00]).followed_by(part(&[0x01])).unwrap())
            .unwrap();
        fill_in(&mut chained, request);
        assert_eq!(chained.head(), [9, 9, 0x12, 0x34, 0xED, 0xC5, 0xFF]);
    }

    #[test]
    fn a_place_outside_of_the_head_is_left_alone() {
        let config = UmemConfig { chunk_count: 1, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let mut cache = ChunkCache::new(Umem::map(&config).unwrap().1, 1);
        let mut frame = Frame::from_bytes(cache.take().unwrap(), 256, &[7; 5]).unwrap();
        for (start, offset) in [(2, 2), (6, 0), (u16::MAX, u16::MAX)] {
            fill_in(&mut frame, ChecksumRequest { start, offset });
            assert_eq!(frame.head(), [7; 5]);
        }
    }
}
