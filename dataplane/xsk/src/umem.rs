//! Umem: the one memory area that all chunks lie in.
//!
//! It is mapped once and never unmapped: the borrow is `'static`, so chunks and frames need no reference count. The kernel
//! gets to know it when the first socket registers it; until then it is plain memory, and tests and in-memory ports use it
//! without any privilege. Place on the path: underneath. What is not here: who has which chunk (`chunk_pool`, `lent`).

use core::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chunk::Chunk;
use crate::chunk_pool::ChunkPool;
use crate::socket::SharedSockets;
use crate::sys;

/// Bytes that the kernel keeps free in front of a received frame for XDP programs.
/// Source: `XDP_PACKET_HEADROOM`, linux/bpf.h, v6.12.
const XDP_PACKET_HEADROOM: u32 = 256;

/// Bytes of a received frame's room that must remain behind all headroom: a minimum Ethernet frame with two tags fits.
const MIN_RX_ROOM_BYTES: u32 = 128;

/// How the frame memory is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UmemConfig {
    /// Number of chunks. Range: 1..=2^20. Units: chunks.
    pub chunk_count: u32,
    /// Size of a chunk. Range: 2048 or 4096. Units: bytes.
    pub chunk_bytes: u32,
    /// Room in front of received frames on top of the kernel's own 256. Units: bytes.
    pub headroom_bytes: u32,
    /// Whether the memory stands on 2 MiB pages that must have been reserved (`vm.nr_hugepages`); otherwise on such as the kernel gives when asked.
    pub huge_pages: bool,
}

impl Default for UmemConfig {
    fn default() -> Self {
        Self { chunk_count: 16_384, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false }
    }
}

/// Why the frame memory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UmemError {
    /// The number of chunks is out of range.
    #[error("a UMEM of {0} chunks is impossible: 1 to 1048576 are")]
    ChunkCount(u32),
    /// The chunk size is not one that AF_XDP takes.
    #[error("a chunk of {0} bytes is impossible: 2048 and 4096 are")]
    ChunkBytes(u32),
    /// The headroom leaves no room for a frame.
    #[error(
        "a headroom of {headroom_bytes} bytes leaves no room for a frame in a chunk of {chunk_bytes} bytes"
    )]
    Headroom {
        /// What was asked for.
        headroom_bytes: u32,
        /// The size of a chunk.
        chunk_bytes: u32,
    },
    /// The kernel gave no memory.
    #[error("mapping {len} bytes of frame memory failed")]
    Map {
        /// Length that was asked for. Units: bytes.
        len: usize,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The kernel gave no huge pages.
    #[error(
        "mapping {len} bytes of frame memory on 2 MiB pages failed; reserve {pages} with sysctl vm.nr_hugepages, or set huge_pages = false"
    )]
    HugePages {
        /// Length that was asked for. Units: bytes.
        len: usize,
        /// Pages that it takes.
        pages: usize,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Every memory there is. Only so that a leak checker sees that they are kept on purpose.
static KEPT: Mutex<Vec<&'static Umem>> = Mutex::new(Vec::new());

/// The frame memory.
#[derive(Debug)]
pub struct Umem {
    base: NonNull<u8>,
    chunk_count: u32,
    chunk_shift: u32,
    headroom_bytes: u32,
    sockets: SharedSockets,
}

// SAFETY: the pointer is the address of a mapping that is never unmapped; through `&Umem` it is only computed with, never
// read or written: access goes through `Chunk` and `Frame`, each the only handle on its slot. The rest is `Sync` itself.
unsafe impl Sync for Umem {}
// SAFETY: as above; nothing in it is bound to the thread that mapped it.
unsafe impl Send for Umem {}

impl Umem {
    /// Maps the frame memory for the life of the process and returns it with the pool that holds all of its chunks.
    ///
    /// # Errors
    ///
    /// When the configuration is impossible or the kernel has not the memory.
    pub fn map(config: &UmemConfig) -> Result<(&'static Self, Arc<ChunkPool>), UmemError> {
        check(config)?;
        let len = config.chunk_count as usize * config.chunk_bytes as usize;
        let base =
            sys::map_frame_memory(len, config.huge_pages).map_err(|source| map_error(len, config, source))?;
        let umem: &'static Self = Box::leak(Box::new(Self {
            base,
            chunk_count: config.chunk_count,
            chunk_shift: config.chunk_bytes.trailing_zeros(),
            headroom_bytes: config.headroom_bytes,
            sockets: SharedSockets::default(),
        }));
        KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(umem);
        let chunks = (0..config.chunk_count).map(|index| {
            // SAFETY: `index < chunk_count`; the mapping is new, each index occurs once, so no other handle on the slot exists.
            unsafe { umem.chunk_unchecked(index) }
        });
        Ok((umem, Arc::new(ChunkPool::new(umem, chunks))))
    }

    /// Size of a chunk. Units: bytes.
    #[must_use]
    pub fn chunk_bytes(&self) -> usize {
        1 << self.chunk_shift
    }

    /// Number of chunks. Units: chunks.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// Offset from a chunk's first byte at which the kernel puts a received frame. Units: bytes.
    #[must_use]
    pub fn rx_start_bytes(&self) -> usize {
        (XDP_PACKET_HEADROOM + self.headroom_bytes) as usize
    }

    /// Longest frame that the kernel can put into a chunk. Units: bytes.
    #[must_use]
    pub fn rx_room_bytes(&self) -> usize {
        self.chunk_bytes() - self.rx_start_bytes()
    }

    /// Headroom on top of the kernel's own. Units: bytes.
    pub(crate) fn headroom_bytes(&self) -> u32 {
        self.headroom_bytes
    }

    /// First byte of the mapping.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length of the mapping. Units: bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        (self.chunk_count as usize) << self.chunk_shift
    }

    /// Sockets that a further one may share this memory's registration with.
    pub(crate) fn sockets(&self) -> &SharedSockets {
        &self.sockets
    }

    /// Index of the chunk that `base` lies in; `None` when that is not in this memory.
    #[inline]
    pub(crate) fn index_of(&self, base: NonNull<u8>) -> Option<u32> {
        self.place_of(base).map(|(index, _)| index)
    }

    /// Index of the chunk that the address lies in, and the address as rings have it (bytes from the mapping's first); `None` when it is
    /// not in this memory.
    #[inline]
    pub(crate) fn place_of(&self, address: NonNull<u8>) -> Option<(u32, u64)> {
        let offset = address.addr().get().checked_sub(self.base.addr().get())?;
        let index = u32::try_from(offset >> self.chunk_shift).ok()?;
        (index < self.chunk_count).then_some((index, offset as u64))
    }

    /// Ring address of the byte `start` into the chunk with this index. Units: bytes from the mapping's first.
    #[inline]
    pub(crate) fn ring_address(&self, index: u32, start: usize) -> u64 {
        (u64::from(index) << self.chunk_shift) + start as u64
    }

    /// The chunk index and the offset into that chunk of a ring address; `None` when it is outside the memory.
    #[inline]
    pub(crate) fn locate(&self, ring_address: u64) -> Option<(u32, usize)> {
        let index = u32::try_from(ring_address >> self.chunk_shift).ok()?;
        let offset = ring_address & ((1 << self.chunk_shift) - 1);
        (index < self.chunk_count).then_some((index, usize::try_from(offset).ok()?))
    }

    /// The chunk with this index.
    ///
    /// # Safety
    ///
    /// `index` is below the chunk count, and no other `Chunk`, `Frame` or kernel loan of the slot exists.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a chunk has 2048 or 4096 bytes")]
    pub(crate) unsafe fn chunk_unchecked(&self, index: u32) -> Chunk {
        // SAFETY: `index < chunk_count` (the caller's duty), so the offset is inside the mapping of `chunk_count` chunks.
        let base = unsafe { self.base.add((index as usize) << self.chunk_shift) };
        // SAFETY: the slot lies in the mapping, which starts zeroed, aligned to a page, and is never unmapped; slots are 2048 or 4096
        // bytes, so each is aligned, too; that no other handle exists is the caller's duty.
        unsafe { Chunk::from_base(base, self.chunk_bytes() as u16) }
    }
}

