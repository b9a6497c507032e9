//! Lent chunks: which chunks one queue has lent to the kernel.
//!
//! A bit per chunk for each of the two ways out, the fill ring and the TX ring. Place on the path: where a chunk's ownership
//! crosses into the kernel and back. The bit is what makes coming back sound: an address from the kernel becomes a `Chunk` or
//! `Frame` only when its bit is set, and setting it consumed the one handle that there was. What is not here: the rings.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::chunk::Chunk;
use crate::chunk_pool::ChunkPool;
use crate::frame::{Frame, MAX_SEGMENTS};
use crate::ring::Descriptor;
use crate::sys::{Released, Tenure};
use crate::tx_metadata::TX_METADATA_BYTES;
use crate::umem::Umem;

/// How many chunks a queue has lent to the kernel. Units: chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Lent through the fill ring and not come back as received frames.
    pub fill: u32,
    /// Handed over for transmission and not completed.
    pub tx: u32,
}

impl Held {
    /// Both together. Units: chunks.
    #[must_use]
    pub fn total(self) -> u32 {
        self.fill + self.tx
    }
}

/// A set of chunk indices.
#[derive(Debug)]
struct Indices {
    words: Box<[u64]>,
    count: u32,
}

impl Indices {
    fn new(chunk_count: u32) -> Self {
        Self { words: vec![0; chunk_count.div_ceil(64) as usize].into_boxed_slice(), count: 0 }
    }

    #[inline]
    fn insert(&mut self, index: u32) {
        let word = &mut self.words[(index / 64) as usize];
        debug_assert!(*word >> (index % 64) & 1 == 0, "a chunk is lent once");
        *word |= 1 << (index % 64);
        self.count += 1;
    }

    /// Takes `index` out; tells whether it was in.
    #[inline]
    fn remove(&mut self, index: u32) -> bool {
        let Some(word) = self.words.get_mut((index / 64) as usize) else { return false };
        let bit = 1 << (index % 64);
        if *word & bit == 0 {
            return false;
        }
        *word &= !bit;
        self.count -= 1;
        true
    }

    /// Takes the lowest index out.
    fn pop(&mut self) -> Option<u32> {
        let (place, word) = (0u32..).zip(self.words.iter()).find(|(_, word)| **word != 0)?;
        let index = place * 64 + word.trailing_zeros();
        self.remove(index);
        Some(index)
    }
}

/// Where a segment lies: the index of its chunk, and its entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    index: u32,
    pub(crate) entry: Descriptor,
}

impl Place {
    fn with_options(self, options: u32) -> Self {
        Self { entry: Descriptor { options, ..self.entry }, ..self }
    }
}

/// The entries of one frame.
pub(crate) type ChainEntries = ArrayVec<Place, MAX_SEGMENTS>;

/// What one queue has lent to the kernel.
#[derive(Debug)]
pub(crate) struct Lent {
    tenure: Tenure,
    umem: &'static Umem,
    pool: Arc<ChunkPool>,
    fill: Indices,
    tx: Indices,
}

// Invariant: a set bit means that no `Chunk` or `Frame` of that slot exists: `for_fill` and `for_tx`, the only setters, consume it,
// and whatever clears a bit makes exactly one again.

impl Lent {
    /// Nothing lent yet in this opening of a queue, of the memory that `pool` keeps.
    pub(crate) fn new(pool: Arc<ChunkPool>, tenure: Tenure) -> Self {
        let umem = pool.umem();
        let count = umem.chunk_count();
        Self { tenure, umem, pool, fill: Indices::new(count), tx: Indices::new(count) }
    }

    /// The pool that has the rest of the chunks.
    pub(crate) fn pool(&self) -> &Arc<ChunkPool> {
        &self.pool
    }

    /// Whether its chunks are of the memory that `pool` keeps.
    #[inline]
    pub(crate) fn is_of(&self, pool: &ChunkPool) -> bool {
        core::ptr::eq(self.umem, pool.umem())
    }

    /// What is lent now.
    pub(crate) fn held(&self) -> Held {
        Held { fill: self.fill.count, tx: self.tx.count }
    }

    /// Lends an empty chunk; the fill ring's entry for it.
    ///
    /// # Errors
    ///
    /// Gives the chunk back when it lies in another memory.
    #[inline]
    pub(crate) fn for_fill(&mut self, chunk: Chunk) -> Result<u64, Chunk> {
        let Some(index) = self.umem.index_of(chunk.base()) else { return Err(chunk) };
        self.fill.insert(index);
        Ok(self.umem.ring_address(index, 0))
    }

