//! IPv6 fragment header: where it stands in a packet, and how it is written.
//!
//! ```text
//! | IPv6 | hop-by-hop, routing, options | fragment | part of the rest of the packet |
//!  \_____ in front of every fragment ___/          \_ offset counts from here: 0 in the first fragment
//! ```
//! Source: RFC 8200 §4.5.

use super::{
    ExtensionStart, FragmentHeader, Ipv6Error, Ipv6Header, MAX_EXTENSIONS, NEXT_DESTINATION_OPTIONS,
    NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING,
};
use zerocopy::FromBytes;
use zerocopy::byteorder::network_endian::{U16, U32};

/// Length of a fragment header. Units: bytes.
pub const FRAGMENT_HEADER_BYTES: usize = size_of::<FragmentHeader>();

/// The outermost fragment header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The header.
    pub header: &'a FragmentHeader,
    /// Where it stands, from the IPv6 header's first byte. Units: bytes.
    pub offset: usize,
    /// Where the byte stands that says that a fragment header follows, from the IPv6 header's first byte. Units: bytes.
    pub next_header_offset: usize,
    /// What follows it.
    pub payload: &'a [u8],
}

/// Finds the outermost fragment header in the payload of [`split`](super::split); `None`: the packet has none.
///
/// # Errors
///
/// [`Ipv6Error::ExtensionTruncated`], [`Ipv6Error::TooManyExtensions`].
#[inline]
pub fn find_fragment<'a>(header: &Ipv6Header, payload: &'a [u8]) -> Result<Option<Fragment<'a>>, Ipv6Error> {
    let (mut next_header, mut rest) = (header.next_header, payload);
    let mut next_header_offset = core::mem::offset_of!(Ipv6Header, next_header);
    for _ in 0..MAX_EXTENSIONS {
        let offset = size_of::<Ipv6Header>() + (payload.len() - rest.len());
        match next_header {
            NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS => {
                let (start, _) =
                    ExtensionStart::ref_from_prefix(rest).map_err(|_| Ipv6Error::ExtensionTruncated)?;
                next_header = start.next_header;
                next_header_offset = offset;
                rest = rest.get((usize::from(start.units) + 1) * 8..).ok_or(Ipv6Error::ExtensionTruncated)?;
            }
            NEXT_FRAGMENT => {
                let (header, payload) =
                    FragmentHeader::ref_from_prefix(rest).map_err(|_| Ipv6Error::ExtensionTruncated)?;
                return Ok(Some(Fragment { header, offset, next_header_offset, payload }));
            }
            _ => return Ok(None),
        }
    }
    match next_header {
        NEXT_HOP_BY_HOP | NEXT_ROUTING | NEXT_DESTINATION_OPTIONS | NEXT_FRAGMENT => {
            Err(Ipv6Error::TooManyExtensions)
        }
        _ => Ok(None),
    }
}

impl FragmentHeader {
    /// The header of a part that starts `offset_bytes` into the rest of the packet, which `next_header` begins.
    /// Range: `offset_bytes` a multiple of 8 up to 65528; lower bits are cut off.
    #[must_use]
    #[inline]
    pub const fn new(next_header: u8, offset_bytes: u16, more: bool, identification: u32) -> Self {
        Self {
            next_header,
            reserved: 0,
            offset_flags: U16::new((offset_bytes & 0xFFF8) | more as u16),
            identification: U32::new(identification),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv6 header in front of `payload`, which `next_header` begins.
    fn find(next_header: u8, payload: &[u8]) -> Result<Option<(usize, usize, usize)>, Ipv6Error> {
        let header = Ipv6Header::new([1; 16], [2; 16], next_header, payload.len()).unwrap();
        let found = find_fragment(&header, payload)?;
        Ok(found.map(|found| (found.offset, found.next_header_offset, found.payload.len())))
    }

    #[test]
    fn the_header_is_found_behind_extensions_together_with_the_byte_that_names_it() {
        let fragment = [17, 0, 0x05, 0xA9, 0, 0, 0, 7]; // UDP, offset 1448, more, identification 7
        assert_eq!(find(44, &[&fragment[..], &[9; 3]].concat()), Ok(Some((40, 6, 3))));
        let options = [44, 0, 1, 4, 0, 0, 0, 0]; // destination options: padding
        assert_eq!(find(60, &[&options[..], &fragment].concat()), Ok(Some((48, 40, 0))));
        let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(find(0, &[&hop_by_hop[..], &options, &fragment].concat()), Ok(Some((56, 48, 0))));
    }

    #[test]
    fn the_outermost_of_two_is_found() {
        let outer = [44, 0, 0, 1, 0, 0, 0, 1];
        let inner = [17, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(find(44, &[outer, inner].concat()), Ok(Some((40, 6, 8))));
    }

    #[test]
    fn packets_without_one_and_cut_ones_are_told_apart() {
        assert_eq!(find(17, &[1; 20]), Ok(None));
        assert_eq!(find(60, &[17, 0, 1, 4, 0, 0, 0, 0]), Ok(None));
        assert_eq!(find(44, &[17; 7]), Err(Ipv6Error::ExtensionTruncated));
        assert_eq!(find(60, &[17, 1, 1, 4, 0, 0, 0, 0]), Err(Ipv6Error::ExtensionTruncated));
        let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(MAX_EXTENSIONS);
        assert_eq!(find(60, &endless), Err(Ipv6Error::TooManyExtensions));
    }

    #[test]
    fn a_written_header_has_these_bytes_and_reads_the_same() {
        use zerocopy::IntoBytes;
        let header = FragmentHeader::new(115, 1448, true, 0x0102_0304);
        assert_eq!(header.as_bytes(), [115, 0, 0x05, 0xA9, 1, 2, 3, 4]);
        assert_eq!((header.offset_bytes(), header.more_fragments()), (1448, true));
        let last = FragmentHeader::new(17, 0xFFF8, false, 0);
        assert_eq!((last.offset_bytes(), last.more_fragments()), (65528, false));
    }
}
