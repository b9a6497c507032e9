//! Cutting an IPv4 packet up, as a router does whose next link is too small.
//!
//! Place on the path: inner packets of a session with `fragmentation = "inner"`. Each fragment is a packet of its own;
//! the receiving host puts them together.
//! Not in it: Ethernet headers, reassembly, outer packets.

use super::{FLAG_MORE_FRAGMENTS, Ipv4Error, Ipv4Header};
use zerocopy::byteorder::network_endian::U16;

/// Most options that a header can have. Units: bytes.
const MAX_OPTIONS_BYTES: usize = 40;
/// Fragment offsets count in units of so many bytes.
const OFFSET_UNIT_BYTES: usize = 8;
/// Option that ends the list; also what fills it up to a whole word.
const END_OF_OPTIONS: u8 = 0;
/// Option without length and value.
const NO_OPERATION: u8 = 1;
/// Set in the kind of an option that every fragment carries (RFC 791 §3.1).
const COPIED: u8 = 0x80;

/// Options of a header: up to 40 bytes, a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    bytes: [u8; MAX_OPTIONS_BYTES],
    length: usize,
}

/// The fragments of a packet, first to last, each made when it is asked for.
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    header: &'a Ipv4Header,
    /// Of the first fragment: all. Afterwards: those that every fragment carries.
    options: Options,
    later_options: Options,
    /// What no fragment carries yet.
    payload: &'a [u8],
    /// Where that stands in the whole packet's payload. Units: bytes.
    offset: usize,
    mtu: usize,
    is_done: bool,
}

/// One fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    header: Ipv4Header,
    options: Options,
    payload: &'a [u8],
}

impl<'a> Fragments<'a> {
    /// The fragments of a packet, none larger than `mtu`, whose header, options and payload
    /// [`split`](super::split) gave. A packet that fits is its own only fragment.
    ///
    /// A packet that is a fragment itself is cut further. DF is not looked at but cleared: whoever calls this has.
    ///
    /// Source: RFC 791 §3.2, "An Example Fragmentation Procedure".
    ///
    /// # Errors
    ///
    /// [`Ipv4Error::Options`] when they cannot be told apart, [`Ipv4Error::TooLong`] when the last byte would lie behind
    /// the longest possible packet, [`Ipv4Error::NoRoom`] when `mtu` leaves no room for 8 bytes of payload.
    pub fn new(
        header: &'a Ipv4Header,
        options: &[u8],
        payload: &'a [u8],
        mtu: usize,
    ) -> Result<Self, Ipv4Error> {
        let offset = header.fragment_offset_bytes();
        if offset + payload.len() + header.header_bytes() > usize::from(u16::MAX) {
            return Err(Ipv4Error::TooLong);
        }
        if mtu < header.header_bytes() + OFFSET_UNIT_BYTES {
            return Err(Ipv4Error::NoRoom);
        }
        let options = Options::all(options).ok_or(Ipv4Error::Options)?;
        let later_options = options.copied().ok_or(Ipv4Error::Options)?;
        Ok(Self { header, options, later_options, payload, offset, mtu, is_done: false })
    }

    /// How much of what is left the next fragment carries: all, or what fits, in whole units. Units: bytes.
    fn next_bytes(&self) -> usize {
        let room = self.mtu.saturating_sub(size_of::<Ipv4Header>() + self.options.length);
        if self.payload.len() <= room {
            self.payload.len()
        } else {
            room / OFFSET_UNIT_BYTES * OFFSET_UNIT_BYTES
        }
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Fragment<'a>;

    fn next(&mut self) -> Option<Fragment<'a>> {
        if self.is_done {
            return None;
        }
        let (payload, rest) = self.payload.split_at_checked(self.next_bytes())?;
        // The last fragment of a packet that was cut before is only the last one if that one was.
        let has_more = !rest.is_empty() || self.header.more_fragments();
        let mut header = *self.header;
        let header_bytes = size_of::<Ipv4Header>() + self.options.length;
        header.version_ihl = 0x40 | u8::try_from(header_bytes / 4).ok()?;
        header.total_length = U16::new(u16::try_from(header_bytes + payload.len()).ok()?);
        let flags = if has_more { FLAG_MORE_FRAGMENTS } else { 0 };
        let units = u16::try_from(self.offset / OFFSET_UNIT_BYTES).ok()?;
        header.flags_fragment = U16::new(flags | units);
        header.seal(self.options.bytes());
        let fragment = Fragment { header, options: self.options, payload };
        self.offset += payload.len();
        self.payload = rest;
        self.options = self.later_options;
        self.is_done = rest.is_empty();
        Some(fragment)
    }
}

impl Fragment<'_> {
    /// Length of the fragment's packet. Units: bytes.
    #[must_use]
    pub const fn packet_bytes(&self) -> usize {
        size_of::<Ipv4Header>() + self.options.length + self.payload.len()
    }

    /// Writes the packet to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`Ipv4Error::NoRoom`] when `out` is shorter than the packet.
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], Ipv4Error> {
        let rest = self.header.write(self.options.bytes(), out)?;
        let (place, rest) = rest.split_at_mut_checked(self.payload.len()).ok_or(Ipv4Error::NoRoom)?;
        place.copy_from_slice(self.payload);
        Ok(rest)
    }
}

impl Options {
    const NONE: Self = Self { bytes: [0; MAX_OPTIONS_BYTES], length: 0 };

    /// All of them; `None` when they are more than a header takes.
    fn all(options: &[u8]) -> Option<Self> {
        let mut all = Self::NONE;
        all.push(options)?;
        Some(all)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, option: &[u8]) -> Option<()> {
        let end = self.length + option.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(option);
        self.length = end;
        Some(())
    }

    /// Those that every fragment carries, filled up to a whole word; `None` when one overruns the list.
    fn copied(&self) -> Option<Self> {
        let mut copied = Self::NONE;
        let mut options = self.bytes();
        loop {
            options = match options {
                [] | [END_OF_OPTIONS, ..] => break,
                [NO_OPERATION, rest @ ..] => rest,
                [kind, length, ..] if *length >= 2 => {
                    let (option, rest) = options.split_at_checked(usize::from(*length))?;
                    if kind & COPIED != 0 {
                        copied.push(option)?;
                    }
                    rest
                }
                _ => return None,
            };
        }
        // The bytes behind the length are zero, which is "end of options".
        copied.length = copied.length.next_multiple_of(4);
        Some(copied)
    }
}

#[cfg(test)]
mod tests;
