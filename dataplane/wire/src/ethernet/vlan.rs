//! IEEE 802.1Q and 802.1ad VLAN tags: reading, and pushing and popping in place.

use super::{EtherType, EthernetError};
use crate::overhead::VLAN_TAG_BYTES;
use core::fmt;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the two addresses that stand in front of the outermost tag.
const ADDRESSES_BYTES: usize = 12;

/// What follows a TPID: tag control information, then the next EtherType.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-----+-+-----------------------+-------------------------------+
/// | PCP |D|          VID          |       next EtherType          |
/// +-----+-+-----------------------+-------------------------------+
/// ```
///
/// Byte order: network. Source: IEEE 802.1Q §9.6.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct TagBytes {
    tci: U16,
    next: U16,
}

/// Tag protocol identifier: which kind of tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tpid {
    /// Customer tag, 0x8100 (IEEE 802.1Q).
    Customer,
    /// Service tag, 0x88A8 (IEEE 802.1ad).
    Service,
}

/// A VLAN identifier. Range: 0 (priority tag, no VLAN) to 4094; 4095 is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VlanId(u16);

/// One VLAN tag, in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VlanTag {
    /// Kind of tag.
    pub tpid: Tpid,
    /// Priority code point. Range: 0..=7; higher bits are not written.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
    /// VLAN identifier.
    pub vid: VlanId,
}

/// The up to two tags of a frame; an inner tag never stands without an outer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    outer: Option<VlanTag>,
    inner: Option<VlanTag>,
}

impl TagBytes {
    /// A tag's bytes in front of `next`.
    #[inline]
    pub(super) const fn new(tag: VlanTag, next: EtherType) -> Self {
        Self { tci: U16::new(tag.tci()), next: U16::new(next.0) }
    }

    /// Takes one tag off what follows its TPID.
    #[inline]
    pub(super) fn take(tpid: Tpid, bytes: &[u8]) -> Result<(VlanTag, EtherType, &[u8]), EthernetError> {
        let (raw, rest) = Self::ref_from_prefix(bytes).map_err(|_| EthernetError::Truncated)?;
        let tag = VlanTag::from_tci(tpid, raw.tci.get()).ok_or(EthernetError::ReservedVlanId)?;
        Ok((tag, EtherType(raw.next.get()), rest))
    }

    /// Writes to the front of `out` and returns what is left of it.
    #[inline]
    pub(super) fn write(self, out: &mut [u8]) -> Result<&mut [u8], EthernetError> {
        let (slot, rest) = Self::mut_from_prefix(out).map_err(|_| EthernetError::NoRoom)?;
        *slot = self;
        Ok(rest)
    }
}

impl Tpid {
    /// The kind of tag an EtherType announces, if it announces one.
    #[must_use]
    #[inline]
    pub const fn of(ethertype: EtherType) -> Option<Self> {
        match ethertype {
            EtherType::VLAN => Some(Self::Customer),
            EtherType::SERVICE_VLAN => Some(Self::Service),
            _ => None,
        }
    }

    /// The EtherType that announces this kind of tag.
    #[must_use]
    #[inline]
    pub const fn ethertype(self) -> EtherType {
        match self {
            Self::Customer => EtherType::VLAN,
            Self::Service => EtherType::SERVICE_VLAN,
        }
    }
}

impl VlanId {
    /// VID 0: a priority tag, which names no VLAN.
    pub const PRIORITY: Self = Self(0);
    /// Highest legal identifier.
    pub const MAX: Self = Self(4094);

