//! A frame's headers, readable only within their bounds.
//!
//! Place on the path: between the frame's memory and [`steer`](crate::steer). On the host the memory is a slice; in the
//! kernel it is the frame's linear part, and the program brings its own implementation.

use zerocopy::{FromBytes, Unaligned};

/// The highest offset that a read may start at, so that every offset is bounded for the kernel's verifier.
///
/// Deeper headers count as missing. It leaves room for two VLAN tags, an IPv6 header and several hundred bytes of
/// extension headers. Units: bytes.
pub const OFFSET_MAX: usize = 511;

/// Read access to the start of a frame.
pub trait PacketView {
    /// The header that starts at `offset`, if the frame holds all of it and `offset` is at most [`OFFSET_MAX`].
    fn read<Header: FromBytes + Unaligned>(&self, offset: usize) -> Option<Header>;
}

/// A frame in a slice, for the host.
#[derive(Clone, Copy, Debug)]
pub struct SliceView<'a>(
    /// The frame, from its destination address on.
    pub &'a [u8],
);

impl PacketView for SliceView<'_> {
    fn read<Header: FromBytes + Unaligned>(&self, offset: usize) -> Option<Header> {
        if offset > OFFSET_MAX {
            return None;
        }
        Header::read_from_prefix(self.0.get(offset..)?).ok().map(|(header, _)| header)
    }
}

#[cfg(test)]
mod tests {
    use super::{PacketView, SliceView};
    use zerocopy::network_endian::U16;

    #[test]
    fn a_read_that_ends_with_the_frame_succeeds_and_one_byte_more_fails() {
        let view = SliceView(&[1, 2, 3, 4]);
        assert_eq!(view.read::<U16>(2), Some(U16::new(0x0304)));
        assert_eq!(view.read::<U16>(3), None);
        assert_eq!(view.read::<u8>(4), None);
    }

    #[test]
    fn a_read_beyond_the_highest_offset_fails_though_bytes_are_there() {
        let frame = [7; 600];
        assert_eq!(SliceView(&frame).read::<[u8; 4]>(511), Some([7; 4]));
        assert_eq!(SliceView(&frame).read::<[u8; 4]>(512), None);
        assert_eq!(SliceView(&frame).read::<[u8; 4]>(usize::MAX), None);
    }
}
