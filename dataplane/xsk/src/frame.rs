//! Frame: bytes of one Ethernet frame in the chunk they arrived in.
//!
//! ```text
//!  base            start            start + len          base + room
//!   |   headroom     |      frame        |     tailroom      |
//!   +----------------+-------------------+-------------------+
//!        <- push_front  pull_front ->      <- truncate  extend_back ->
//! ```
//!
//! Place on the path: everywhere. Encapsulation writes headers into the headroom, decapsulation moves the start forward;
//! the payload is never moved. What is not here: what the bytes mean.

use core::ptr::NonNull;
use core::slice;

use arrayvec::ArrayVec;

use crate::chunk::Chunk;

/// Frames that one pass of the worker handles at most.
pub const BATCH: usize = 64;

/// One pass's frames.
pub type FrameBatch = ArrayVec<Frame, BATCH>;

/// An owned chunk that holds a frame's bytes. Not `Clone`: whoever has it is the only one.
///
/// Dropping one loses its chunk; turn it back with [`Frame::into_chunk`] instead.
#[derive(Debug)]
#[must_use = "a dropped frame's chunk is lost to the pool"]
pub struct Frame {
    base: NonNull<u8>,
    start: u16,
    len: u16,
    room: u16,
}

// Invariant of every `Frame`: `start + len <= room`, and `base` came from a `Chunk` of `room` bytes that this frame consumed.

// SAFETY: as for `Chunk`: the frame is the only handle on its slot, and has no thread-bound state.
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
        Ok(Self { base: chunk.base(), start: narrow(start), len: narrow(len), room: narrow(room) })
    }

    /// A frame that begins `start` bytes into `chunk` and holds a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// Gives the chunk back when the bytes do not fit it.
    pub fn from_bytes(chunk: Chunk, start: usize, bytes: &[u8]) -> Result<Self, Chunk> {
        let mut frame = Self::new(chunk, start, bytes.len())?;
        frame.bytes_mut().copy_from_slice(bytes);
        Ok(frame)
    }

    /// A copy of this frame that begins `start` bytes into `chunk`.
    ///
    /// # Errors
    ///
    /// Gives the chunk back when the bytes do not fit it.
    #[inline]
    pub fn copy_into(&self, chunk: Chunk, start: usize) -> Result<Self, Chunk> {
        Self::from_bytes(chunk, start, self.bytes())
    }

    /// The chunk, empty again.
    #[inline]
    pub fn into_chunk(self) -> Chunk {
        // SAFETY: by the invariant, base and room are those of the `Chunk` that this frame consumed, and `self` is consumed here,
        // so the new chunk is again the slot's only handle.
        unsafe { Chunk::from_base(self.base, self.room) }
    }

    /// First byte of the chunk.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Offset of the frame's first byte from the chunk's. Units: bytes.
    #[must_use]
    #[inline]
    pub fn start(&self) -> usize {
        usize::from(self.start)
    }

    /// Length of the frame. Units: bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether the frame has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Room in front of the frame. Units: bytes.
    #[must_use]
    #[inline]
    pub fn headroom_bytes(&self) -> usize {
        self.start()
    }

    /// Room behind the frame. Units: bytes.
    #[must_use]
    #[inline]
    pub fn tailroom_bytes(&self) -> usize {
        usize::from(self.room - self.start - self.len)
    }

    /// The frame's bytes.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let first = self.at(self.start);
        // SAFETY: `start + len <= room`, so the slice lies in the chunk, whose bytes are initialised and stay mapped; the frame
        // is the chunk's only handle and is borrowed for the slice's life, so nobody writes to it meanwhile.
        unsafe { slice::from_raw_parts(first.as_ptr(), self.len()) }
    }

    /// The frame's bytes, to be changed.
    #[must_use]
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let first = self.at(self.start);
        // SAFETY: in bounds and initialised as in `bytes`; the frame is the chunk's only handle and is borrowed mutably for the
        // slice's life, so nobody else reads or writes it meanwhile.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), self.len()) }
    }

    /// Moves the start `count` bytes back and returns the whole frame, the new bytes first (they hold anything).
    /// `None`, and nothing changes, when the headroom is smaller.
    #[inline]
    pub fn push_front(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > self.headroom_bytes() {
            return None;
        }
        self.start -= narrow(count);
        self.len += narrow(count);
        Some(self.bytes_mut())
    }

    /// Moves the start `count` bytes forward. `None`, and nothing changes, when the frame is shorter.
    #[inline]
    #[must_use]
    pub fn pull_front(&mut self, count: usize) -> Option<()> {
        if count > self.len() {
            return None;
        }
        self.start += narrow(count);
        self.len -= narrow(count);
        Some(())
    }

    /// Cuts the frame's end so that `len` bytes remain; does nothing when it is not longer than that.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.len = narrow(len);
        }
    }

    /// Moves the end `count` bytes back and returns the whole frame, the new bytes last (they hold anything).
    /// `None`, and nothing changes, when the tailroom is smaller.
    #[inline]
    pub fn extend_back(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > self.tailroom_bytes() {
            return None;
        }
        self.len += narrow(count);
        Some(self.bytes_mut())
    }

    /// The `N` bytes directly in front of the frame, where a template of fixed size is copied before it is pushed.
    /// `None` when the headroom is smaller.
    #[inline]
    pub fn before_mut<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        let first = self.at(narrow(self.headroom_bytes().checked_sub(N)?)).cast::<[u8; N]>();
        // SAFETY: the `N` bytes end where the frame starts and begin inside the chunk, by the subtraction above; a byte array has
        // alignment 1; the frame is the chunk's only handle and is borrowed mutably for the array's life.
        Some(unsafe { &mut *first.as_ptr() })
    }

    /// Address of the byte `offset` into the chunk; callers pass nothing above `room`.
    #[inline]
    fn at(&self, offset: u16) -> NonNull<u8> {
        debug_assert!(offset <= self.room, "an offset inside the chunk");
        // SAFETY: every caller passes `start` or less, and `start <= room` by the invariant, so the result is inside the chunk or
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
