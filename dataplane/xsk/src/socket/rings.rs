//! The four rings of a queue and what may go in and out of them, over any ring memory.
//!
//! Place on the path: the middle of [`XskQueue`](crate::XskQueue). No system call is made here; `XskQueue` adds those, and tests
//! play the kernel at the other ends in plain memory.

use core::ops::ControlFlow;
use core::sync::atomic::{Ordering::SeqCst, fence};

use arrayvec::ArrayVec;

use crate::chunk_cache::ChunkCache;
use crate::frame::{Frame, FrameBatch, MAX_SEGMENTS};
use crate::lent::Lent;
use crate::ring::{Descriptor, Ends, RingMemory};
use crate::statistics::QueueCounts;
use crate::sys::RingMap;
use crate::tx_metadata::ChecksumRequest;

/// The four rings of one queue; `A` is the memory of address rings, `D` that of descriptor rings.
#[derive(Debug)]
pub(crate) struct Rings<A, D> {
    pub(crate) ends: Ends<A, D>,
    /// What happened on them.
    pub(crate) counts: QueueCounts,
    /// Segments that a transmitted frame may have.
    pub(crate) max_segments: usize,
    /// Frames that one `receive` takes at most.
    pub(crate) batch: u32,
    /// The entries up to the next end of a frame are of one that was discarded.
    skipping: bool,
    /// Where the completion ring stood before the last sleep; `None`: no frame was under way.
    completed_before_sleep: Option<u32>,
}

/// Which rings the kernel has to be told of once more before nobody looks at them for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overdue {
    pub(crate) tx: bool,
    pub(crate) fill: bool,
}

/// The rings of a real queue.
pub(crate) type MappedRings = Rings<RingMap<u64>, RingMap<Descriptor>>;

impl<A: RingMemory<u64>, D: RingMemory<Descriptor>> Rings<A, D> {
    /// The rings with these ends.
    pub(crate) fn new(ends: Ends<A, D>, max_segments: usize) -> Self {
        Self {
            ends,
            counts: QueueCounts::default(),
            max_segments,
            batch: u32::MAX,
            skipping: false,
            completed_before_sleep: None,
        }
    }

    /// Received frames into `out`, as many as wait and fit; how many. Chunks of what makes no frame go to `cache`.
    #[inline]
    pub(crate) fn receive(&mut self, lent: &mut Lent, cache: &mut ChunkCache, out: &mut FrameBatch) -> usize {
        if self.skipping {
            self.skip(lent, cache);
        }
        let wanted = to_count(out.remaining_capacity()).min(self.batch);
        let ready = self.ends.rx.available(wanted).min(wanted);
        let before = out.len();
        let mut left = ready;
        while left > 0 {
            let Self { ends, counts, .. } = self;
            left -= ends.rx.pop_while(left, |entry| {
                if entry.is_continued() {
                    return false;
                }
                match lent.received(entry) {
                    Some(frame) => out.push(frame),
                    None => counts.bad_entries += 1,
                }
                true
            });
            // It stopped at a frame of several segments, or because no more is there: what came since is for the next time.
            let is_chain = left > 0 && ends.rx.peek(0).is_some_and(|entry| entry.is_continued());
            let Some(entry) = (if is_chain { ends.rx.pop() } else { None }) else { break };
            left -= 1;
            match self.receive_chain(entry, lent, cache) {
                ControlFlow::Continue(frame) => out.extend(frame),
                ControlFlow::Break(()) => break,
            }
        }
        self.ends.rx.release();
        out.len() - before
    }

