//! Lane: frames on their way from one thread to another, in order.
//!
//! ```text
//!  LaneSender --push--> |  |  |  |  | --pop--> LaneReceiver
//!             publish   a ring in plain memory   release
//! ```
//! A [ring](crate::ring) whose slots hold frames. What the sender pushed can be seen once it [publishes](LaneSender::publish); the places of what the receiver popped
//! are free once it [releases](LaneReceiver::release) them. Each does so once for many frames, and only then touches a cache line that the other one writes.
//!
//! Place on the path: between two workers. Not in it: sleep and wake.

use std::sync::Arc;

use crate::frame::{Frame, FrameBatch, Parts};
use crate::ring::{Consumer, HeapRing, Producer, pair};

/// The end that frames go in. Dropping it loses the chunks of frames that were not published.
#[derive(Debug)]
pub struct LaneSender(Producer<Parts, Arc<HeapRing<Parts>>>);

/// The end that frames come out of. Dropping it loses the chunks of frames that are in the lane.
#[derive(Debug)]
pub struct LaneReceiver(Consumer<Parts, Arc<HeapRing<Parts>>>);

/// A lane that holds so many frames; its two ends.
///
/// # Panics
///
/// When `frames` is not a power of two.
#[must_use]
pub fn lane(frames: u32) -> (LaneSender, LaneReceiver) {
    let (sender, receiver) = pair(frames, Parts::NONE, 0);
    (LaneSender(sender), LaneReceiver(receiver))
}

impl LaneSender {
    /// Puts a frame in, not to be seen yet by the other end.
    ///
    /// # Errors
    ///
    /// Gives it back when the lane is full.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.0.free_count(1) == 0 {
            return Err(frame);
        }
        // There is room for one.
        let _ = self.0.push(frame.into_parts());
        Ok(())
    }

    /// Puts up to `count` frames in, as many as there is room for and `next` gives; how many.
    #[inline]
    pub fn push_while(&mut self, count: u32, mut next: impl FnMut() -> Option<Frame>) -> u32 {
        self.0.push_while(count, || next().map(Frame::into_parts))
    }

    /// Asks the CPU for room for the next `frames`: it lies in the caches of the other end's CPU.
    #[inline]
    pub fn prefetch(&self, frames: u32) {
        self.0.prefetch(frames);
    }

    /// Lets the other end see what was pushed; tells how many frames that are.
    ///
    /// Bench of the hint: `scaling`, one tunnel of the cheapest frames, 44.2 -> 42.6 cycles.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        let count = self.0.publish();
        self.0.demote(count);
        count
    }

    /// Whether everything that was pushed was published, popped and released.
    #[must_use]
    #[inline]
    pub fn is_settled(&mut self) -> bool {
        self.0.unpublished() == 0 && self.0.unconsumed() == 0
    }
}

impl LaneReceiver {
    /// Takes the oldest frame out; its place stays taken until `release`.
    #[inline]
    pub fn pop(&mut self) -> Option<Frame> {
        // SAFETY: the ring gives out each entry once and in whole; all entries were made from a frame by `LaneSender::push`, which
        // gave that frame up.
        self.0.pop().map(|parts| unsafe { Frame::from_parts(parts) })
    }

    /// Moves frames to the end of a batch, the oldest first, as many as there are and fit; how many.
    #[inline]
    pub fn pop_to(&mut self, batch: &mut FrameBatch) -> u32 {
        let room = u32::try_from(batch.remaining_capacity()).unwrap_or(0);
        self.0.pop_while(room, |parts| {
            // SAFETY: as in `pop`. The ring gives an entry out again if this panics or returns `false`, which it does not: there is room.
            batch.try_push(unsafe { Frame::from_parts(parts) }).is_ok()
        })
    }

    /// Gives the places of all frames that were popped back to the other end; tells how many those are.
    #[inline]
    pub fn release(&mut self) -> u32 {
        self.0.release()
    }

