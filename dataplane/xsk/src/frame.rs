//! Frame: bytes of one Ethernet frame in the chunk they arrived in, or in several when one does not hold them.
//!
//! ```text
//!  base            start            start + len          base + room
//!   |   headroom     |       head        |     tailroom      |
//!   +----------------+-------------------+-------------------+
//!        <- push_front  pull_front ->      <- truncate  extend_back ->
//!                     keep ->            <- keep
//! ```
//!
//! Nearly every frame is linear: its head is all of it. A jumbo frame goes on in further segments, each in a chunk of its own
//! (`chain`). The whole length is [`Frame::len`]; the bytes that can be seen at once are [`Frame::head`], and there is no view that
//! calls itself the frame's bytes but [`Frame::linear`], which a frame of several segments does not have.
//!
//! Place on the path: everywhere. Encapsulation writes headers into the headroom, decapsulation moves the start forward;
//! the payload is never moved. What is not here: what the bytes mean.

mod chain;
mod deal;

use core::ops::Range;
use core::ptr::NonNull;
use core::slice;

use arrayvec::ArrayVec;

pub use chain::{Chunks, MAX_SEGMENTS, SEGMENT_START_BYTES, Segments};
pub use deal::{Deal, Positions, ones};

use crate::chunk::Chunk;
use crate::prefetch::{LINE_BYTES, prefetch_at};
use crate::ring::Slot;

/// Frames that one pass of the worker handles at most.
pub const BATCH: usize = 64;

/// One pass's frames.
pub type FrameBatch = ArrayVec<Frame, BATCH>;

/// An owned chunk, or a chain of them, that holds a frame's bytes. Not `Clone`: whoever has it is the only one.
///
/// Dropping one loses its chunks; give it to a [`ChunkCache`](crate::ChunkCache::give_frame), or take it apart with
/// [`Frame::into_chunks`].
#[derive(Debug)]
#[must_use = "a dropped frame's chunks are lost to the pool"]
pub struct Frame {
    /// First byte of the window in which this segment's bytes can move.
    base: NonNull<u8>,
    /// Offset of the segment's first byte in the window.
    start: u16,
    /// Bytes of this segment.
    len: u16,
    /// Size of the window.
    room: u16,
    /// Bytes of all further segments; 0 when there is none.
    rest: u16,
}

/// What a [`Frame`] is made of, while it is nobody's: nothing but numbers, which anyone may copy.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Parts {
    base: *mut u8,
    start: u16,
    len: u16,
    room: u16,
    rest: u16,
}

// SAFETY: nothing is done with the address but through the `Frame` that is made of it, which is `Send` itself.
unsafe impl Send for Parts {}

// SAFETY: a pointer and four integers, none of which has a forbidden bit pattern. The kernel sees none of them.
unsafe impl Slot for Parts {}

impl Parts {
    /// Those of no frame.
    pub(crate) const NONE: Self = Self { base: core::ptr::null_mut(), start: 0, len: 0, room: 0, rest: 0 };
}

// Invariant of every `Frame`: `start + len <= room`, and it consumed the one `Chunk` that the window of `room` bytes at `base` is,
// when `rest` is 0: the window is the whole chunk. Otherwise the window is all but the chunk's first `LINK_BYTES`, and there the
// rest of the frame stands: see `chain`.

// SAFETY: as for `Chunk`: the frame is the only handle on its slots, and has no thread-bound state.
unsafe impl Send for Frame {}

impl Frame {
    /// The frame of `len` bytes that begins `start` bytes into `chunk`; the bytes are what the chunk happens to hold.
    ///
    /// # Errors
    ///
    /// Gives the chunk back when `start + len` does not fit it.
    #[inline]
    pub fn new(chunk: Chunk, start: usize, len: usize) -> Result<Self, Chunk> {
        let room = chunk.room_bytes();
        if start > room || len > room - start {
            return Err(chunk);
        }
        Ok(Self { base: chunk.base(), start: narrow(start), len: narrow(len), room: narrow(room), rest: 0 })
    }

    /// A frame that begins `start` bytes into `chunk` and holds a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// Gives the chunk back when the bytes do not fit it.
    pub fn from_bytes(chunk: Chunk, start: usize, bytes: &[u8]) -> Result<Self, Chunk> {
        let mut frame = Self::new(chunk, start, bytes.len())?;
        frame.head_mut().copy_from_slice(bytes);
        Ok(frame)
    }

    /// Takes the frame apart. Its chunks are lost, unless it is put together again.
    #[inline]
    pub(crate) fn into_parts(self) -> Parts {
        let Self { base, start, len, room, rest } = self;
        Parts { base: base.as_ptr(), start, len, room, rest }
    }

    /// Puts a frame together again.
    ///
    /// # Safety
    ///
    /// The parts are of a frame that was taken apart, and nobody puts it together a second time.
    #[inline]
    pub(crate) unsafe fn from_parts(Parts { base, start, len, room, rest }: Parts) -> Self {
        // SAFETY: it was a `NonNull` before (promise of the caller).
        let base = unsafe { NonNull::new_unchecked(base) };
        Self { base, start, len, room, rest }
    }

    /// First byte of the window, which lies in the chunk and is at least its first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Asks the CPU for the cache line that its first byte is in.
    #[inline(always)]
    pub fn prefetch(&self) {
        prefetch_at(self.at(self.start).as_ptr());
    }

    /// The same for the line behind that.
    #[inline(always)]
    pub fn prefetch_second_line(&self) {
        prefetch_at(self.at(self.start).as_ptr().wrapping_add(LINE_BYTES));
    }

