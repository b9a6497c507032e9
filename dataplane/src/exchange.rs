//! Exchange: frames that one worker gives to another.
//!
//! Place on the path: beside it. Only fragments of outer packets change worker: each is received where the NIC put it, and put
//! together where all fragments of its tunnel are. Whole packets never come here, and a worker on its own has no exchange at all.
//!
//! A tunnel's fragments belong to the worker that received the first of them ([`Exchange::owner`]). Most NICs give one worker all
//! fragments of a tunnel, and over IP protocol 115 its whole packets too: then nothing is handed over, and the tunnel's frames keep
//! their order.
//!
//! ```text
//!  worker 0 --+                  +--> worker 1, once per round: up to a batch
//!  worker 2 --+--> lane of 1 ----+
//!                  bounded, no lock; asleep? then its eventfd is written, once per round and sender
//! ```
//! A frame in a lane is nobody's: its chunk left the books of the worker that gave it and enters those of the worker that
//! takes it. [`WorkerCounters::handed`] less [`WorkerCounters::taken`], all workers together, is how many there are.
//!
//! [`WorkerCounters::handed`]: crate::counters::WorkerCounters::handed
//! [`WorkerCounters::taken`]: crate::counters::WorkerCounters::taken

mod fragment_lane;

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU8,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

use crossbeam::utils::CachePadded;
use xsk::{ChunkCache, ChunkPool, Frame};

use crate::waker::Waker;
use fragment_lane::FragmentLane;
pub use fragment_lane::LANE_CHUNKS;

/// Most workers that exchange frames: one bit each of a word. The configuration allows no more.
pub const MAX_WORKERS: usize = 64;

/// Groups of tunnels whose fragments belong to one worker each. A power of two.
const OWNED_GROUPS: usize = 1024;

/// Marks a group that no fragment came for yet.
const NOBODY: u8 = u8::MAX;

const _: () = assert!(MAX_WORKERS < NOBODY as usize && OWNED_GROUPS.is_power_of_two());

/// What waits for one worker.
#[derive(Debug)]
struct Lane {
    fragments: FragmentLane,
    /// Whether the worker sleeps, or is about to: who gives it a frame has to wake it.
    is_asleep: AtomicBool,
    waker: Waker,
}

/// All lanes. The last worker to go gives the chunks of frames that nobody took back to the pool.
#[derive(Debug)]
struct Lanes {
    lanes: Box<[CachePadded<Lane>]>,
    /// By group of tunnels: the worker that their fragments belong to.
    owners: Box<[AtomicU8]>,
    pool: Arc<ChunkPool>,
}

/// One worker's hold on the exchange.
#[derive(Debug)]
pub struct Exchange {
    worker: usize,
    lanes: Arc<Lanes>,
    /// Workers that got a frame since they were last woken, a bit each.
    to_wake: u64,
    /// Chunks of frames taken less those of frames given.
    net_chunks: i64,
}

/// Joins the workers with these wakers, in the order of their numbers. Frames are of the memory of `pool`.
///
/// A single worker gets no exchange, and more than [`MAX_WORKERS`] do not either.
#[must_use]
pub fn exchange(wakers: &[Waker], pool: &Arc<ChunkPool>) -> Vec<Option<Exchange>> {
    if !(2..=MAX_WORKERS).contains(&wakers.len()) {
        return wakers.iter().map(|_| None).collect();
    }
    let lane = |waker: &Waker| {
        CachePadded::new(Lane {
            fragments: FragmentLane::new(OWNED_GROUPS),
            is_asleep: AtomicBool::new(false),
            waker: waker.clone(),
        })
    };
    let lanes = Arc::new(Lanes {
        lanes: wakers.iter().map(lane).collect(),
        owners: (0..OWNED_GROUPS).map(|_| AtomicU8::new(NOBODY)).collect(),
        pool: Arc::clone(pool),
    });
    let end = |worker| Exchange { worker, lanes: Arc::clone(&lanes), to_wake: 0, net_chunks: 0 };
    (0..wakers.len()).map(|worker| Some(end(worker))).collect()
}

