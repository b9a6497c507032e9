//! A port in memory: the engine on one side, a test or a bench on the other.
//!
//! ```text
//!            fill       empty chunks  ------>
//!  engine    rx         frames        <------   far side
//! (MemPort)  tx         frames        ------>   (MemWire)
//!            completed  chunks        <------
//! ```
//! As with an AF_XDP socket, every chunk that crosses is the engine's own: one lent for reception comes back as a
//! received frame, one sent comes back when the far side is done with it. So [`Port::held`] counts what the far side
//! has, and the engine's books can be checked. Frames cross by ownership, without allocation after construction; bytes
//! are copied where a NIC would write or read them.

use std::{
    collections::VecDeque,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use crossbeam::queue::ArrayQueue;
use xsk::{ChecksumRequest, Chunk, ChunkCache, Frame, FrameBatch, Held};

use super::{Port, fill_in};
use crate::{
    counters::{PerWorker, PortCounters},
    tables::PortId,
};

/// Offset in its chunk at which a received frame starts, as with AF_XDP without headroom of its own. Units: bytes.
pub const RX_START_BYTES: usize = 256;

/// What `expect` says where a ring takes in no more chunks than crossed in the other direction.
const ROOM: &str = "a ring has a place for every chunk that is under way";

/// The four rings between both sides, of `ring_chunks` places each.
#[derive(Debug)]
struct Rings {
    /// Chunks that one frame may stand in.
    max_segments: usize,
    /// Bytes of a frame that the far side puts into one chunk.
    rx_room_bytes: usize,
    fill: ArrayQueue<Chunk>,
    rx: ArrayQueue<Frame>,
    tx: ArrayQueue<Sent>,
    /// Whether a flush shows nothing: as a kernel whose buffers are full.
    holds_up: AtomicBool,
    /// How often the engine was about to sleep: [`MemWire::sleeps`].
    sleeps: AtomicU32,
    /// Whether frames that arrived are not given out.
    withholds: AtomicBool,
    completed: ArrayQueue<Chunk>,
}

/// A frame on its way to the far side.
#[derive(Debug)]
struct Sent {
    frame: Frame,
    /// What the far side has to fill in.
    request: Option<ChecksumRequest>,
}

/// The engine's side.
#[derive(Debug)]
pub struct MemPort {
    id: PortId,
    rings: Arc<Rings>,
    ring_chunks: u32,
    held: Held,
    /// Queued, and not shown to the far side.
    unsent: VecDeque<Sent>,
    counters: PerWorker<PortCounters>,
}

/// The far side: wire and peer in one.
#[derive(Clone, Debug)]
pub struct MemWire {
    rings: Arc<Rings>,
}

/// A port and its far side. Up to `ring_chunks` chunks are lent for reception, from `cache` to begin with, and up to
/// `ring_chunks` of frames wait for the far side. A frame stands in one chunk.
///
/// # Panics
/// When `ring_chunks` is 0.
#[must_use]
pub fn mem_port(id: PortId, ring_chunks: u32, cache: &mut ChunkCache) -> (MemPort, MemWire) {
    multi_buffer_port(id, ring_chunks, 1, cache)
}

/// As [`mem_port`], but a frame may stand in up to `max_segments` chunks.
///
/// # Panics
/// As [`mem_port`].
#[must_use]
pub fn multi_buffer_port(
    id: PortId,
    ring_chunks: u32,
    max_segments: usize,
    cache: &mut ChunkCache,
) -> (MemPort, MemWire) {
    let places = ring_chunks as usize;
    let rings = Arc::new(Rings {
        max_segments,
        rx_room_bytes: cache.pool().umem().chunk_bytes() - RX_START_BYTES,
        fill: ArrayQueue::new(places),
        rx: ArrayQueue::new(places),
        tx: ArrayQueue::new(places),
        holds_up: AtomicBool::new(false),
        sleeps: AtomicU32::new(0),
        withholds: AtomicBool::new(false),
        completed: ArrayQueue::new(places),
    });
    let wire = MemWire { rings: Arc::clone(&rings) };
    let mut port = MemPort {
        id,
        rings,
        ring_chunks,
        held: Held::default(),
        unsent: VecDeque::with_capacity(places),
        counters: PerWorker::new(1),
    };
    port.refill(cache);
    (port, wire)
}

impl MemWire {
    /// How often the engine was about to sleep, and made the far side look at its rings before.
    #[must_use]
    pub fn sleeps(&self) -> u32 {
        self.rings.sleeps.load(Relaxed)
    }

    /// Leaves frames that arrive in the ring, as if the last of their segments had not been shown; or gives them out again.
    pub fn withhold(&self, withholds: bool) {
        self.rings.withholds.store(withholds, Relaxed);
    }

    /// Lets bytes arrive at the engine. Returns whether a chunk was lent for them and has room for them; more chunks, each filled before
    /// the next, where the port may have them.
    #[must_use]
    pub fn send(&self, bytes: &[u8]) -> bool {
        if bytes.len() <= self.rings.rx_room_bytes || self.rings.max_segments == 1 {
            return self.send_at(RX_START_BYTES, bytes);
        }
        self.send_segments(bytes.chunks(self.rings.rx_room_bytes))
    }

    /// Lets bytes arrive that are cut into these segments, a chunk for each. Returns whether there were the chunks, and not too many
    /// segments, each with at least one byte.
    ///
    /// # Panics
    /// Never: the rings have as many places as there are chunks lent.
    #[must_use]
    pub fn send_segments<'b>(&self, segments: impl DoubleEndedIterator<Item = &'b [u8]>) -> bool {
        match self.chain(segments) {
            Ok(frame) => self.rings.rx.push(frame).map(|()| true).expect(ROOM),
            Err(parts) => {
                for chunk in parts.into_iter().flat_map(Frame::into_chunks) {
                    self.rings.fill.push(chunk).expect(ROOM);
                }
                false
            }
        }
    }

    /// One frame of these segments.
    ///
    /// # Errors
    /// What could not be joined.
    fn chain<'b>(&self, segments: impl DoubleEndedIterator<Item = &'b [u8]>) -> Result<Frame, Vec<Frame>> {
        let mut joined: Option<Frame> = None;
        for bytes in segments.rev() {
            let part = self.rings.fill.pop().map(|chunk| Frame::from_bytes(chunk, RX_START_BYTES, bytes));
            let segment = match part {
                Some(Ok(segment)) => segment,
                Some(Err(chunk)) => {
                    self.rings.fill.push(chunk).expect(ROOM);
                    return Err(joined.into_iter().collect());
                }
                None => return Err(joined.into_iter().collect()),
            };
            joined = Some(match joined {
                None => segment,
                Some(rest) => segment.followed_by(rest).map_err(|(segment, rest)| vec![segment, rest])?,
            });
        }
        match joined {
            Some(frame) if frame.segment_count() <= self.rings.max_segments => Ok(frame),
            other => Err(other.into_iter().collect()),
        }
    }

    /// Lets bytes arrive that start at another offset in their chunk. Units: bytes.
    ///
    /// # Panics
    /// Never: the rings have as many places as there are chunks lent.
    #[must_use]
    pub fn send_at(&self, start: usize, bytes: &[u8]) -> bool {
        let Some(chunk) = self.rings.fill.pop() else { return false };
        match Frame::from_bytes(chunk, start, bytes) {
            Ok(frame) => self.rings.rx.push(frame).map(|()| true).expect(ROOM),
            Err(chunk) => self.rings.fill.push(chunk).map(|()| false).expect(ROOM),
        }
    }

    /// Looks at the oldest frame the engine sent and completes its transmission; `None`: there is none. A frame of several segments is
    /// brought together in memory of the allocator.
    ///
    /// # Panics
    /// Never: the rings have as many places as frames can be under way.
    pub fn receive<R>(&self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.receive_asking(|bytes, _| look(bytes))
    }

    /// [`MemWire::receive`], also with what the frame asked for; as behind a NIC, it was filled in.
    ///
    /// # Panics
    /// As [`MemWire::receive`].
    pub fn receive_asking<R>(&self, look: impl FnOnce(&[u8], Option<ChecksumRequest>) -> R) -> Option<R> {
        let Sent { mut frame, request } = self.rings.tx.pop()?;
        if let Some(request) = request {
            fill_in(&mut frame, request);
        }
        let seen = match frame.linear() {
            Some(bytes) => look(bytes, request),
            None => look(&frame.segments().collect::<Vec<_>>().concat(), request),
        };
        for chunk in frame.into_chunks() {
            self.rings.completed.push(chunk).expect(ROOM);
        }
        Some(seen)
    }

    /// Completes the transmission of the oldest frame the engine sent, unseen. Returns whether there was one.
    ///
    /// # Panics
    /// As [`MemWire::receive`].
    #[must_use]
    pub fn discard(&self) -> bool {
        let Some(Sent { frame, .. }) = self.rings.tx.pop() else { return false };
        for chunk in frame.into_chunks() {
            self.rings.completed.push(chunk).expect(ROOM);
        }
        true
    }

    /// Takes nothing from the engine until told otherwise; what it sends meanwhile waits for a flush behind that.
    pub fn hold_up(&self, holds_up: bool) {
        self.rings.holds_up.store(holds_up, Relaxed);
    }

    /// Frames the engine sent and the far side did not look at yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rings.tx.len()
    }
}

