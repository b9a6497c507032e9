//! Ethernet II header and the tags behind it.
//!
//! Place on the path: first thing read of every frame, outer and inner.
//! Not in it: the frame check sequence (the NIC's), IEEE 802.3 length/LLC payloads (opaque to a bridge).

mod ether_type;
mod mac_addr;
mod vlan;

pub use ether_type::EtherType;
pub use mac_addr::{MacAddr, MacAddrError};
pub use vlan::{Tags, Tpid, VlanId, VlanTag, pop_tag, push_tag};

use vlan::TagBytes;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Ethernet II header.
///
/// ```text
///  0                   6                   12        14
/// +-------------------+-------------------+---------+
/// | destination (6)   | source (6)        | type (2)|
/// +-------------------+-------------------+---------+
/// ```
///
/// Byte order: network. Source: IEEE 802.3 §3.1.1, RFC 894.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    /// Destination address.
    pub destination: MacAddr,
    /// Source address.
    pub source: MacAddr,
    /// EtherType of what follows; a tag's TPID where the frame is tagged.
    pub ethertype: U16,
}

/// A frame taken apart: header, up to two tags, payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetView<'a> {
    /// The addresses, and the EtherType as it stands in front of any tag.
    pub header: &'a EthernetHeader,
    /// Outer and inner tag.
    pub tags: Tags,
    /// EtherType behind the tags. A third tag is not read: its TPID stands here.
    pub ethertype: EtherType,
    /// Where the payload starts, from the frame's first byte. Units: bytes.
    pub payload_offset: usize,
    /// What follows the last EtherType, padding included.
    pub payload: &'a [u8],
}

/// Splits a frame into its header and what follows it; tags are not looked at.
///
/// # Errors
///
/// [`EthernetError::Truncated`] below 14 bytes.
#[inline]
pub fn split(frame: &[u8]) -> Result<(&EthernetHeader, &[u8]), EthernetError> {
    EthernetHeader::ref_from_prefix(frame).map_err(|_| EthernetError::Truncated)
}

/// Reads a frame's header and up to two VLAN tags.
///
/// # Errors
///
/// [`EthernetError::Truncated`] where the frame ends inside header or tags,
/// [`EthernetError::ReservedVlanId`] for VID 4095.
#[inline]
pub fn read(frame: &[u8]) -> Result<EthernetView<'_>, EthernetError> {
    let (header, payload) = split(frame)?;
    let untagged = EthernetView {
        header,
        tags: Tags::NONE,
        ethertype: header.ethertype(),
        payload_offset: size_of::<EthernetHeader>(),
        payload,
    };
    match Tpid::of(untagged.ethertype) {
        None => Ok(untagged),
        Some(tpid) => read_tagged(untagged, tpid),
    }
}

/// Takes the one or two tags off an untagged view whose EtherType is `tpid`.
/// The outermost VLAN tag of a frame, if it has one; what follows is not looked at.
///
/// # Errors
///
/// [`EthernetError::Truncated`] when the frame ends inside its header or that tag, [`EthernetError::ReservedVlanId`].
#[inline]
pub fn outer_tag(frame: &[u8]) -> Result<Option<VlanTag>, EthernetError> {
    let (header, payload) = split(frame)?;
    match Tpid::of(header.ethertype()) {
        None => Ok(None),
        Some(tpid) => TagBytes::take(tpid, payload).map(|(tag, ..)| Some(tag)),
    }
}

#[inline]
fn read_tagged(untagged: EthernetView<'_>, tpid: Tpid) -> Result<EthernetView<'_>, EthernetError> {
    let (outer, ethertype, payload) = TagBytes::take(tpid, untagged.payload)?;
    let single = EthernetView {
        tags: Tags::one(outer),
        ethertype,
        payload_offset: untagged.payload_offset + size_of::<TagBytes>(),
        payload,
        ..untagged
    };
    let Some(tpid) = Tpid::of(ethertype) else { return Ok(single) };
    let (inner, ethertype, payload) = TagBytes::take(tpid, single.payload)?;
    Ok(EthernetView {
        tags: Tags::two(outer, inner),
        ethertype,
        payload_offset: single.payload_offset + size_of::<TagBytes>(),
        payload,
        ..single
    })
}

impl EthernetHeader {
    /// A header from its three fields.
    #[must_use]
    #[inline]
    pub const fn new(destination: MacAddr, source: MacAddr, ethertype: EtherType) -> Self {
        Self { destination, source, ethertype: U16::new(ethertype.0) }
    }

    /// Destination and source as numbers below 2^48, the first octet most significant: one load each.
    #[must_use]
    #[inline]
    pub fn addresses(&self) -> (u64, u64) {
        let bytes = self.as_bytes();
        let number = |octets: Option<&[u8; 8]>| octets.map_or(0, |octets| u64::from_be_bytes(*octets) >> 16);
        (number(bytes.first_chunk()), number(bytes.last_chunk()))
    }

    /// EtherType field in host order.
    #[must_use]
    #[inline]
    pub const fn ethertype(&self) -> EtherType {
        EtherType(self.ethertype.get())
    }

    /// Writes the header to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`EthernetError::NoRoom`] when `out` is shorter than the header.
    #[inline]
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], EthernetError> {
        let (slot, rest) = Self::mut_from_prefix(out).map_err(|_| EthernetError::NoRoom)?;
        *slot = *self;
        Ok(rest)
    }

    /// Writes header and tags (outer first) to the front of `out` and returns what is left of it.
    ///
    /// `self.ethertype` is the EtherType behind the tags; the TPIDs come from the tags.
    ///
    /// # Errors
    ///
    /// [`EthernetError::NoRoom`] when `out` is shorter than header and tags.
    #[inline]
    pub fn write_tagged<'b>(
        &self,
        tags: &[VlanTag],
        out: &'b mut [u8],
    ) -> Result<&'b mut [u8], EthernetError> {
        let ethertype_at =
            |index: usize| tags.get(index).map_or(self.ethertype(), |tag| tag.tpid.ethertype());
        let mut rest = Self::new(self.destination, self.source, ethertype_at(0)).write(out)?;
        for (index, tag) in tags.iter().enumerate() {
            rest = TagBytes::new(*tag, ethertype_at(index + 1)).write(rest)?;
        }
        Ok(rest)
    }
}

wire_error! {
    /// What is wrong with a frame's Ethernet header or tags.
    pub enum EthernetError {
        /// The frame ends inside its Ethernet header or a VLAN tag.
        Truncated => "frame ends inside its ethernet header or vlan tag",
        /// VID 4095, which IEEE 802.1Q forbids in a frame.
        ReservedVlanId => "vlan id 4095 is reserved",
        /// A tag was to be taken off a frame that has none.
        Untagged => "frame carries no vlan tag",
        /// The buffer to write to is too short.
        NoRoom => "no room for the ethernet header or vlan tag",
    }
}

#[cfg(test)]
mod tests;