/// The group that a tunnel with this hash is of.
fn group_of(tunnel_hash: u64) -> usize {
    // The upper half: a product mixes it best.
    usize::try_from(tunnel_hash >> 32).unwrap_or(0) % OWNED_GROUPS
}

impl Exchange {
    /// The worker that the fragments of a tunnel belong to, by the tunnel's hash: whoever asks first, and for good.
    #[must_use]
    #[inline]
    pub fn owner(&self, tunnel_hash: u64) -> usize {
        let Some(owner) = self.lanes.owners.get(group_of(tunnel_hash)) else { return self.worker };
        match owner.load(Relaxed) {
            NOBODY => self.claim(owner),
            worker => usize::from(worker),
        }
    }

    /// Makes this worker the owner, unless another one just became it.
    #[cold]
    fn claim(&self, owner: &AtomicU8) -> usize {
        let own = u8::try_from(self.worker).unwrap_or(NOBODY);
        owner.compare_exchange(NOBODY, own, Relaxed, Relaxed).map_or_else(usize::from, |_| self.worker)
    }

    /// The worker whose end this is.
    #[must_use]
    #[inline]
    pub const fn worker(&self) -> usize {
        self.worker
    }

    /// Gives a fragment of a tunnel to another worker, by the tunnel's hash; [`Exchange::wake`] has to follow.
    ///
    /// # Errors
    /// Gives the frame back when the lane has no room for that tunnel or there is no such worker.
    pub fn give(&mut self, worker: usize, tunnel_hash: u64, frame: Frame) -> Result<(), Frame> {
        let Some(lane) = self.lanes.lanes.get(worker) else { return Err(frame) };
        let chunks = frame.segment_count();
        lane.fragments.push(group_of(tunnel_hash), frame)?;
        self.net_chunks -= i64::try_from(chunks).unwrap_or(0);
        self.to_wake |= 1 << (worker % MAX_WORKERS);
        Ok(())
    }