    /// Lends a linear frame; the TX ring's entry for it.
    ///
    /// # Errors
    ///
    /// Gives the frame back when it has further segments, lies in another memory, is empty or has no room in front: the kernel would skip it and
    /// never complete it.
    #[inline]
    pub(crate) fn for_tx(&mut self, frame: Frame) -> Result<Descriptor, Frame> {
        let Some(segment) = self.place(&frame).filter(|_| frame.is_linear()) else { return Err(frame) };
        self.tx.insert(segment.index);
        Ok(segment.entry)
    }

    /// Lends a frame, segment by segment; the TX ring's entries for them, in order.
    ///
    /// # Errors
    ///
    /// Gives the frame back, with nothing lent, when one of its segments lies in another memory, is empty or has no room in front.
    pub(crate) fn for_tx_chain(&mut self, frame: Frame) -> Result<ChainEntries, Frame> {
        let continued = |segment: &Frame| if segment.is_linear() { 0 } else { Descriptor::CONTINUED };
        let places: Option<ChainEntries> = frame
            .chain()
            .map(|segment| Some(self.place(segment)?.with_options(continued(segment))))
            .collect();
        let Some(places) = places else { return Err(frame) };
        places.iter().for_each(|place| self.tx.insert(place.index));
        // The chunks are lent: their bits are what stands for them now.
        frame.into_chunks().for_each(drop);
        Ok(places)
    }

    /// Where a segment lies; `None` when it is empty, in another memory, or less than [`TX_METADATA_BYTES`] from the front of its chunk.
    #[inline]
    fn place(&self, segment: &Frame) -> Option<Place> {
        let (index, base) = self.umem.place_of(segment.base())?;
        let len @ 1.. = u32::try_from(segment.head_len()).ok()? else { return None };
        if segment.start() < TX_METADATA_BYTES {
            return None;
        }
        Some(Place {
            index,
            entry: Descriptor { ring_address: base + segment.start() as u64, len, options: 0 },
        })
    }

    /// The linear frame that an RX entry names, be it a whole one or a segment; `None` when it names a chunk that was not lent for it, or bytes outside of it (then the
    /// chunk stays lent).
    #[inline]
    pub(crate) fn received(&mut self, entry: Descriptor) -> Option<Frame> {
        let (index, start) = self.umem.locate(entry.ring_address)?;
        let len = entry.len as usize;
        if len > self.umem.chunk_bytes() - start || !self.fill.remove(index) {
            return None;
        }
        Frame::new(self.reclaimed(index), start, len).ok()
    }

    /// The chunk that a completion entry names; `None` when it was not lent for transmission.
    #[inline]
    pub(crate) fn completed(&mut self, ring_address: u64) -> Option<Chunk> {
        let (index, _) = self.umem.locate(ring_address)?;
        if !self.tx.remove(index) {
            return None;
        }
        Some(self.reclaimed(index))
    }

    /// Takes everything back and hands it to `give`; what there was.
    ///
    /// # Panics
    ///
    /// When the proof is about another opening of a queue.
    pub(crate) fn take_back(&mut self, proof: &Released, mut give: impl FnMut(Chunk)) -> Held {
        assert_eq!(proof.tenure(), self.tenure, "the proof is about this opening of this queue");
        let held = self.held();
        while let Some(index) = self.fill.pop().or_else(|| self.tx.pop()) {
            give(self.reclaimed(index));
        }
        held
    }

    /// Strikes everything off without taking it back, because the kernel may still use it; how many.
    pub(crate) fn forfeit(&mut self) -> Held {
        let held = self.held();
        self.fill = Indices::new(0);
        self.tx = Indices::new(0);
        held
    }

    /// The chunk whose bit has just been cleared.
    #[inline]
    fn reclaimed(&self, index: u32) -> Chunk {
        // SAFETY: the bit for `index` was set, so it came from `Umem::index_of` and is below the chunk count, and by the invariant
        // no `Chunk` or `Frame` of the slot exists. The kernel has let go of it: it returned the slot through the ring it lent it
        // by, or (in `take_back`) it released the queue as a whole, which `Released` proves for the opening compared there.
        unsafe { self.umem.chunk_unchecked(index) }
    }
}
