//! Chunk: one empty slot of the UMEM, owned.
//!
//! Place on the path: between frames. A chunk is what a cache stores and what the fill ring lends to the kernel; filled
//! with bytes it is a [`Frame`](crate::Frame). It has no access to the bytes itself.

use core::ptr::NonNull;

/// An owned, empty UMEM slot. Not `Clone`: whoever has it is the only one.
///
/// Dropping one loses the slot until the process ends, so give it to a [`ChunkCache`](crate::ChunkCache) instead.
#[derive(Debug)]
#[must_use = "a dropped chunk is lost to the pool"]
pub struct Chunk {
    base: NonNull<u8>,
    room_bytes: u16,
}

// SAFETY: a chunk is the only handle on its slot of a mapping that is never unmapped (see `from_base`), so moving it to
// another thread moves the whole right of access.
unsafe impl Send for Chunk {}

impl Chunk {
    /// The chunk of `room_bytes` bytes at `base`.
    ///
    /// # Safety
    ///
    /// `base` points at `room_bytes` initialised bytes that stay mapped for the life of the process, with provenance over all
    /// of them and aligned to at least 16 bytes, and no other `Chunk`, `Frame` or kernel loan of them exists.
    pub(crate) unsafe fn from_base(base: NonNull<u8>, room_bytes: u16) -> Self {
        Self { base, room_bytes }
    }

    /// First byte of the slot.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Size of the slot. Units: bytes.
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        usize::from(self.room_bytes)
    }
}