    /// Whether nothing can be popped.
    #[must_use]
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        self.0.available(1) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChunkCache, ChunkPool, Umem, UmemConfig};

    const CHUNKS: u32 = 256;

    fn pool() -> Arc<ChunkPool> {
        let config =
            UmemConfig { chunk_count: CHUNKS, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        Umem::map(&config).unwrap().1
    }

    fn frame(cache: &mut ChunkCache, number: u32) -> Frame {
        Frame::from_bytes(cache.take().unwrap(), 256, &number.to_be_bytes()).unwrap()
    }

    #[test]
    fn frames_can_be_seen_once_published_and_come_out_as_they_went_in() {
        let mut cache = ChunkCache::new(pool(), 64);
        let (mut sender, mut receiver) = lane(4);
        let long = frame(&mut cache, 2).followed_by(frame(&mut cache, 3)).unwrap();
        sender.push(frame(&mut cache, 1)).unwrap();
        sender.push(long).unwrap();
        assert!(receiver.is_empty() && receiver.pop().is_none() && !sender.is_settled(), "not published");
        // Beyond its room, too.
        sender.prefetch(9);
        assert_eq!(sender.publish(), 2);
        assert!(!receiver.is_empty());
        let (first, second) = (receiver.pop().unwrap(), receiver.pop().unwrap());
        assert_eq!((first.linear(), first.headroom_bytes()), (Some(&[0, 0, 0, 1][..]), 256));
        let segments: Vec<_> = second.segments().collect();
        assert_eq!(segments, [[0, 0, 0, 2], [0, 0, 0, 3]]);
        assert!(receiver.pop().is_none());
        [first, second].into_iter().for_each(|frame| cache.give_frame(frame));
        cache.flush();
        assert_eq!(cache.pool().free_count(), CHUNKS as usize);
    }

    #[test]
    fn places_are_free_again_when_released_and_the_sender_is_settled_then() {
        let mut cache = ChunkCache::new(pool(), 64);
        let (mut sender, mut receiver) = lane(2);
        (1..3).for_each(|number| sender.push(frame(&mut cache, number)).unwrap());
        sender.publish();
        let taken = [receiver.pop().unwrap(), receiver.pop().unwrap()];
        let refused = sender.push(frame(&mut cache, 3)).unwrap_err();
        assert_eq!(refused.linear(), Some(&[0, 0, 0, 3][..]));
        assert!(!sender.is_settled());
        assert_eq!(receiver.release(), 2);
        assert!(sender.is_settled());
        sender.push(refused).unwrap();
        sender.publish();
        cache.give_frame(receiver.pop().unwrap());
        taken.into_iter().for_each(|frame| cache.give_frame(frame));
    }

    #[test]
    fn between_two_threads_every_frame_arrives_once_in_order_and_whole() {
        let count: u32 = if cfg!(miri) { 300 } else { 100_000 };
        let pool = pool();
        let (mut sender, mut receiver) = lane(64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut cache = ChunkCache::new(Arc::clone(&pool), 16);
                let mut next = 0;
                while next < count {
                    let Some(chunk) = cache.take() else { continue };
                    match sender.push(Frame::from_bytes(chunk, 256, &next.to_be_bytes()).unwrap()) {
                        Ok(()) => next += 1,
                        Err(frame) => {
                            cache.give_frame(frame);
                            std::thread::yield_now();
                        }
                    }
                    if next % 7 == 0 || next == count || sender.0.free_count(1) == 0 {
                        sender.publish();
                    }
                }
                cache.flush();
            });
            let mut cache = ChunkCache::new(Arc::clone(&pool), 16);
            let mut expected = 0;
            while expected < count {
                let Some(frame) = receiver.pop() else {
                    receiver.release();
                    std::thread::yield_now();
                    continue;
                };
                assert_eq!(frame.linear(), Some(&expected.to_be_bytes()[..]));
                cache.give_frame(frame);
                expected += 1;
            }
            cache.flush();
        });
        assert_eq!(pool.free_count(), CHUNKS as usize);
    }
}