impl MemPort {
    /// Counters of the port.
    #[must_use]
    pub fn counters(&self) -> &PerWorker<PortCounters> {
        &self.counters
    }

    /// Ends the port: every chunk goes to `cache`, frames nobody took included. Returns what the far side has in hand at
    /// this very moment, which is nothing unless it runs in another thread.
    pub fn close(mut self, cache: &mut ChunkCache) -> Held {
        self.reap(cache);
        while let Some(chunk) = self.rings.fill.pop() {
            self.held.fill -= 1;
            cache.give(chunk);
        }
        while let Some(frame) = self.rings.rx.pop() {
            self.held.fill -= chunks_of(&frame);
            cache.give_frame(frame);
        }
        while let Some(Sent { frame, .. }) = self.rings.tx.pop().or_else(|| self.unsent.pop_front()) {
            self.held.tx -= chunks_of(&frame);
            cache.give_frame(frame);
        }
        self.held
    }

    /// Takes back chunks the far side is done with.
    #[inline]
    fn reap(&mut self, cache: &mut ChunkCache) {
        while let Some(chunk) = self.rings.completed.pop() {
            self.held.tx -= 1;
            cache.give(chunk);
        }
    }

    /// Gives a frame to the far side.
    #[inline]
    fn queue(&mut self, sent: Sent) -> Result<(), Frame> {
        let count = chunks_of(&sent.frame);
        if count > self.ring_chunks - self.held.tx || sent.frame.segment_count() > self.rings.max_segments {
            return Err(sent.frame);
        }
        self.unsent.push_back(sent);
        self.held.tx += count;
        Ok(())
    }

