//! TX metadata: what a frame asks of whoever sends it, in the bytes in front of it.
//!
//! ```text
//!             0        8              10             12           24
//!  | headroom | flags  | checksum     | checksum     | not used   | frame ...
//!  |          | (u64)  | start (u16)  | offset (u16) |            |
//! ```
//! Place on the path: last, between a frame and its TX ring entry. The memory is registered with room for it where the kernel takes
//! that, and then the kernel wants the room in front of every frame and every segment, asked of or not. Byte order: the machine's.
//! Not in it: who can do what is asked for.
//!
//! Source: `struct xsk_tx_metadata`, linux/if_xdp.h, v6.14; `xp_aligned_validate_desc`, net/xdp/xsk_queue.h, v6.8.

use crate::frame::Frame;

/// Room in front of a frame. The structure of kernels before 6.14 is shorter; they step over the rest. Units: bytes.
pub const TX_METADATA_BYTES: usize = 24;

/// The same, as the kernel is told it: a multiple of 8 below 256. Source: `xdp_umem_reg`, net/xdp/xdp_umem.c, v6.8.
pub(crate) const TX_METADATA_LEN: u32 = 24;
const _: () = assert!(TX_METADATA_LEN as usize == TX_METADATA_BYTES && TX_METADATA_LEN.is_multiple_of(8));

/// Source: `XDP_TXMD_FLAGS_CHECKSUM`, linux/if_xdp.h, v6.8.
const FILL_IN_CHECKSUM: u64 = 1 << 1;

/// Asks that a checksum is filled in: the complement of the sum of all from `start` to the frame's end. At its place the sum of what
/// the frame does not hold stands already, which for UDP is that of the pseudo-header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChecksumRequest {
    /// Where the sum begins, from the frame's first byte. Units: bytes.
    pub start: u16,
    /// Where the checksum is, from `start`. Units: bytes.
    pub offset: u16,
}

impl ChecksumRequest {
    /// Writes the request in front of a frame. `None`, and nothing is written, when there is no room or the checksum is not in the head:
    /// the kernel would look at such a frame again and again, and at none behind it.
    #[inline]
    pub(crate) fn write(self, frame: &mut Frame) -> Option<()> {
        let end = usize::from(self.start) + usize::from(self.offset) + size_of::<u16>();
        if end > frame.head_len() {
            return None;
        }
        let room = frame.before_mut::<TX_METADATA_BYTES>()?;
        let (flags, request) = room.split_at_mut(size_of::<u64>());
        flags.copy_from_slice(&FILL_IN_CHECKSUM.to_ne_bytes());
        request[..2].copy_from_slice(&self.start.to_ne_bytes());
        request[2..4].copy_from_slice(&self.offset.to_ne_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Umem, UmemConfig};

    fn frame(start: usize, len: usize) -> Frame {
        let config = UmemConfig { chunk_count: 1, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        let chunk = crate::ChunkCache::new(pool, 1).take().unwrap();
        Frame::from_bytes(chunk, start, &vec![0xEE; len]).unwrap()
    }

    #[test]
    fn a_request_stands_directly_in_front_of_the_frame() {
        let mut frame = frame(256, 60);
        let request = ChecksumRequest { start: 0x0136, offset: 6 };
        assert_eq!(request.write(&mut frame), None, "behind the frame");
        ChecksumRequest { start: 52, offset: 6 }.write(&mut frame).unwrap();
        assert_eq!(frame.head(), [0xEE; 60]);
        let block = frame.before_mut::<TX_METADATA_BYTES>().unwrap();
        assert_eq!(block[..8], 2u64.to_ne_bytes());
        assert_eq!([&block[8..10], &block[10..12]], [52u16.to_ne_bytes(), 6u16.to_ne_bytes()]);
    }

    #[test]
    fn a_checksum_outside_of_the_frame_or_without_room_is_not_asked_for() {
        let at = |start| ChecksumRequest { start, offset: 6 };
        assert_eq!(at(53).write(&mut frame(256, 60)), None, "its last byte would be the frame's 61st");
        assert_eq!(at(u16::MAX).write(&mut frame(256, 60)), None);
        assert_eq!(at(0).write(&mut frame(TX_METADATA_BYTES - 1, 60)), None);
        assert_eq!(at(0).write(&mut frame(TX_METADATA_BYTES, 60)), Some(()));
    }
}