    /// The oldest frame that waits for this worker.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        let frame = self.own()?.fragments.pop()?;
        self.net_chunks += i64::try_from(frame.segment_count()).unwrap_or(0);
        Some(frame)
    }

    /// Chunks of frames taken less those of frames given: what the worker answers for beyond its other loans.
    #[must_use]
    #[inline]
    pub const fn net_chunks(&self) -> i64 {
        self.net_chunks
    }

    /// Wakes those that got frames and sleep; once per round. A system call for each of them, none else.
    #[inline]
    pub fn wake(&mut self) {
        if self.to_wake != 0 {
            self.wake_sleepers();
        }
    }

    #[cold]
    fn wake_sleepers(&mut self) {
        // Either this sees the flag, or the sleeper, who sets it before it looks, sees the frame.
        fence(SeqCst);
        for (worker, lane) in self.lanes.lanes.iter().enumerate() {
            let has_frames = self.to_wake >> (worker % MAX_WORKERS) & 1 == 1;
            if has_frames && lane.is_asleep.load(Relaxed) && lane.is_asleep.swap(false, Relaxed) {
                lane.waker.wake();
            }
        }
        self.to_wake = 0;
    }

    /// Says that this worker is about to sleep. Returns whether it may: not when frames wait for it.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        let Some(lane) = self.own() else { return true };
        lane.is_asleep.store(true, Relaxed);
        fence(SeqCst);
        let may_sleep = lane.fragments.is_empty();
        if !may_sleep {
            self.awake();
        }
        may_sleep
    }

    /// Says that this worker sleeps no more.
    pub fn awake(&self) {
        if let Some(lane) = self.own() {
            lane.is_asleep.store(false, Relaxed);
        }
    }

    #[inline]
    fn own(&self) -> Option<&Lane> {
        self.lanes.lanes.get(self.worker).map(|lane| &**lane)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        let mut cache = ChunkCache::new(Arc::clone(&self.pool), 0);
        for lane in &self.lanes {
            lane.fragments.drain(&mut cache);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xsk::{Umem, UmemConfig};

    const CHUNKS: usize = 1024;
    /// Hash of the only tunnel.
    const TUNNEL: u64 = 7 << 32;

    /// A pool, as many ends as asked for, and the wakers of their workers.
    fn joined(workers: usize) -> (Arc<ChunkPool>, Vec<Option<Exchange>>, Vec<Waker>) {
        let config =
            UmemConfig { chunk_count: 1024, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        let wakers: Vec<_> = (0..workers).map(|_| Waker::new().unwrap()).collect();
        let ends = exchange(&wakers, &pool);
        (pool, ends, wakers)
    }

    fn two() -> (Arc<ChunkPool>, [Exchange; 2], Vec<Waker>) {
        let (pool, ends, wakers) = joined(2);
        let ends: Vec<_> = ends.into_iter().map(Option::unwrap).collect();
        (pool, ends.try_into().unwrap(), wakers)
    }

    fn frame(cache: &mut ChunkCache, byte: u8) -> Frame {
        Frame::from_bytes(cache.take().unwrap(), 256, &[byte; 60]).unwrap()
    }

    #[test]
    fn a_single_worker_has_no_exchange() {
        assert!(joined(1).1.iter().all(Option::is_none));
        assert!(joined(65).1.iter().all(Option::is_none));
        assert_eq!(joined(64).1.into_iter().flatten().count(), 64);
    }

    #[test]
    fn fragments_belong_to_whoever_asks_first() {
        let (_, [one, other], _wakers) = two();
        let hash = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        assert_eq!((one.owner(hash(1)), other.owner(hash(1))), (0, 0));
        assert_eq!((other.owner(hash(2)), one.owner(hash(2))), (1, 1));
        assert_eq!((one.owner(hash(1)), other.owner(hash(2))), (0, 1), "for good");
    }

    #[test]
    fn frames_come_out_in_order_and_are_counted_at_both_ends() {
        let (pool, [mut one, mut other], _wakers) = two();
        let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
        for byte in 0..3 {
            one.give(1, TUNNEL, frame(&mut cache, byte)).unwrap();
        }
        assert_eq!((one.net_chunks(), other.net_chunks()), (-3, 0));
        for byte in 0..3 {
            let frame = other.take().unwrap();
            assert_eq!(frame.linear(), Some(&[byte; 60][..]));
            cache.give_frame(frame);
        }
        assert!(other.take().is_none() && one.take().is_none());
        assert_eq!((one.net_chunks(), other.net_chunks()), (-3, 3));
    }

    #[test]
    fn a_lane_without_room_and_a_worker_that_is_not_there_give_the_frame_back() {
        let (pool, [mut one, _other], _wakers) = two();
        let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
        for _ in 0..LANE_CHUNKS / 2 {
            one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
        }
        let refused = one.give(1, TUNNEL, frame(&mut cache, 7)).unwrap_err();
        assert_eq!(refused.linear(), Some(&[7; 60][..]));
        let refused = one.give(2, TUNNEL, refused).unwrap_err();
        cache.give_frame(refused);
        assert_eq!(one.net_chunks(), -256);
    }

    #[test]
    fn frames_that_nobody_took_go_back_to_the_pool_with_the_last_worker() {
        let (pool, [mut one, other], _wakers) = two();
        let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
        one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
        cache.flush();
        drop(other);
        assert_eq!(pool.free_count(), CHUNKS - 1);
        drop(one);
        assert_eq!(pool.free_count(), CHUNKS);
    }

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let (pool, [mut one, mut other], wakers) = two();
        let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
        one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
        one.wake();
        assert_eq!(wakers[1].clear(), 0, "it does not sleep");
        assert!(!other.may_sleep(), "a frame waits");
        cache.give_frame(other.take().unwrap());
        assert!(other.may_sleep());
        one.wake();
        assert_eq!(wakers[1].clear(), 0, "nothing for it");
        one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
        one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
        one.wake();
        assert_eq!(wakers[1].clear(), 1);
        one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
        one.wake();
        assert_eq!((wakers[1].clear(), wakers[0].clear()), (0, 0), "woken already");
        other.awake();
    }
}