    /// Lends chunks for reception up to the size of the ring.
    #[inline]
    fn refill(&mut self, cache: &mut ChunkCache) {
        while self.held.fill < self.ring_chunks
            && let Some(chunk) = cache.take()
        {
            self.held.fill += 1;
            self.rings.fill.push(chunk).expect(ROOM);
        }
    }
}

impl Port for MemPort {
    fn id(&self) -> PortId {
        self.id
    }

    #[inline]
    fn receive(&mut self, _: &mut ChunkCache, batch: &mut FrameBatch) -> usize {
        if self.rings.withholds.load(Relaxed) {
            return 0;
        }
        let before = batch.len();
        while !batch.is_full() {
            let Some(frame) = self.rings.rx.pop() else { break };
            self.held.fill -= chunks_of(&frame);
            batch.push(frame);
        }
        batch.len() - before
    }

    #[inline]
    fn transmit(&mut self, frame: Frame) -> Result<(), Frame> {
        self.queue(Sent { frame, request: None })
    }

    #[inline]
    fn transmit_requesting(&mut self, frame: Frame, request: ChecksumRequest) -> Result<(), Frame> {
        self.queue(Sent { frame, request: Some(request) })
    }

    fn max_segments(&self) -> usize {
        self.rings.max_segments
    }

    fn has_room(&mut self, count: usize) -> bool {
        (self.ring_chunks - self.held.tx) as usize >= count
    }

    #[inline]
    fn is_quiet(&self) -> bool {
        self.rings.rx.is_empty() && self.rings.completed.is_empty() && self.held.fill == self.ring_chunks
    }

    fn flush(&mut self) -> bool {
        if !self.rings.holds_up.load(Relaxed) {
            for sent in self.unsent.drain(..) {
                self.rings.tx.push(sent).map_err(|_| ()).expect(ROOM);
            }
        }
        false
    }