    /// Whether nothing came, nothing was completed, and all chunks are lent that can be, to a kernel that does not ask to be woken for them.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let Ends { fill, rx, completion, .. } = &self.ends;
        rx.is_empty() && completion.is_empty() && fill.is_full() && !fill.needs_wakeup()
    }

    /// What is left for a kernel that wants to be told, before a sleep. The TX ring also when the kernel has all of it and completed none since the last
    /// time, for a driver in zero-copy mode that does not come by itself; so much did `poll` on the socket.
    pub(crate) fn overdue(&mut self, lent: &Lent, zero_copy: bool, need_wakeup: bool) -> Overdue {
        // What was published is seen before its wish is read: nobody looks again until a frame comes.
        fence(SeqCst);
        let Ends { tx, fill, completion, .. } = &mut self.ends;
        let completed = (lent.held().tx != 0).then(|| completion.position());
        let is_stuck = zero_copy
            && completed.is_some()
            && completed == self.completed_before_sleep
            && completion.is_empty();
        self.completed_before_sleep = completed;
        let wants_tx = !need_wakeup || tx.needs_wakeup();
        Overdue {
            tx: wants_tx && (tx.unconsumed() != 0 || is_stuck),
            fill: need_wakeup && fill.needs_wakeup() && fill.unconsumed() != 0,
        }
    }

    /// The frame whose first entry has just been read and is not its last; none when it cannot be taken, and is discarded.
    ///
    /// The kernel shows whole frames only (Documentation/networking/af_xdp.rst, v6.6, "Multi-Buffer Support"). Should it not, the
    /// entries stay in the ring, their chunks lent, until it shows the end: then this breaks. A frame that fills the ring without an end
    /// would have nobody to end it, so it is discarded.
    #[cold]
    fn receive_chain(
        &mut self,
        first: Descriptor,
        lent: &mut Lent,
        cache: &mut ChunkCache,
    ) -> ControlFlow<(), Option<Frame>> {
        let mut entries = ArrayVec::<Descriptor, MAX_SEGMENTS>::from_iter([first]);
        let mut further = 0;
        let is_whole = loop {
            let Some(entry) = self.ends.rx.peek(further) else {
                if further + 1 == self.ends.rx.size() {
                    break false;
                }
                self.ends.rx.unread();
                return ControlFlow::Break(());
            };
            further += 1;
            match entries.try_push(entry) {
                Ok(()) if entry.is_continued() => {}
                Ok(()) => break true,
                Err(_) => break false,
            }
        };
        if !is_whole {
            self.counts.rx_discarded += 1;
            self.take_back(first, lent, cache);
            self.skip(lent, cache);
            return ControlFlow::Continue(None);
        }
        for _ in 0..further {
            self.ends.rx.pop();
        }
        let frame = self.join(&entries, lent, cache);
        self.counts.rx_chained += u64::from(frame.is_some());
        self.counts.rx_discarded += u64::from(frame.is_none());
        ControlFlow::Continue(frame)
    }

    /// One frame of these entries; `None`, and their chunks are in `cache`, when one of them names what the kernel was not lent, or they
    /// cannot be a frame.
    fn join(&mut self, entries: &[Descriptor], lent: &mut Lent, cache: &mut ChunkCache) -> Option<Frame> {
        let mut joined: Option<Frame> = None;
        let mut is_whole = true;
        for entry in entries.iter().rev() {
            match lent.received(*entry) {
                None => {
                    self.counts.bad_entries += 1;
                    is_whole = false;
                }
                Some(empty) if empty.is_empty() => cache.give_frame(empty),
                Some(segment) => match joined.take() {
                    None => joined = Some(segment),
                    Some(rest) => match segment.followed_by(rest) {
                        Ok(frame) => joined = Some(frame),
                        Err((segment, rest)) => {
                            cache.give_frame(segment);
                            cache.give_frame(rest);
                            is_whole = false;
                        }
                    },
                },
            }
        }
        if is_whole {
            return joined;
        }
        if let Some(part) = joined {
            cache.give_frame(part);
        }
        None
    }

    /// Reads entries up to the end of the frame that they are of, and takes their chunks back; goes on next time when the end is not there.
    #[cold]
    fn skip(&mut self, lent: &mut Lent, cache: &mut ChunkCache) {
        self.skipping = true;
        while self.skipping
            && let Some(entry) = self.ends.rx.pop()
        {
            self.take_back(entry, lent, cache);
            self.skipping = entry.is_continued();
        }
        self.ends.rx.release();
    }

    /// Takes back the chunk of an entry of a discarded frame.
    fn take_back(&mut self, entry: Descriptor, lent: &mut Lent, cache: &mut ChunkCache) {
        match lent.received(entry) {
            Some(segment) => cache.give_frame(segment),
            None => self.counts.bad_entries += 1,
        }
    }

    /// Writes the TX entries for `frame`, not yet visible to the kernel: all of them or none.
    #[inline]
    pub(crate) fn transmit(&mut self, lent: &mut Lent, frame: Frame) -> Result<(), Frame> {
        self.transmit_with(0, lent, frame)
    }

    /// [`transmit`](Self::transmit) for a frame that asks for its checksum.
    #[inline]
    pub(crate) fn transmit_requesting(
        &mut self,
        request: ChecksumRequest,
        lent: &mut Lent,
        mut frame: Frame,
    ) -> Result<(), Frame> {
        match request.write(&mut frame) {
            Some(()) => self.transmit_with(Descriptor::METADATA, lent, frame),
            None => Err(frame),
        }
    }

    /// Writes the TX entries, the first of them with `options`.
    #[inline]
    fn transmit_with(&mut self, options: u32, lent: &mut Lent, frame: Frame) -> Result<(), Frame> {
        if !frame.is_linear() {
            return self.transmit_chain(options, lent, frame);
        }
        if self.ends.tx.free_count(1) == 0 {
            return Err(frame);
        }
        let entry = lent.for_tx(frame)?;
        let pushed = self.ends.tx.push(Descriptor { options, ..entry });
        debug_assert!(pushed.is_ok(), "room was seen above");
        Ok(())
    }

    /// [`transmit`](Self::transmit) for the next `count` frames. How many were taken, and the bytes of these; the frame that was not, if any.
    #[inline]
    pub(crate) fn transmit_row(
        &mut self,
        lent: &mut Lent,
        frames: &mut impl Iterator<Item = Frame>,
        count: usize,
    ) -> (usize, u64, Option<Frame>) {
        let (mut left, mut bytes) = (to_count(count), 0);
        loop {
            let mut other = None;
            left -= self.ends.tx.push_while(left, || {
                let frame = frames.next()?;
                let frame_bytes = frame.len() as u64;
                match lent.for_tx(frame) {
                    Ok(entry) => {
                        bytes += frame_bytes;
                        Some(entry)
                    }
                    Err(frame) => {
                        other = Some(frame);
                        None
                    }
                }
            });
            // The ring is full, or the frame is of several segments or cannot be sent at all.
            let taken = |left: u32| count - left as usize;
            let next = if left > 0 { other.or_else(|| frames.next()) } else { None };
            let Some(frame) = next else { return (taken(left), bytes, None) };
            let frame_bytes = frame.len() as u64;
            match self.transmit(lent, frame) {
                Ok(()) => (left, bytes) = (left - 1, bytes + frame_bytes),
                Err(frame) => return (taken(left), bytes, Some(frame)),
            }
        }
    }

    /// `transmit_with` for a frame of several segments.
    #[cold]
    fn transmit_chain(&mut self, options: u32, lent: &mut Lent, frame: Frame) -> Result<(), Frame> {
        let count = frame.segment_count();
        let wanted = to_count(count);
        if count > self.max_segments || self.ends.tx.free_count(wanted) < wanted {
            return Err(frame);
        }
        let mut entries = lent.for_tx_chain(frame)?;
        if let Some(first) = entries.first_mut() {
            first.entry.options |= options;
        }
        for place in entries {
            let pushed = self.ends.tx.push(place.entry);
            debug_assert!(pushed.is_ok(), "room was seen above");
        }
        self.counts.tx_chained += 1;
        Ok(())
    }

    /// Whether `count` more frames can be written.
    #[inline]
    pub(crate) fn has_tx_room(&mut self, count: usize) -> bool {
        let count = to_count(count);
        self.ends.tx.free_count(count) >= count
    }

    /// Chunks of completed transmissions into `cache`; how many.
    #[inline]
    pub(crate) fn reap(&mut self, lent: &mut Lent, cache: &mut ChunkCache) -> usize {
        let completion = &mut self.ends.completion;
        let ready = completion.available(completion.size());
        if ready == 0 {
            return 0;
        }
        // Once for all of them.
        assert!(lent.is_of(cache.pool()), "a chunk goes back to the memory it is from");
        let mut bad = 0;
        let read = completion.pop_while(ready, |entry| {
            match lent.completed(entry) {
                Some(chunk) => cache.give_own(chunk),
                None => bad += 1,
            }
            true
        });
        completion.release();
        self.counts.bad_entries += u64::from(bad);
        (read - bad) as usize
    }

    /// Lends empty chunks from `cache` until the fill ring is full or the cache empty, and publishes them; how many.
    #[inline]
    pub(crate) fn refill(&mut self, lent: &mut Lent, cache: &mut ChunkCache) -> usize {
        let fill = &mut self.ends.fill;
        let room = fill.free_count(fill.size());
        fill.push_while(room, || match lent.for_fill(cache.take()?) {
            Ok(entry) => Some(entry),
            Err(foreign) => {
                cache.give(foreign);
                None
            }
        });
        fill.publish() as usize
    }
}

/// A count of things in a batch.
#[inline]
fn to_count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "rings_tests.rs"]
mod tests;