    /// A checked identifier; `None` above 4094.
    #[must_use]
    #[inline]
    pub const fn new(value: u16) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl VlanTag {
    /// An 802.1Q tag with priority 0.
    #[must_use]
    #[inline]
    pub const fn customer(vid: VlanId) -> Self {
        Self { tpid: Tpid::Customer, pcp: 0, dei: false, vid }
    }

    /// An 802.1ad tag with priority 0.
    #[must_use]
    #[inline]
    pub const fn service(vid: VlanId) -> Self {
        Self { tpid: Tpid::Service, pcp: 0, dei: false, vid }
    }

    /// Tag control information: PCP, DEI and VID in 16 bits, host order.
    #[must_use]
    #[inline]
    pub const fn tci(self) -> u16 {
        (self.pcp as u16 & 0x7) << 13 | (self.dei as u16) << 12 | self.vid.0
    }

    /// The tag that `tci` encodes; `None` for VID 4095.
    #[must_use]
    #[inline]
    pub const fn from_tci(tpid: Tpid, tci: u16) -> Option<Self> {
        match VlanId::new(tci & 0x0FFF) {
            Some(vid) => Some(Self { tpid, pcp: tci.to_be_bytes()[0] >> 5, dei: tci & 0x1000 != 0, vid }),
            None => None,
        }
    }
}

impl Tags {
    /// An untagged frame's.
    pub const NONE: Self = Self { outer: None, inner: None };

    /// A single-tagged frame's.
    #[must_use]
    #[inline]
    pub const fn one(outer: VlanTag) -> Self {
        Self { outer: Some(outer), inner: None }
    }

    /// A double-tagged frame's.
    #[must_use]
    #[inline]
    pub const fn two(outer: VlanTag, inner: VlanTag) -> Self {
        Self { outer: Some(outer), inner: Some(inner) }
    }

    /// The outermost tag.
    #[must_use]
    #[inline]
    pub const fn outer(self) -> Option<VlanTag> {
        self.outer
    }

    /// The tag behind the outermost.
    #[must_use]
    #[inline]
    pub const fn inner(self) -> Option<VlanTag> {
        self.inner
    }

    /// How many there are: 0, 1 or 2.
    #[must_use]
    #[inline]
    pub const fn count(self) -> usize {
        self.outer.is_some() as usize + self.inner.is_some() as usize
    }
}

/// Puts `tag` in front of the frame's EtherType, in place.
///
/// `frame` starts with four bytes of free room, the frame itself follows: exactly what
/// `push_front(4)` of a frame gives. Only the 12 address bytes move.
///
/// # Errors
///
/// [`EthernetError::Truncated`] when no whole Ethernet header follows the free room; `frame` is then unchanged.
#[inline]
pub fn push_tag(frame: &mut [u8], tag: VlanTag) -> Result<(), EthernetError> {
    let (front, _) = frame
        .split_first_chunk_mut::<{ VLAN_TAG_BYTES + ADDRESSES_BYTES + 2 }>()
        .ok_or(EthernetError::Truncated)?;
    let [_, _, _, _, a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, e0, e1] = *front;
    let [p0, p1] = tag.tpid.ethertype().0.to_be_bytes();
    let [t0, t1] = tag.tci().to_be_bytes();
    *front = [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, p0, p1, t0, t1, e0, e1];
    Ok(())
}

/// Takes the outermost tag out of the frame, in place, and returns it.
///
/// The 12 address bytes move four bytes back; afterwards the first four bytes of `frame` are free room
/// that `pull_front(4)` of a frame gives up.
///
/// # Errors
///
/// [`EthernetError::Untagged`], [`EthernetError::Truncated`] or [`EthernetError::ReservedVlanId`];
/// `frame` is then unchanged.
#[inline]
pub fn pop_tag(frame: &mut [u8]) -> Result<VlanTag, EthernetError> {
    let (header, rest) = super::split(frame)?;
    let tpid = Tpid::of(header.ethertype()).ok_or(EthernetError::Untagged)?;
    let (tag, ..) = TagBytes::take(tpid, rest)?;
    let (front, _) = frame
        .split_first_chunk_mut::<{ VLAN_TAG_BYTES + ADDRESSES_BYTES }>()
        .ok_or(EthernetError::Truncated)?;
    front.copy_within(..ADDRESSES_BYTES, VLAN_TAG_BYTES);
    Ok(tag)
}