    #[inline]
    fn reclaim(&mut self, cache: &mut ChunkCache) {
        self.reap(cache);
        self.refill(cache);
    }

    /// Nothing has to be woken: it is counted.
    fn wake_before_sleep(&mut self) {
        self.rings.sleeps.fetch_add(1, Relaxed);
    }

    fn has_received(&self) -> bool {
        !self.rings.rx.is_empty()
    }

    fn wait_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn held(&self) -> Held {
        self.held
    }

    fn kicks(&self) -> u64 {
        0
    }

    fn note_partial_checksum(&self) {
        if let Some(counters) = self.counters.of(0) {
            counters.partial_checksums.add(1);
        }
    }
}

/// Chunks that a frame stands in.
#[inline]
fn chunks_of(frame: &Frame) -> u32 {
    u32::try_from(frame.segment_count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xsk::{Umem, UmemConfig};

    #[test]
    fn chunks_on_the_far_side_are_counted_and_come_back() {
        let config = UmemConfig { chunk_count: 64, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        let mut cache = ChunkCache::new(pool, 128);
        let (mut port, wire) = mem_port(PortId(0), 2, &mut cache);
        assert_eq!(port.held(), Held { fill: 2, tx: 0 });
        assert!(!wire.send(&[0; 2049]), "larger than a chunk");
        assert!(wire.send(&[7; 60]) && wire.send(&[8; 60]));
        assert!(!wire.send(&[9; 60]), "no chunk is lent any more");

        let mut batch = FrameBatch::new();
        assert_eq!(port.receive(&mut cache, &mut batch), 2);
        assert_eq!(port.held(), Held { fill: 0, tx: 0 });
        for frame in batch.drain(..) {
            port.transmit(frame).unwrap();
        }
        assert_eq!(port.held(), Held { fill: 0, tx: 2 });
        assert_eq!(wire.waiting(), 0, "not flushed");
        wire.hold_up(true);
        port.flush();
        assert_eq!(wire.waiting(), 0, "held up");
        wire.hold_up(false);
        port.flush();
        assert_eq!(wire.receive(<[u8]>::to_vec), Some(vec![7; 60]));
        assert_eq!((port.held().tx, wire.waiting()), (2, 1), "not taken back yet");
        port.reclaim(&mut cache);
        assert_eq!(port.held(), Held { fill: 2, tx: 1 });
        assert_eq!(port.close(&mut cache), Held::default());
        assert_eq!(cache.len() + cache.pool().free_count(), 64);
    }

    #[test]
    fn a_frame_of_several_chunks_crosses_whole_or_not_at_all() {
        let config = UmemConfig { chunk_count: 64, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        let mut cache = ChunkCache::new(pool, 128);
        let (mut port, wire) = multi_buffer_port(PortId(0), 4, 3, &mut cache);
        let long: Vec<u8> = (0..=250).cycle().take(5000).collect();
        assert!(!wire.send(&[1; 3 * 1792 + 1]), "four chunks");
        assert!(wire.send(&long));
        assert!(!wire.send(&long), "one chunk is left");
        assert!(wire.send(&[7; 60]), "and is still there");
        let mut batch = FrameBatch::new();
        assert_eq!((port.receive(&mut cache, &mut batch), port.held()), (2, Held::default()));
        let last = batch.pop().unwrap();
        let first = batch.pop().unwrap();
        assert_eq!(first.segments().map(<[u8]>::len).collect::<Vec<_>>(), [1792, 1792, 1416]);
        port.transmit(first).unwrap();
        port.transmit(last).unwrap();
        assert_eq!(port.held().tx, 4);
        port.reclaim(&mut cache);
        assert!(wire.send(&long));
        port.receive(&mut cache, &mut batch);
        let refused = port.transmit(batch.pop().unwrap()).unwrap_err();
        assert_eq!((refused.len(), port.held().tx, port.max_segments()), (5000, 4, 3));
        cache.give_frame(refused);
        port.flush();
        assert_eq!(wire.receive(<[u8]>::to_vec), Some(long));
        assert_eq!(port.close(&mut cache), Held { fill: 0, tx: 0 });
        assert_eq!(cache.len() + cache.pool().free_count(), 64);
    }
}
