//! Chunk pool: the empty chunks that no worker has in hand.
//!
//! Place on the path: beside it. Workers take and give chunks through their own [`ChunkCache`](crate::ChunkCache) and trade
//! surplus here, a block of 64 at a time; only an emptied cache returns single ones. Lock-free; nothing is allocated after
//! construction. What is not here: chunks in frames and chunks lent to the kernel.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;

use crate::chunk::Chunk;
use crate::umem::Umem;

/// Chunks that change hands at once.
pub const BLOCK: usize = 64;

/// Chunks on their way between a cache and the pool.
pub(crate) type Block = ArrayVec<Chunk, BLOCK>;

/// The store of empty chunks, shared by all workers.
#[derive(Debug)]
pub struct ChunkPool {
    umem: &'static Umem,
    /// Full blocks only, so that their count tells their chunks' count.
    blocks: ArrayQueue<Block>,
    /// What did not make a full block.
    singles: ArrayQueue<Chunk>,
    /// Chunks that the kernel did not let go of.
    withheld: AtomicU32,
}

impl ChunkPool {
    /// The pool of `umem` that holds `chunks`: all that it has.
    pub(crate) fn new(umem: &'static Umem, chunks: impl Iterator<Item = Chunk>) -> Self {
        let count = umem.chunk_count() as usize;
        let blocks = ArrayQueue::new((count / BLOCK).max(1));
        let pool = Self { umem, blocks, singles: ArrayQueue::new(count), withheld: AtomicU32::new(0) };
        let mut block = Block::new();
        for chunk in chunks {
            block.push(chunk);
            if block.is_full() {
                pool.give_block(core::mem::take(&mut block));
            }
        }
        pool.give_block(block);
        pool
    }

    /// Chunks in the pool now; exact when no worker is trading. Units: chunks.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.blocks.len() * BLOCK + self.singles.len()
    }

    /// Chunks that there are at all, wherever they may be. Units: chunks.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        self.umem.chunk_count() as usize
    }

    /// Chunks that are never used again, because the kernel did not let go of them when their queue was closed. Units: chunks.
    #[must_use]
    pub fn withheld_count(&self) -> usize {
        self.withheld.load(Relaxed) as usize
    }

    /// Counts chunks as withheld.
    pub(crate) fn withhold(&self, count: u32) {
        self.withheld.fetch_add(count, Relaxed);
    }

    /// The memory that the chunks lie in.
    #[must_use]
    pub fn umem(&self) -> &'static Umem {
        self.umem
    }

    /// Up to 64 chunks; empty when the pool is. Singles go first, so that they become part of a block again.
    pub(crate) fn take_block(&self) -> Block {
        let mut block = Block::new();
        while !block.is_full() {
            match self.singles.pop() {
                Some(chunk) => block.push(chunk),
                None => break,
            }
        }
        if block.is_empty() { self.blocks.pop().unwrap_or(block) } else { block }
    }

    /// Takes chunks in, as a block when it is a full one.
    ///
    /// # Panics
    ///
    /// When there are more chunks than the memory has, which no safe code can bring about.
    pub(crate) fn give_block(&self, mut block: Block) {
        if block.is_full() {
            match self.blocks.push(block) {
                Ok(()) => return,
                Err(refused) => block = refused,
            }
        }
        for chunk in block {
            self.give_one(chunk);
        }
    }

    /// Takes one chunk in.
    ///
    /// # Panics
    ///
    /// As `give_block`.
    pub(crate) fn give_one(&self, chunk: Chunk) {
        self.singles.push(chunk).expect("as many places as chunks exist");
    }

    /// Whether the chunk that begins at `base` is one of this pool's memory.
    #[inline]
    pub(crate) fn owns(&self, base: NonNull<u8>) -> bool {
        self.umem.index_of(base).is_some()
    }
}
