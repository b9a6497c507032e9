//! Chain: the further segments of a frame that one chunk does not hold.
//!
//! ```text
//!  head's chunk                          second chunk                       last chunk
//! +------+--------+------------------+  +------+----------------------+    +------------+-------+
//! | link | head-  |       head       |  | link |       segment        |    |  segment   |       |
//! |  |   | room   |                  |  |  |   |                      |    |            |       |
//! +--|---+--------+------------------+  +--|---+----------------------+    +------------+-------+
//!    |    <--------- window -------->    ^ |    <------ window ------>      ^
//!    +-----------------------------------+ +--------------------------------+
//! ```
//!
//! The rest of a frame is a [`Frame`] itself. It stands in the first 16 bytes of the chunk in front of it, and the window of the
//! segment there begins behind them: nothing that writes bytes of a frame can reach its link, and a frame without further segments
//! pays for none of it. Links exist only while a frame is in somebody's hands; the rings carry descriptors.
//!
//! Place on the path: jumbo frames only. Every function that can cut off whole segments is given a cache for their chunks.

use core::ptr::NonNull;

use super::{Frame, narrow};
use crate::chunk::Chunk;
use crate::chunk_cache::ChunkCache;
use crate::tx_metadata::TX_METADATA_BYTES;

/// Room that the link takes at the front of a chunk. Units: bytes.
const LINK_BYTES: usize = size_of::<Frame>();
/// The same, as the fields of a frame count.
const LINK_ROOM: u16 = 16;
const _: () = assert!(LINK_BYTES == LINK_ROOM as usize);

/// Offset in its chunk at which a segment starts that further ones may follow: room for the link and for what the kernel wants in
/// front of every segment. Units: bytes.
pub const SEGMENT_START_BYTES: usize = LINK_BYTES + TX_METADATA_BYTES;

/// Segments that one frame has at most.
///
/// What a kernel with the smallest `CONFIG_MAX_SKB_FRAGS` can transmit from the memory of a socket in copy mode, whatever the device.
/// Source: `xsk_build_skb_zerocopy`, net/xdp/xsk.c, v6.12.
pub const MAX_SEGMENTS: usize = 17;

// Invariant of every `Frame` whose `rest` is not 0, beside that in `frame`: `base` is `LINK_BYTES` behind the first byte of the chunk it
// consumed; at that first byte stands a valid `Frame`, put there by `followed_by`, that belongs to this one alone; `rest` is its `len()`.
// No segment of the chain is empty, and there are at most `MAX_SEGMENTS`. Soundness rests on `rest` being 0 or not, never on its value.

impl Frame {
    /// This frame with `rest` behind it.
    ///
    /// # Errors
    ///
    /// Gives both back when this one is not linear, one of them is empty, there is no headroom of 16 bytes for the link, the rest is
    /// longer than 65 535 bytes, or there would be more than [`MAX_SEGMENTS`] segments.
    pub fn followed_by(mut self, rest: Self) -> Result<Self, (Self, Self)> {
        let has_room = self.is_linear() && self.start >= LINK_ROOM && self.len != 0;
        let rest_bytes = match u16::try_from(rest.len()) {
            Ok(bytes @ 1..) if has_room && rest.segment_count() < MAX_SEGMENTS => bytes,
            _ => return Err((self, rest)),
        };
        // SAFETY: this frame is linear, so `base` is the first byte of its chunk, which is aligned for a `Frame` (`Chunk::from_base`) and
        // larger than one; the frame is the chunk's only handle, and its own bytes begin behind the link (`start`, above).
        unsafe { self.base.cast::<Self>().write(rest) };
        // SAFETY: `start >= LINK_BYTES` and `start <= room`, so this is inside the chunk.
        self.base = unsafe { self.base.add(LINK_BYTES) };
        self.start -= LINK_ROOM;
        self.room -= LINK_ROOM;
        self.rest = rest_bytes;
        Ok(self)
    }

    /// Takes the further segments off: this frame is linear afterwards. `None` when it was.
    #[inline]
    pub fn take_rest(&mut self) -> Option<Self> {
        let link = self.link()?;
        // SAFETY: a valid `Frame` that belongs to this one alone stands there (invariant). It is moved out: with `rest` at 0 below, nobody
        // reads the link again.
        let rest = unsafe { link.read() };
        self.base = link.cast();
        self.start += LINK_ROOM;
        self.room += LINK_ROOM;
        self.rest = 0;
        Some(rest)
    }

    /// Place of the link, which is the first byte of the chunk; `None` when there is no link.
    #[inline]
    fn link(&self) -> Option<NonNull<Self>> {
        if self.is_linear() {
            return None;
        }
        // SAFETY: `rest` is not 0, so `base` is `LINK_BYTES` behind the first byte of the chunk (invariant).
        Some(unsafe { self.base.sub(LINK_BYTES) }.cast())
    }

    /// The rest of the frame.
    fn rest(&self) -> Option<&Self> {
        let link = self.link()?;
        // SAFETY: a valid, aligned `Frame` stands there (invariant); it lies outside of every window, so it changes only through this
        // frame, which is borrowed for the reference's life.
        Some(unsafe { link.as_ref() })
    }

    /// The rest of the frame, to be changed; `rest` must be brought up to date.
    fn rest_mut(&mut self) -> Option<&mut Self> {
        let mut link = self.link()?;
        // SAFETY: as in `rest`; this frame is borrowed mutably for the reference's life.
        Some(unsafe { link.as_mut() })
    }