/// Refuses what cannot be mapped or registered.
fn check(config: &UmemConfig) -> Result<(), UmemError> {
    if !(1..=1 << 20).contains(&config.chunk_count) {
        return Err(UmemError::ChunkCount(config.chunk_count));
    }
    if !matches!(config.chunk_bytes, 2048 | 4096) {
        return Err(UmemError::ChunkBytes(config.chunk_bytes));
    }
    let spent = XDP_PACKET_HEADROOM + MIN_RX_ROOM_BYTES;
    if config.headroom_bytes > config.chunk_bytes - spent {
        return Err(UmemError::Headroom {
            headroom_bytes: config.headroom_bytes,
            chunk_bytes: config.chunk_bytes,
        });
    }
    Ok(())
}

/// The error for a refused mapping.
fn map_error(len: usize, config: &UmemConfig, source: std::io::Error) -> UmemError {
    if config.huge_pages {
        let pages = len.div_ceil(sys::HUGE_PAGE_BYTES);
        return UmemError::HugePages { len, pages, source };
    }
    UmemError::Map { len, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> UmemConfig {
        UmemConfig { chunk_count: 4, chunk_bytes: 2048, headroom_bytes: 64, huge_pages: false }
    }

    #[test]
    fn received_frames_start_behind_both_headrooms() {
        let (umem, _) = Umem::map(&config()).unwrap();
        assert_eq!(umem.rx_start_bytes(), 256 + 64);
        assert_eq!(umem.rx_room_bytes(), 2048 - 320);
    }

    #[test]
    fn impossible_layouts_are_refused_by_name() {
        let zero = UmemConfig { chunk_count: 0, ..config() };
        assert!(matches!(Umem::map(&zero), Err(UmemError::ChunkCount(0))));
        let odd = UmemConfig { chunk_bytes: 3000, ..config() };
        assert!(matches!(Umem::map(&odd), Err(UmemError::ChunkBytes(3000))));
        let full = UmemConfig { headroom_bytes: 1665, ..config() };
        assert!(matches!(
            Umem::map(&full),
            Err(UmemError::Headroom { headroom_bytes: 1665, chunk_bytes: 2048 })
        ));
        assert!(Umem::map(&UmemConfig { headroom_bytes: 1664, ..config() }).is_ok());
    }

    #[test]
    fn ring_addresses_and_chunk_indices_are_each_others_inverse() {
        let (umem, _) = Umem::map(&config()).unwrap();
        assert_eq!(umem.ring_address(3, 256), 3 * 2048 + 256);
        assert_eq!(umem.locate(3 * 2048 + 256), Some((3, 256)));
        assert_eq!(umem.locate(4 * 2048), None);
        assert_eq!(umem.locate(u64::MAX), None);
    }

    #[test]
    fn an_address_of_another_memory_has_no_index() {
        let (ours, _) = Umem::map(&config()).unwrap();
        let (theirs, _) = Umem::map(&config()).unwrap();
        assert_eq!(ours.index_of(ours.base()), Some(0));
        assert_eq!(ours.index_of(theirs.base()), None);
    }
}
