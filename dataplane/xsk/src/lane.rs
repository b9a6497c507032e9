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
    /// Puts up to `count` frames in, as many as there is room for and `next` gives, not to be seen yet by the other end; how many. Without room `next`
    /// is not asked.
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
        // SAFETY: the ring gives out each entry once and in whole; all entries were made from a frame by `LaneSender::push_while`, which
        // gave that frame up, to be seen here at most once even if it did not return.
        self.0.pop().map(|parts| unsafe { Frame::from_parts(parts) })
    }

    /// Moves frames to the end of a batch, the oldest first, as many as there are and fit; how many.
    #[inline]
    pub fn pop_to(&mut self, batch: &mut FrameBatch) -> u32 {
        let room = u32::try_from(batch.remaining_capacity()).unwrap_or(0);
        self.0.pop_while(room, |parts| {
            // SAFETY: as in `pop`. The ring would give the entry out again if this panicked or returned `false`; `try_push` does not panic, and
            // `room` entries fit.
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
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::BATCH;
    use crate::{ChunkCache, ChunkPool, Umem, UmemConfig};
    use std::collections::VecDeque;

    const CHUNKS: u32 = 256;

    fn pool() -> Arc<ChunkPool> {
        let config =
            UmemConfig { chunk_count: CHUNKS, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        Umem::map(&config).unwrap().1
    }

    fn frame(cache: &mut ChunkCache, number: u32) -> Frame {
        Frame::from_bytes(cache.take().unwrap(), 256, &number.to_be_bytes()).unwrap()
    }

    /// Puts one in.
    fn push(sender: &mut LaneSender, frame: Frame) -> Result<(), Frame> {
        let mut frame = Some(frame);
        sender.push_while(1, || frame.take());
        frame.map_or(Ok(()), Err)
    }

    #[test]
    fn frames_can_be_seen_once_published_and_come_out_as_they_went_in() {
        let mut cache = ChunkCache::new(pool(), 64);
        let (mut sender, mut receiver) = lane(4);
        let long = frame(&mut cache, 2).followed_by(frame(&mut cache, 3)).unwrap();
        push(&mut sender, frame(&mut cache, 1)).unwrap();
        push(&mut sender, long).unwrap();
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
        (1..3).for_each(|number| push(&mut sender, frame(&mut cache, number)).unwrap());
        sender.publish();
        let taken = [receiver.pop().unwrap(), receiver.pop().unwrap()];
        let refused = push(&mut sender, frame(&mut cache, 3)).unwrap_err();
        assert_eq!(refused.linear(), Some(&[0, 0, 0, 3][..]));
        assert!(!sender.is_settled());
        assert_eq!(receiver.release(), 2);
        assert!(sender.is_settled());
        push(&mut sender, refused).unwrap();
        sender.publish();
        cache.give_frame(receiver.pop().unwrap());
        taken.into_iter().for_each(|frame| cache.give_frame(frame));
    }

    #[test]
    fn a_row_goes_as_far_as_there_is_room_and_a_batch_takes_what_fits() {
        let mut cache = ChunkCache::new(pool(), 64);
        let (mut sender, mut receiver) = lane(4);
        let mut row: VecDeque<_> = (0..6).map(|number| frame(&mut cache, number)).collect();
        assert_eq!((sender.push_while(3, || row.pop_front()), row.len()), (3, 3), "no more than asked for");
        assert_eq!(
            (sender.push_while(3, || row.pop_front()), row.len()),
            (1, 2),
            "no more than there is room for"
        );
        assert_eq!(sender.publish(), 4);
        let mut batch: FrameBatch = (0..BATCH - 3).map(|_| frame(&mut cache, 9)).collect();
        assert_eq!((receiver.pop_to(&mut batch), receiver.pop_to(&mut batch)), (3, 0));
        assert_eq!(batch[BATCH - 1].linear(), Some(&[0, 0, 0, 2][..]));
        row.extend(batch.drain(..));
        assert_eq!((receiver.pop_to(&mut batch), receiver.pop_to(&mut batch)), (1, 0));
        receiver.release();
        assert_eq!(sender.push_while(2, || None), 0, "none was given");
        assert!(receiver.is_empty() && sender.is_settled());
        row.into_iter().chain(batch).for_each(|frame| cache.give_frame(frame));
        cache.flush();
        assert_eq!(cache.pool().free_count(), CHUNKS as usize);
    }

    #[test]
    fn between_two_threads_every_frame_arrives_once_in_order_and_whole() {
        let count: u32 = if cfg!(miri) { 300 } else { 100_000 };
        let pool = pool();
        let (mut sender, mut receiver) = lane(64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut cache = ChunkCache::new(Arc::clone(&pool), 16);
                let (mut next, mut row) = (0, VecDeque::new());
                while next < count || !row.is_empty() {
                    while next < count
                        && row.len() < 7
                        && let Some(chunk) = cache.take()
                    {
                        row.push_back(Frame::from_bytes(chunk, 256, &next.to_be_bytes()).unwrap());
                        next += 1;
                    }
                    if sender.push_while(7, || row.pop_front()) == 0 {
                        std::thread::yield_now();
                    }
                    sender.publish();
                }
                cache.flush();
            });
            let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 16), FrameBatch::new());
            let mut expected: u32 = 0;
            while expected < count {
                if receiver.pop_to(&mut batch) == 0 {
                    receiver.release();
                    std::thread::yield_now();
                }
                for frame in batch.drain(..) {
                    assert_eq!(frame.linear(), Some(&expected.to_be_bytes()[..]));
                    cache.give_frame(frame);
                    expected += 1;
                }
            }
            cache.flush();
        });
        assert_eq!(pool.free_count(), CHUNKS as usize);
    }
}
