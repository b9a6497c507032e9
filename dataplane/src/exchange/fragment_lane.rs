//! Fragments on their way to the worker that puts their packets together, with a share of the room for each tunnel.
//!
//! A tunnel may have as many chunks wait as there are free ones. So one that sends more than the owner takes fills half of the lane,
//! two of them a third each, and whoever comes then still finds room: a flood costs the tunnel it comes from, not the others.
//!
//! Room is counted in chunks: it bounds what waits here, whatever the length of the fragments. Counts are of the moment; givers who
//! count at the same time may refuse each other a fragment, none ever exceeds the room.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam::queue::ArrayQueue;
use xsk::{ChunkCache, Frame};

/// Chunks of fragments that wait for one worker at most.
pub const LANE_CHUNKS: usize = 512;

/// What waits for one worker.
#[derive(Debug)]
pub(super) struct FragmentLane {
    frames: ArrayQueue<(usize, Frame)>,
    /// Chunks that wait.
    waiting: AtomicUsize,
    /// The same by group of tunnels.
    waiting_of: Box<[AtomicUsize]>,
}

impl FragmentLane {
    pub(super) fn new(groups: usize) -> Self {
        Self {
            frames: ArrayQueue::new(LANE_CHUNKS),
            waiting: AtomicUsize::new(0),
            waiting_of: (0..groups).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds a fragment of a group's tunnel behind the others.
    ///
    /// # Errors
    /// Gives it back when the lane is full, or the group has its share.
    pub(super) fn push(&self, group: usize, frame: Frame) -> Result<(), Frame> {
        let chunks = frame.segment_count();
        if !self.reserve(group, chunks) {
            return Err(frame);
        }
        self.frames.push((group, frame)).map_err(|(_, frame)| {
            self.release(group, chunks);
            frame
        })
    }

    /// The oldest fragment.
    pub(super) fn pop(&self) -> Option<Frame> {
        let (group, frame) = self.frames.pop()?;
        self.release(group, frame.segment_count());
        Some(frame)
    }

    /// Gives everything that nobody took back to `cache`.
    pub(super) fn drain(&self, cache: &mut ChunkCache) {
        while let Some(frame) = self.pop() {
            cache.give_frame(frame);
        }
    }

    /// Takes room, if the group may have so much.
    fn reserve(&self, group: usize, chunks: usize) -> bool {
        let Some(of_group) = self.waiting_of.get(group) else { return false };
        let free = LANE_CHUNKS.saturating_sub(self.waiting.fetch_add(chunks, Relaxed));
        let own = of_group.fetch_add(chunks, Relaxed);
        let fits = own + chunks <= free;
        if !fits {
            self.release(group, chunks);
        }
        fits
    }

    fn release(&self, group: usize, chunks: usize) {
        self.waiting.fetch_sub(chunks, Relaxed);
        if let Some(of_group) = self.waiting_of.get(group) {
            of_group.fetch_sub(chunks, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use xsk::{Umem, UmemConfig};

    const GROUPS: usize = 4;

    fn lane_and_cache() -> (FragmentLane, ChunkCache) {
        let config =
            UmemConfig { chunk_count: 1024, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        (FragmentLane::new(GROUPS), ChunkCache::new(Arc::clone(&pool), 1024))
    }

    fn frame(cache: &mut ChunkCache, chunks: usize) -> Frame {
        let mut whole = Frame::from_bytes(cache.take().unwrap(), 256, &[0; 60]).unwrap();
        for _ in 1..chunks {
            let front = Frame::from_bytes(cache.take().unwrap(), 256, &[0; 60]).unwrap();
            whole = front.followed_by(whole).unwrap();
        }
        whole
    }

    /// Offers fragments until one is refused. Returns how many the lane took.
    fn fill(lane: &FragmentLane, cache: &mut ChunkCache, group: usize, chunks: usize) -> usize {
        (0..)
            .take_while(|_| {
                let offered = frame(cache, chunks);
                lane.push(group, offered).map_err(|refused| cache.give_frame(refused)).is_ok()
            })
            .count()
    }

    #[test]
    fn whoever_floods_leaves_as_much_room_as_it_takes() {
        let (lane, mut cache) = lane_and_cache();
        assert_eq!(fill(&lane, &mut cache, 0, 1), 256, "half of it");
        assert_eq!(fill(&lane, &mut cache, 1, 1), 128, "half of the rest");
        assert_eq!(fill(&lane, &mut cache, 0, 1), 0);
        lane.push(2, frame(&mut cache, 1)).unwrap();
        // What the owner takes makes room for whoever has less than what is free.
        (0..100).for_each(|_| cache.give_frame(lane.pop().unwrap()));
        assert_eq!((fill(&lane, &mut cache, 1, 1), fill(&lane, &mut cache, 0, 1)), (50, 11));
        lane.drain(&mut cache);
        assert!(lane.is_empty());
        assert_eq!(fill(&lane, &mut cache, 3, 1), 256, "nothing is left of what was taken");
        lane.drain(&mut cache);
    }

    #[test]
    fn room_is_counted_in_chunks() {
        let (lane, mut cache) = lane_and_cache();
        assert_eq!(fill(&lane, &mut cache, 0, 4), 64);
        let most: usize = 256 + (1..GROUPS).map(|group| fill(&lane, &mut cache, group, 1)).sum::<usize>();
        assert!(most <= LANE_CHUNKS);
        assert_eq!(lane.waiting.load(Relaxed), most);
        lane.drain(&mut cache);
        assert_eq!(lane.waiting.load(Relaxed), 0);
        assert!(lane.waiting_of.iter().all(|of_group| of_group.load(Relaxed) == 0));
    }

    #[test]
    fn a_group_that_is_not_there_is_refused() {
        let (lane, mut cache) = lane_and_cache();
        let offered = frame(&mut cache, 1);
        cache.give_frame(lane.push(GROUPS, offered).unwrap_err());
    }
}
