//! TCP header and options, as far as the maximum segment size goes.
//!
//! Place on the path: inner packets of a session that clamps the MSS, SYN segments only.
//! Not in it: sequence numbers, state, any other option.

use crate::checksum;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "Synchronize" in [`TcpHeader::flags`]: the segment opens a connection, and only such a one carries an MSS.
pub const FLAG_SYN: u8 = 0x02;

/// Option kind that ends the list.
const END_OF_OPTIONS: u8 = 0;
/// Option kind without length and value.
const NO_OPERATION: u8 = 1;
/// Option kind of the maximum segment size.
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
/// Length of the MSS option: kind, length, value. Units: bytes.
const MSS_OPTION_BYTES: u8 = 4;

/// TCP header without options.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |          source port          |       destination port        |
/// +-------------------------------+-------------------------------+
/// |                        sequence number                        |
/// +---------------------------------------------------------------+
/// |                     acknowledgement number                    |
/// +-------+-------+---------------+-------------------------------+
/// |offset |   0   |CWR ... SYN FIN|            window             |
/// +-------+-------+---------------+-------------------------------+
/// |           checksum            |         urgent pointer        |
/// +-------------------------------+-------------------------------+
/// |                    options, 0 to 40 bytes                     |
/// ```
///
/// Byte order: network. Source: RFC 9293 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TcpHeader {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    /// Sequence number.
    pub sequence: U32,
    /// Acknowledgement number.
    pub acknowledgement: U32,
    /// Header length in 32-bit words (5 to 15) in the upper half.
    pub offset: u8,
    /// CWR, ECE, URG, ACK, PSH, RST, SYN, FIN.
    pub flags: u8,
    /// Receive window.
    pub window: U16,
    /// Checksum over pseudo-header, header, options and payload.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

/// Splits an IP payload into header, options and what follows them.
///
/// # Errors
///
/// [`TcpError::Truncated`] when the bytes end before the header or the options do, [`TcpError::HeaderLength`] when
/// the header states fewer than 20 bytes.
#[inline]
pub fn split(segment: &[u8]) -> Result<(&TcpHeader, &[u8], &[u8]), TcpError> {
    let (header, rest) = TcpHeader::ref_from_prefix(segment).map_err(|_| TcpError::Truncated)?;
    let options_bytes =
        header.header_bytes().checked_sub(size_of::<TcpHeader>()).ok_or(TcpError::HeaderLength)?;
    let (options, payload) = rest.split_at_checked(options_bytes).ok_or(TcpError::Truncated)?;
    Ok((header, options, payload))
}

/// Lowers the maximum segment size that a SYN announces to `largest`, and mends the checksum. Returns whether
/// anything was changed.
///
/// A segment without the option, with a smaller value, without SYN, or that is cut short stays as it is: without the
/// option the receiver assumes 536 over IPv4 and 1220 over IPv6 (RFC 9293 §3.7.1), which every path takes. The option
/// is lowered wherever it stands in the list; when it stands more than once, every time, because receivers differ in
/// which one they believe.
///
/// Source: RFC 9293 §3.2, RFC 1624.
pub fn clamp_mss(segment: &mut [u8], largest: u16) -> bool {
    let Ok((header, options, _)) = split(segment) else { return false };
    if header.flags & FLAG_SYN == 0 {
        return false;
    }
    let mut checksum = header.checksum.get();
    let mut left = options.len();
    let end = header.header_bytes();
    let mut is_changed = false;
    // Ends: every round takes at least one byte off what is left, and 40 at most are there.
    while let Some((place, after)) = next_mss(segment, end, left) {
        left = after;
        let Some(value) = segment.get_mut(place..).and_then(<[u8]>::first_chunk_mut::<2>) else { break };
        let announced = u16::from_be_bytes(*value);
        if announced > largest {
            *value = largest.to_be_bytes();
            checksum = updated(checksum, place, announced, largest);
            is_changed = true;
        }
    }
    if is_changed && let Ok((header, _)) = TcpHeader::mut_from_prefix(segment) {
        header.checksum = U16::new(checksum);
    }
    is_changed
}

/// The next MSS option of a header that is `end` bytes long, of whose options the last `left` bytes were not looked at
/// yet: offset of its value in the segment, and how many bytes are left behind the option.
fn next_mss(segment: &[u8], end: usize, left: usize) -> Option<(usize, usize)> {
    let mut options = segment.get(end.checked_sub(left)?..end)?;
    loop {
        options = match options {
            [] | [END_OF_OPTIONS, ..] => return None,
            [NO_OPERATION, rest @ ..] => rest,
            [MAXIMUM_SEGMENT_SIZE, MSS_OPTION_BYTES, _, _, rest @ ..] => {
                return Some((end.checked_sub(rest.len())?.checked_sub(2)?, rest.len()));
            }
            [_, length, ..] if *length >= 2 => options.get(usize::from(*length)..)?,
            _ => return None,
        };
    }
}

/// The checksum after the 16-bit value at `offset` of what it covers changed.
fn updated(checksum: u16, offset: usize, old: u16, new: u16) -> u16 {
    if offset.is_multiple_of(2) {
        checksum::update_u16(checksum, old, new)
    } else {
        // The value stands in the second half of one word and the first of the next: in the sum that is the same as
        // one word with its bytes swapped (RFC 1071 §2 B).
        checksum::update_u16(checksum, old.swap_bytes(), new.swap_bytes())
    }
}

impl TcpHeader {
    /// Length of header and options as the header states it. Units: bytes. Range: 0..=60.
    #[must_use]
    #[inline]
    pub const fn header_bytes(&self) -> usize {
        (self.offset >> 4) as usize * 4
    }
}

wire_error! {
    /// What is wrong with a TCP header.
    pub enum TcpError {
        /// The bytes end before the header or its options do.
        Truncated => "tcp segment is shorter than its header says",
        /// The header length field is below 20 bytes.
        HeaderLength => "tcp header length field is wrong",
    }
}

#[cfg(test)]
mod tests;