    /// Offset of the frame's first byte from [`base`](Frame::base). Units: bytes.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        usize::from(self.start)
    }

    /// Length of the head. Units: bytes.
    #[must_use]
    #[inline]
    pub fn head_len(&self) -> usize {
        usize::from(self.len)
    }

    /// Length of the whole frame, all segments. Units: bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len) + usize::from(self.rest)
    }

    /// Bytes that stand in further segments, behind the head; 0 for a linear frame. Units: bytes.
    #[must_use]
    #[inline]
    pub fn beyond_bytes(&self) -> usize {
        usize::from(self.rest)
    }

    /// Whether the frame has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the head is all of the frame.
    #[must_use]
    #[inline]
    pub fn is_linear(&self) -> bool {
        self.rest == 0
    }

    /// Room in front of the frame. Units: bytes.
    #[must_use]
    #[inline]
    pub fn headroom_bytes(&self) -> usize {
        self.start()
    }

    /// Room behind the frame; none behind the head of one with further segments. Units: bytes.
    #[must_use]
    #[inline]
    pub fn tailroom_bytes(&self) -> usize {
        if self.is_linear() { usize::from(self.room - self.start - self.len) } else { 0 }
    }

    /// The bytes of the head: all of a linear frame, else its beginning. Headers are looked for here.
    #[must_use]
    #[inline]
    pub fn head(&self) -> &[u8] {
        let first = self.at(self.start);
        // SAFETY: `start + len <= room`, so the slice lies in the window and thus in the chunk, whose bytes are initialised and stay
        // mapped; the frame is the chunk's only handle and is borrowed for the slice's life, so nobody writes to it meanwhile.
        unsafe { slice::from_raw_parts(first.as_ptr(), self.head_len()) }
    }

    /// The bytes of the head, to be changed.
    #[must_use]
    #[inline]
    pub fn head_mut(&mut self) -> &mut [u8] {
        let first = self.at(self.start);
        // SAFETY: in bounds and initialised as in `head`; the frame is the chunk's only handle and is borrowed mutably for the
        // slice's life, so nobody else reads or writes it meanwhile.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), self.head_len()) }
    }

    /// All bytes of a frame that stands in one chunk; `None` when it goes on elsewhere.
    #[must_use]
    #[inline]
    pub fn linear(&self) -> Option<&[u8]> {
        self.is_linear().then(|| self.head())
    }

    /// Moves the start `count` bytes back and returns the whole head, the new bytes first (they hold anything).
    /// `None`, and nothing changes, when the headroom is smaller.
    #[inline]
    pub fn push_front(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > self.headroom_bytes() {
            return None;
        }
        self.start -= narrow(count);
        self.len += narrow(count);
        Some(self.head_mut())
    }

    /// Moves the start `count` bytes forward. `None`, and nothing changes, when the head is shorter, or would be empty with further
    /// segments behind it: see [`pull_through`](Frame::pull_through).
    #[inline]
    #[must_use]
    pub fn pull_front(&mut self, count: usize) -> Option<()> {
        let left = self.head_len().checked_sub(count)?;
        if left == 0 && !self.is_linear() {
            return None;
        }
        self.start += narrow(count);
        self.len -= narrow(count);
        Some(())
    }

    /// Keeps the bytes of a linear frame that are in a range, and returns them. `None`, and nothing changes, when not all of them are
    /// there, or the frame stands in several chunks.
    #[inline]
    pub fn keep(&mut self, bytes: Range<usize>) -> Option<&[u8]> {
        if !self.is_linear() || bytes.start > bytes.end || bytes.end > self.head_len() {
            return None;
        }
        self.start += narrow(bytes.start);
        self.len = narrow(bytes.end - bytes.start);
        Some(self.head())
    }

    /// Cuts a linear frame's end so that `len` bytes remain; does nothing when it is not longer, or stands in several chunks:
    /// [`truncate`](Frame::truncate) takes those apart.
    #[inline]
    pub fn truncate_linear(&mut self, len: usize) {
        if self.is_linear() && len < self.head_len() {
            self.len = narrow(len);
        }
    }

    /// Moves the end `count` bytes back and returns the whole frame, the new bytes last (they hold anything).
    /// `None`, and nothing changes, when the tailroom is smaller or there are further segments.
    #[inline]
    pub fn extend_back(&mut self, count: usize) -> Option<&mut [u8]> {
        if !self.is_linear() || count > self.tailroom_bytes() {
            return None;
        }
        self.len += narrow(count);
        Some(self.head_mut())
    }

    /// The `N` bytes directly in front of the frame, where a template of fixed size is copied before it is pushed.
    /// `None` when the headroom is smaller.
    #[inline]
    pub fn before_mut<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        let first = self.at(narrow(self.headroom_bytes().checked_sub(N)?)).cast::<[u8; N]>();
        // SAFETY: the `N` bytes end where the frame starts and begin inside the window, by the subtraction above; a byte array has
        // alignment 1; the frame is the chunk's only handle and is borrowed mutably for the array's life.
        Some(unsafe { &mut *first.as_ptr() })
    }

    /// Address of the byte `offset` into the window; callers pass nothing above `room`.
    #[inline]
    fn at(&self, offset: u16) -> NonNull<u8> {
        debug_assert!(offset <= self.room, "an offset inside the window");
        // SAFETY: every caller passes `start` or less, and `start <= room` by the invariant, so the result is inside the window or
        // one past its end, under the provenance that `Chunk::from_base` demands.
        unsafe { self.base.add(usize::from(offset)) }
    }
}

/// `value` as `u16`, where a check against the chunk's size (at most 4096) has been made.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "bounded by the chunk's size, which is a u16")]
fn narrow(value: usize) -> u16 {
    debug_assert!(value <= usize::from(u16::MAX), "bounded by the chunk's size");
    value as u16
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
