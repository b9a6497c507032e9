//! Partial: a packet of which some fragments are there.
//!
//! What is refused is refused for good: overlapping parts (RFC 5722 §4 for IPv6; here for IPv4 too, where no honest sender makes
//! them either), and parts that disagree about where the packet ends.

use arrayvec::ArrayVec;
use xsk::Frame;

use super::fragment::Fragment;
use crate::verdict::DropReason;

/// Most fragments of one packet. A packet of 9000 bytes comes in 7 over a path of 1500, in 17 over one of 576.
pub const FRAGMENTS_PER_PACKET: usize = 20;

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
    /// Chunks that they stand in.
    chunks: u16,
    /// Length of the whole payload, known from the last fragment. Units: bytes.
    whole_bytes: Option<u16>,
}

impl Part {
    /// Chunks that it stands in.
    pub(super) fn chunks(&self) -> u16 {
        u16::try_from(self.frame.segment_count()).unwrap_or(u16::MAX)
    }

    /// Copies its payload, from `offset` on. `None` beyond its end.
    pub(super) fn read_payload(&self, offset: usize, out: &mut [u8]) -> Option<()> {
        if offset + out.len() > usize::from(self.fragment.len) {
            return None;
        }
        self.frame.read_at(usize::from(self.fragment.payload_at) + offset, out)
    }
}

impl Partial {
    /// Number of fragments that are there.
    pub(super) fn len(&self) -> u16 {
        u16::try_from(self.parts.len()).unwrap_or(u16::MAX)
    }

    /// Chunks that they stand in.
    pub(super) fn chunks(&self) -> u16 {
        self.chunks
    }

    /// Payload that is there. Units: bytes.
    pub(super) fn have_bytes(&self) -> usize {
        self.have_bytes
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
        let (fragment, chunks) = (part.fragment, part.chunks());
        self.parts.try_insert(position, part).map_err(|refused| refused.element())?;
        self.have_bytes += usize::from(fragment.len);
        self.chunks = self.chunks.saturating_add(chunks);
        if !fragment.more {
            self.whole_bytes = Some(fragment.end());
        }
        Ok(())
    }

    /// Takes all fragments out, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Part> {
        (self.have_bytes, self.whole_bytes, self.chunks) = (0, None, 0);
        self.parts.drain(..)
    }
}

/// Whether two fragments are one that came twice.
fn is_same(one: &Part, other: &Part) -> bool {
    let (a, b) = (&one.fragment, &other.fragment);
    (a.offset, a.len, a.more) == (b.offset, b.len, b.more) && has_same_payload(one, other)
}

/// Whether two fragments of one length carry the same bytes, wherever they stand.
fn has_same_payload(one: &Part, other: &Part) -> bool {
    let [mut here, mut there] = [[0; 256]; 2];
    let len = usize::from(one.fragment.len);
    (0..len).step_by(here.len()).all(|offset| {
        let count = (len - offset).min(here.len());
        let (Some(here), Some(there)) = (here.get_mut(..count), there.get_mut(..count)) else { return false };
        one.read_payload(offset, here).is_some()
            && other.read_payload(offset, there).is_some()
            && here == there
    })
}
