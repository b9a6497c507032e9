//! Chunk cache: one worker's own empty chunks.
//!
//! Place on the path: where a frame's chunk goes after its last use and where the fill ring's next one comes from. A plain
//! stack, so the chunk used last, still warm in the processor's cache, is used next. Touches the shared pool once per 64 chunks.

use std::sync::Arc;

use crate::chunk::Chunk;
use crate::chunk_pool::{BLOCK, Block, ChunkPool};
use crate::frame::Frame;

/// Empty chunks in the hands of one worker. Dropping it gives them all back to the pool.
#[derive(Debug)]
pub struct ChunkCache {
    pool: Arc<ChunkPool>,
    stack: Vec<Chunk>,
    capacity: usize,
    /// Chunks taken from the pool less those given to it; negative when more came in from elsewhere.
    net_from_pool: i64,
}

impl ChunkCache {
    /// An empty cache that keeps at most `capacity_chunks` (at least two blocks of 64) before it gives some to the pool.
    #[must_use]
    pub fn new(pool: Arc<ChunkPool>, capacity_chunks: usize) -> Self {
        let capacity = capacity_chunks.max(2 * BLOCK);
        Self { pool, stack: Vec::with_capacity(capacity), capacity, net_from_pool: 0 }
    }

    /// An empty chunk; `None` when neither the cache nor the pool has one.
    #[inline]
    pub fn take(&mut self) -> Option<Chunk> {
        match self.stack.pop() {
            Some(chunk) => Some(chunk),
            None => self.take_from_pool(),
        }
    }

    /// Takes a chunk back.
    ///
    /// # Panics
    ///
    /// When the chunk belongs to another [`Umem`](crate::Umem) than the cache's pool: counts would never agree again.
    #[inline]
    pub fn give(&mut self, chunk: Chunk) {
        assert!(self.pool.owns(chunk.base()), "a chunk goes back to the memory it is from");
        self.give_own(chunk);
    }

    /// [`give`](ChunkCache::give) for a chunk that is known to be of the pool's memory.
    #[inline]
    pub(crate) fn give_own(&mut self, chunk: Chunk) {
        debug_assert!(self.pool.owns(chunk.base()), "a chunk goes back to the memory it is from");
        if self.stack.len() == self.capacity {
            self.give_surplus();
        }
        self.stack.push(chunk);
    }

    /// Takes all chunks of a frame back.
    ///
    /// # Panics
    ///
    /// As [`give`](ChunkCache::give).
    #[inline]
    pub fn give_frame(&mut self, mut frame: Frame) {
        if let Some(rest) = frame.take_rest() {
            self.give_rest(rest);
        }
        for chunk in frame.into_chunks() {
            self.give(chunk);
        }
    }

    /// Takes the chunks of a frame's further segments back.
    #[cold]
    #[inline(never)]
    fn give_rest(&mut self, rest: Frame) {
        for chunk in rest.into_chunks() {
            self.give(chunk);
        }
    }

    /// Chunks in the cache. Units: chunks.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.stack.len()
    }

    /// Whether the cache has none; the pool may have some.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    /// Chunks taken from the pool less those given to it: what the holder answers for, besides chunks that came to it
    /// from elsewhere. Units: chunks. Negative when more came in from elsewhere than were taken.
    #[must_use]
    #[inline]
    pub fn net_from_pool(&self) -> i64 {
        self.net_from_pool
    }

    /// The pool that it trades with.
    #[must_use]
    pub fn pool(&self) -> &Arc<ChunkPool> {
        &self.pool
    }

    /// Gives everything back to the pool.
    pub fn flush(&mut self) {
        while !self.stack.is_empty() {
            self.give_surplus();
        }
    }

    /// Fetches a block and hands out one of it.
    #[cold]
    fn take_from_pool(&mut self) -> Option<Chunk> {
        let block = self.pool.take_block();
        self.net_from_pool += block.len() as i64;
        self.stack.extend(block);
        self.stack.pop()
    }

    /// Gives a block, or what is left of one, to the pool.
    #[cold]
    fn give_surplus(&mut self) {
        let keep = self.stack.len().saturating_sub(BLOCK);
        let block: Block = self.stack.drain(keep..).collect();
        self.net_from_pool -= block.len() as i64;
        self.pool.give_block(block);
    }
}

impl Drop for ChunkCache {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