    /// Number of segments, the head included.
    #[must_use]
    #[inline]
    pub fn segment_count(&self) -> usize {
        if self.is_linear() { 1 } else { self.chain().count() }
    }

    /// The segments' bytes, head first; together they are the frame.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        Segments(Some(self))
    }

    /// The frame from each of its segments on.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |frame| frame.rest())
    }

    /// Copies bytes of the frame, from the `offset`-th on, wherever they stand. `None`, and `out` holds anything, when the frame ends before.
    #[must_use]
    pub fn read_at(&self, mut offset: usize, mut out: &mut [u8]) -> Option<()> {
        for segment in self.segments() {
            let Some(here) = segment.get(offset..) else {
                offset -= segment.len();
                continue;
            };
            let count = here.len().min(out.len());
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(&here[..count]);
            (offset, out) = (0, later);
        }
        out.is_empty().then_some(())
    }

    /// Cuts the frame's end so that `len` bytes remain; does nothing when it is not longer than that. Chunks that are not needed any more go
    /// to `cache`.
    #[inline]
    pub fn truncate(&mut self, len: usize, cache: &mut ChunkCache) {
        if !self.is_linear() {
            self.truncate_chain(len, cache);
        } else if len < self.head_len() {
            self.len = narrow(len);
        }
    }

    /// `truncate` for a frame that may have further segments; calls itself once for each of them at most.
    #[cold]
    fn truncate_chain(&mut self, len: usize, cache: &mut ChunkCache) {
        if len >= self.len() {
            return;
        }
        if let Some(rest_len @ 1..) = len.checked_sub(self.head_len())
            && let Some(rest) = self.rest_mut()
        {
            rest.truncate(rest_len, cache);
            self.rest = narrow(rest_len);
            return;
        }
        if let Some(rest) = self.take_rest() {
            cache.give_frame(rest);
        }
        self.truncate(len, cache);
    }

    /// Moves the start `count` bytes forward, past the head if need be; the chunks of segments that have no bytes left go to `cache`.
    /// `None`, and nothing changes, when the frame is shorter.
    #[must_use]
    pub fn pull_through(&mut self, mut count: usize, cache: &mut ChunkCache) -> Option<()> {
        if count > self.len() {
            return None;
        }
        while count >= self.head_len()
            && let Some(rest) = self.take_rest()
        {
            count -= self.head_len();
            cache.give_frame(core::mem::replace(self, rest));
        }
        self.pull_front(count)
    }

    /// A linear copy of this frame that begins `start` bytes into `chunk`.
    ///
    /// # Errors
    ///
    /// Gives the chunk back when the bytes do not fit it.
    #[inline]
    pub fn copy_into(&self, chunk: Chunk, start: usize) -> Result<Self, Chunk> {
        let mut copy = Self::new(chunk, start, self.len())?;
        match self.linear() {
            Some(bytes) => copy.head_mut().copy_from_slice(bytes),
            None => self.read_at(0, copy.head_mut()).expect("a place for each byte of the frame"),
        }
        Ok(copy)
    }

    /// A copy of this frame that begins `start` bytes into its first chunk, in as few chunks of `cache` as hold it. `None` when there are
    /// not enough, or more than [`MAX_SEGMENTS`] would be needed; `cache` has as many as before then.
    #[must_use]
    pub fn copy_from_cache(&self, start: usize, cache: &mut ChunkCache) -> Option<Self> {
        self.copy_from_offset(0, start, cache)
    }

    /// A copy of what follows the first `offset` bytes; calls itself once for each further segment.
    fn copy_from_offset(&self, offset: usize, start: usize, cache: &mut ChunkCache) -> Option<Self> {
        let chunk = cache.take()?;
        let len = (self.len() - offset).min(chunk.room_bytes().saturating_sub(start));
        let mut copy = match Self::new(chunk, start, len) {
            Ok(copy) => copy,
            Err(chunk) => {
                cache.give(chunk);
                return None;
            }
        };
        self.read_at(offset, copy.head_mut()).expect("a byte of the frame for each of the copy");
        if offset + len == self.len() {
            return Some(copy);
        }
        let joined = match self.copy_from_offset(offset + len, SEGMENT_START_BYTES, cache) {
            Some(rest) => copy.followed_by(rest),
            None => {
                cache.give_frame(copy);
                return None;
            }
        };
        joined
            .map_err(|(copy, rest)| {
                cache.give_frame(copy);
                cache.give_frame(rest);
            })
            .ok()
    }

    /// The chunks, empty again.
    #[inline]
    pub fn into_chunks(self) -> Chunks {
        Chunks(Some(self))
    }
}

/// The bytes of a frame's segments, head first.
#[derive(Clone, Debug)]
pub struct Segments<'a>(Option<&'a Frame>);

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.0?;
        self.0 = frame.rest();
        Some(frame.head())
    }
}

/// The chunks of a frame that is no more. To be used up: those not taken out are lost.
#[derive(Debug)]
#[must_use = "the chunks are lost to the pool"]
pub struct Chunks(Option<Frame>);

impl Iterator for Chunks {
    type Item = Chunk;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut frame = self.0.take()?;
        self.0 = frame.take_rest();
        // SAFETY: the frame is linear after `take_rest`, so by the invariant base and room are those of the `Chunk` that it consumed; it
        // is consumed here, so the new chunk is again the slot's only handle.
        Some(unsafe { Chunk::from_base(frame.base, frame.room) })
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
