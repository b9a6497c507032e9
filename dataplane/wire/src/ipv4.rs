//! IPv4 header: options, fragments, total length, header checksum.
//!
//! Place on the path: outer header of the underlay, read by decap and steering, written by encap.
//! Not in it: reassembly, what options mean.

pub mod fragments;

use crate::checksum::{self, Sum};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// IP protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol number of ESP.
pub const PROTOCOL_ESP: u8 = 50;
/// IP protocol number of L2TPv3 without UDP.
pub const PROTOCOL_L2TP: u8 = 115;

/// "Don't fragment" in [`Ipv4Header::flags_fragment`].
pub const FLAG_DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments" in [`Ipv4Header::flags_fragment`].
pub const FLAG_MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET_MASK: u16 = 0x1FFF;

/// IPv4 header without options.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------+-------+---------------+-------------------------------+
/// |   4   |  IHL  | TOS: DSCP ECN |         total length          |
/// +-------+-------+---------------+-----+-------------------------+
/// |        identification         |0 D M|     fragment offset     |
/// +---------------+---------------+-----+-------------------------+
/// |      TTL      |   protocol    |        header checksum        |
/// +---------------+---------------+-------------------------------+
/// |                         source address                        |
/// +---------------------------------------------------------------+
/// |                       destination address                     |
/// +---------------------------------------------------------------+
/// |                   options, 0 to 40 bytes                      |
/// ```
///
/// Byte order: network. Source: RFC 791 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version (4) and header length in 32-bit words (5 to 15).
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Header, options and payload. Units: bytes.
    pub total_length: U16,
    /// Ties the fragments of one packet together.
    pub identification: U16,
    /// Don't fragment, more fragments, offset in units of 8 bytes.
    pub flags_fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

/// Splits a packet into header, options and payload; bytes behind the total length (Ethernet padding) are cut.
///
/// The checksum is not looked at: see [`verify_checksum`].
///
/// # Errors
///
/// [`Ipv4Error::Truncated`], [`Ipv4Error::Version`], [`Ipv4Error::HeaderLength`], [`Ipv4Error::TotalLength`].
#[inline]
pub fn split(packet: &[u8]) -> Result<(&Ipv4Header, &[u8], &[u8]), Ipv4Error> {
    let (header, _) = Ipv4Header::ref_from_prefix(packet).map_err(|_| Ipv4Error::Truncated)?;
    if header.version_ihl >> 4 != 4 {
        return Err(Ipv4Error::Version);
    }
    let options_bytes =
        header.header_bytes().checked_sub(size_of::<Ipv4Header>()).ok_or(Ipv4Error::HeaderLength)?;
    let total = usize::from(header.total_length.get());
    if total < header.header_bytes() {
        return Err(Ipv4Error::TotalLength);
    }
    let rest = packet.get(size_of::<Ipv4Header>()..total).ok_or(Ipv4Error::Truncated)?;
    let (options, payload) = rest.split_at_checked(options_bytes).ok_or(Ipv4Error::Truncated)?;
    Ok((header, options, payload))
}

/// Checks the header checksum over header and options.
///
/// # Errors
///
/// [`Ipv4Error::Checksum`].
#[inline]
pub fn verify_checksum(header: &Ipv4Header, options: &[u8]) -> Result<(), Ipv4Error> {
    let fixed = checksum::sum_header(zerocopy::transmute_ref!(header));
    let whole = if options.is_empty() { fixed } else { fixed + sum_options(options) };
    if whole.is_valid() { Ok(()) } else { Err(Ipv4Error::Checksum) }
}

/// Sum of the options. Out of line: they are rare, and the loop would cost the stage around it its registers.
#[cold]
#[inline(never)]
fn sum_options(options: &[u8]) -> Sum {
    checksum::sum(options)
}

impl Ipv4Header {
    /// A header without options, TTL 64, not a fragment, DF clear, identification 0, checksum filled in.
    ///
    /// # Errors
    ///
    /// [`Ipv4Error::TooLong`] when header and payload exceed 65 535 bytes.
    #[inline]
    pub fn new(
        source: [u8; 4],
        destination: [u8; 4],
        protocol: u8,
        payload_bytes: usize,
    ) -> Result<Self, Ipv4Error> {
        let total = payload_bytes.saturating_add(size_of::<Self>());
        let total = u16::try_from(total).map_err(|_| Ipv4Error::TooLong)?;
        let mut header = Self {
            version_ihl: 0x45,
            tos: 0,
            total_length: U16::new(total),
            identification: U16::ZERO,
            flags_fragment: U16::ZERO,
            ttl: 64,
            protocol,
            checksum: U16::ZERO,
            source,
            destination,
        };
        header.seal(&[]);
        Ok(header)
    }

