//! Partial: a packet of which some fragments are there.
//!
//! What is refused is refused for good: overlapping parts (RFC 5722 §4 for IPv6; here for IPv4 too, where no honest sender makes
//! them either), parts that disagree about where the packet ends, and what would not fit one chunk.

use arrayvec::ArrayVec;
use xsk::Frame;

use super::fragment::Fragment;
use crate::verdict::DropReason;

/// Most fragments of one packet. A packet of 9000 bytes comes in 7 over a path of 1500, in 17 over one of 576.
pub const FRAGMENTS_PER_PACKET: usize = 20;

/// Least offset in its chunk at which a packet that was put together starts: together with the outer headers that decapsulation takes
/// off, it leaves the headroom that encapsulation wants. Units: bytes.
pub(super) const START_BYTES: usize = 64;

const _: () = assert!(
    START_BYTES + wire::overhead::ETHERNET_BYTES + wire::overhead::IPV4_BYTES + 4
        >= wire::overhead::MAX_ENCAP_BYTES + wire::overhead::VLAN_TAG_BYTES
);

/// A fragment in its chunk.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) frame: Frame,
    pub(super) fragment: Fragment,
}

/// Why a fragment cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is there already; the packet is none the worse.
    Duplicate,
    /// The packet is spoilt.
    Spoilt(DropReason),
}

/// The fragments that are there, by offset, none overlapping another.
#[derive(Debug, Default)]
pub(super) struct Partial {
    parts: ArrayVec<Part, FRAGMENTS_PER_PACKET>,
    /// Sum of their payloads. Units: bytes.
    have_bytes: usize,
    /// Length of the whole payload, known from the last fragment. Units: bytes.
    whole_bytes: Option<u16>,
}

impl Part {
    /// Its payload.
    pub(super) fn payload(&self) -> &[u8] {
        let start = usize::from(self.fragment.payload_at);
        self.frame.bytes().get(start..start + usize::from(self.fragment.len)).unwrap_or_default()
    }

    /// Whether everything up to its end fits its chunk.
    fn fits_chunk(&self) -> bool {
        let room = self.frame.headroom_bytes() + self.frame.len() + self.frame.tailroom_bytes();
        START_BYTES + usize::from(self.fragment.payload_at) + usize::from(self.fragment.end()) <= room
    }
}

impl Partial {
    /// Number of fragments that are there.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Where a fragment belongs among the others.
    ///
    /// # Errors
    /// It does not fit them.
    pub(super) fn place(&self, part: &Part) -> Result<usize, Misfit> {
        let fragment = &part.fragment;
        let position = self.parts.partition_point(|other| other.fragment.offset < fragment.offset);
        let at = self.parts.get(position);
        if at.is_some_and(|other| is_same(other, part)) {
            return Err(Misfit::Duplicate);
        }
        let before = position.checked_sub(1).and_then(|before| self.parts.get(before));
        if before.is_some_and(|before| before.fragment.end() > fragment.offset)
            || at.is_some_and(|after| after.fragment.offset < fragment.end())
        {
            return Err(Misfit::Spoilt(DropReason::FragmentOverlap));
        }
        if !self.agrees_on_end(fragment) {
            return Err(Misfit::Spoilt(DropReason::FragmentLength));
        }
        if !part.fits_chunk() {
            return Err(Misfit::Spoilt(DropReason::ReassembledTooBig));
        }
        if self.parts.is_full() {
            return Err(Misfit::Spoilt(DropReason::FragmentTooMany));
        }
        Ok(position)
    }

    /// Whether a fragment, which overlaps none, ends where the others let it.
    fn agrees_on_end(&self, fragment: &Fragment) -> bool {
        match (self.whole_bytes, fragment.more) {
            (None, true) => true,
            (Some(whole), true) => fragment.end() < whole,
            (Some(_), false) => false,
            (None, false) => self.parts.last().is_none_or(|last| last.fragment.end() <= fragment.offset),
        }
    }

    /// Whether a fragment that fits is all that is missing.
    pub(super) fn lacks_only(&self, fragment: &Fragment) -> bool {
        let whole = if fragment.more { self.whole_bytes } else { Some(fragment.end()) };
        whole.is_some_and(|whole| self.have_bytes + usize::from(fragment.len) == usize::from(whole))
    }

    /// Adds a fragment where [`Partial::place`] said; gives it back when there is no room for it.
    pub(super) fn insert(&mut self, position: usize, part: Part) -> Result<(), Part> {
        let fragment = part.fragment;
        self.parts.try_insert(position, part).map_err(|refused| refused.element())?;
        self.have_bytes += usize::from(fragment.len);
        if !fragment.more {
            self.whole_bytes = Some(fragment.end());
        }
        Ok(())
    }

    /// Takes all fragments out, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Part> {
        (self.have_bytes, self.whole_bytes) = (0, None);
        self.parts.drain(..)
    }
}

/// Whether two fragments are one that came twice.
fn is_same(one: &Part, other: &Part) -> bool {
    let (a, b) = (&one.fragment, &other.fragment);
    (a.offset, a.len, a.more) == (b.offset, b.len, b.more) && one.payload() == other.payload()
}