    /// Length of header and options as the header states it. Units: bytes. Range: 0..=60.
    #[must_use]
    #[inline]
    pub const fn header_bytes(&self) -> usize {
        (self.version_ihl & 0x0F) as usize * 4
    }

    /// A fragment of a larger packet, the first one included.
    #[must_use]
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & (FLAG_MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK) != 0
    }

    /// More fragments follow this one.
    #[must_use]
    #[inline]
    pub const fn more_fragments(&self) -> bool {
        self.flags_fragment.get() & FLAG_MORE_FRAGMENTS != 0
    }

    /// Routers must not fragment the packet.
    #[must_use]
    #[inline]
    pub const fn dont_fragment(&self) -> bool {
        self.flags_fragment.get() & FLAG_DONT_FRAGMENT != 0
    }

    /// Where this fragment's payload stands in the whole packet's. Units: bytes. Range: 0..=65528.
    #[must_use]
    #[inline]
    pub const fn fragment_offset_bytes(&self) -> usize {
        (self.flags_fragment.get() & FRAGMENT_OFFSET_MASK) as usize * 8
    }

    /// Makes this the header of a fragment, or of a whole packet (offset 0, no more): offset and "more fragments" are set,
    /// "don't fragment" stays. The checksum is then wrong: see [`Self::seal`].
    /// Range: `offset_bytes` a multiple of 8 up to 65528; lower bits are cut off.
    #[inline]
    pub const fn set_fragment(&mut self, offset_bytes: u16, more: bool) {
        let dont_fragment = self.flags_fragment.get() & FLAG_DONT_FRAGMENT;
        let more = if more { FLAG_MORE_FRAGMENTS } else { 0 };
        self.flags_fragment = U16::new(dont_fragment | more | offset_bytes >> 3);
    }

    /// Sum of the pseudo-header in front of a transport header; `length` in bytes.
    #[must_use]
    #[inline]
    pub const fn pseudo_header(&self, length: u16) -> Sum {
        checksum::pseudo_header_v4(self.source, self.destination, self.protocol, length)
    }

    /// Fills in the checksum over header and `options`.
    #[inline]
    pub fn seal(&mut self, options: &[u8]) {
        self.checksum = U16::ZERO;
        self.checksum = U16::new((checksum::sum(self.as_bytes()) + checksum::sum(options)).finish());
    }

    /// The part of the checksum that is the same for every packet of a template (no options):
    /// all but total length and identification. Goes into [`Self::patch`].
    #[must_use]
    #[inline]
    pub fn template_sum(&self) -> Sum {
        let constant =
            Self { total_length: U16::ZERO, identification: U16::ZERO, checksum: U16::ZERO, ..*self };
        checksum::sum(constant.as_bytes())
    }

    /// Makes a copied template this packet's header: total length, identification, checksum.
    #[inline]
    pub const fn patch(&mut self, total_length: u16, identification: u16, template_sum: Sum) {
        self.total_length = U16::new(total_length);
        self.identification = U16::new(identification);
        self.checksum = U16::new(template_sum.add_u16(total_length).add_u16(identification).finish());
    }

    /// Writes header and options to the front of `out` as they are and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`Ipv4Error::HeaderLength`] when the header states another options length,
    /// [`Ipv4Error::NoRoom`] when `out` is too short.
    #[inline]
    pub fn write<'b>(&self, options: &[u8], out: &'b mut [u8]) -> Result<&'b mut [u8], Ipv4Error> {
        if size_of::<Self>().saturating_add(options.len()) != self.header_bytes() {
            return Err(Ipv4Error::HeaderLength);
        }
        let (slot, rest) = Self::mut_from_prefix(out).map_err(|_| Ipv4Error::NoRoom)?;
        let (options_slot, rest) = rest.split_at_mut_checked(options.len()).ok_or(Ipv4Error::NoRoom)?;
        *slot = *self;
        options_slot.copy_from_slice(options);
        Ok(rest)
    }
}

wire_error! {
    /// What is wrong with an IPv4 header.
    pub enum Ipv4Error {
        /// The bytes end before the header, its options or the stated total length do.
        Truncated => "ipv4 packet is shorter than its header says",
        /// The version field is not 4.
        Version => "ip version is not 4",
        /// The header length field is below 20 bytes, or not what is to be written.
        HeaderLength => "ipv4 header length field is wrong",
        /// The total length is below the header length.
        TotalLength => "ipv4 total length is shorter than the header",
        /// An option ends behind the header, or has no length.
        Options => "ipv4 options are inconsistent",
        /// The header checksum is wrong.
        Checksum => "ipv4 header checksum is wrong",
        /// The packet would exceed 65 535 bytes.
        TooLong => "ipv4 packet would exceed 65535 bytes",
        /// The buffer to write to is too short.
        NoRoom => "no room for the ipv4 header",
    }
}

#[cfg(test)]
mod tests;
