//! Exchange: frames that one worker gives to another.
//!
//! Place on the path: beside it. Two kinds of frames change worker, and a worker on its own has no exchange at all:
//!
//! - Fragments of outer packets. Each is received where the NIC put it, and put together where all fragments of its tunnel are.
//! - Packets of sessions whose inner flows are spread over the workers: see [`packets`].
//!
//! A tunnel's fragments belong to the worker that received the first of them ([`Exchange::owner`]). Most NICs give one worker all
//! fragments of a tunnel, and over IP protocol 115 its whole packets too: then nothing is handed over, and the tunnel's frames keep
//! their order.
//!
//! ```text
//!  worker 0 --+                   +--> worker 1, once per round: up to a batch of fragments, some batches of packets
//!  worker 2 --+--> lanes to 1 ----+
//!                  bounded, no lock; asleep? then its eventfd is written, once per round and sender
//! ```
//! A frame in a lane is nobody's: its chunk left the books of the worker that gave it and enters those of the worker that
//! takes it. [`WorkerCounters::handed`] less [`WorkerCounters::taken`], all workers together, is how many there are, and went back to the pool when their
//! taker ended.
//!
//! [`WorkerCounters::handed`]: crate::counters::WorkerCounters::handed
//! [`WorkerCounters::taken`]: crate::counters::WorkerCounters::taken

mod fragment_lane;
mod packets;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{
        AtomicBool, AtomicU8,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

use crossbeam::utils::CachePadded;
use xsk::{ChunkCache, ChunkPool, Deal, Frame, FrameBatch, LaneReceiver, Positions};

use crate::waker::Waker;
use fragment_lane::FragmentLane;
pub use fragment_lane::LANE_CHUNKS;
use packets::Packets;
pub use packets::lane_packets;

/// Most workers that exchange frames: one bit each of a word. The configuration allows no more.
pub const MAX_WORKERS: usize = 64;

/// Groups of tunnels whose fragments belong to one worker each. A power of two.
const OWNED_GROUPS: usize = 1024;

/// Marks a group that no fragment came for yet.
const NOBODY: u8 = u8::MAX;

const _: () = assert!(MAX_WORKERS < NOBODY as usize && OWNED_GROUPS.is_power_of_two());

/// What others need of one worker, and its fragments. Packets stand in lanes of their own: see [`packets`].
#[derive(Debug)]
struct Berth {
    fragments: FragmentLane,
    /// Whether the worker has ended: nobody will take anything.
    is_gone: AtomicBool,
    /// Whether the worker sleeps, or is about to: who gives it a frame has to wake it.
    is_asleep: AtomicBool,
    waker: Waker,
}

/// All of them. The last worker to go gives the chunks of frames that nobody took back to the pool.
#[derive(Debug)]
struct Berths {
    workers: Box<[CachePadded<Berth>]>,
    /// By group of tunnels: the worker that their fragments belong to.
    owners: Box<[AtomicU8]>,
    /// Lanes to workers that have ended. Others may have put packets there at that very moment.
    abandoned: Mutex<Vec<LaneReceiver>>,
    pool: Arc<ChunkPool>,
}

/// One worker's hold on the exchange.
#[derive(Debug)]
pub struct Exchange {
    worker: usize,
    berths: Arc<Berths>,
    packets: Packets,
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
    let berth = |waker: &Waker| {
        CachePadded::new(Berth {
            fragments: FragmentLane::new(OWNED_GROUPS),
            is_gone: AtomicBool::new(false),
            is_asleep: AtomicBool::new(false),
            waker: waker.clone(),
        })
    };
    let berths = Arc::new(Berths {
        workers: wakers.iter().map(berth).collect(),
        owners: (0..OWNED_GROUPS).map(|_| AtomicU8::new(NOBODY)).collect(),
        abandoned: Mutex::default(),
        pool: Arc::clone(pool),
    });
    let end = |(worker, packets)| {
        Some(Exchange { worker, berths: Arc::clone(&berths), packets, to_wake: 0, net_chunks: 0 })
    };
    packets::join(wakers.len()).into_iter().enumerate().map(end).collect()
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
        let Some(owner) = self.berths.owners.get(group_of(tunnel_hash)) else { return self.worker };
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

    /// The worker that takes the packets of an inner flow which this one receives, by the flow's hash: always the same.
    #[must_use]
    #[inline]
    pub fn taker_of(&self, flow_hash: u64) -> u8 {
        self.packets.taker_of(flow_hash)
    }

    /// Says that a batch of so many packets comes, some of which are given away.
    #[inline]
    pub fn prepare_packets(&self, count: usize) {
        self.packets.prepare(count);
    }

    /// Gives packets of spread sessions, in order, to another worker, who does not see them until [`Exchange::publish_packets`]. Returns how
    /// many. The others are left where they are: too many wait for that worker, or there is no such worker any more.
    #[inline]
    pub fn give_packets(&mut self, worker: usize, deal: &mut Deal<'_>, positions: Positions) -> usize {
        if self.berths.is_gone(worker) {
            return 0;
        }
        let [count, chunks] = self.packets.give(worker, deal, positions);
        self.net_chunks -= i64::from(chunks);
        count as usize
    }

    /// Lets the others see the packets that were given to them; [`Exchange::wake`] has to follow.
    #[inline]
    pub fn publish_packets(&mut self) {
        self.to_wake |= self.packets.publish();
    }

    /// Moves packets that wait for this worker to an empty batch, the oldest first. Returns how many.
    #[inline]
    pub fn take_packets(&mut self, batch: &mut FrameBatch) -> usize {
        self.packets.take(batch);
        let chunks = batch.iter().map(Frame::segment_count).sum::<usize>();
        self.net_chunks += i64::try_from(chunks).unwrap_or(0);
        batch.len()
    }

    /// Says that the packets taken so far have left, or were dropped; once per round, behind the flush of the TX rings.
    #[inline]
    pub fn finish_packets(&mut self) {
        self.packets.finish();
    }

    /// Whether all packets that this worker gave have left or were dropped, but for those given to a worker that has ended.
    #[must_use]
    pub fn is_settled(&mut self) -> bool {
        self.packets.is_settled(|worker| self.berths.is_gone(worker))
    }

    /// Gives a fragment of a tunnel to another worker, by the tunnel's hash; [`Exchange::wake`] has to follow.
    ///
    /// # Errors
    /// Gives the frame back when the lane has no room for that tunnel or there is no such worker.
    pub fn give(&mut self, worker: usize, tunnel_hash: u64, frame: Frame) -> Result<(), Frame> {
        let Some(berth) = self.berths.workers.get(worker) else { return Err(frame) };
        let chunks = frame.segment_count();
        berth.fragments.push(group_of(tunnel_hash), frame)?;
        self.net_chunks -= i64::try_from(chunks).unwrap_or(0);
        self.to_wake |= 1 << (worker % MAX_WORKERS);
        Ok(())
    }

    /// The oldest fragment that waits for this worker.
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
        for (worker, berth) in self.berths.workers.iter().enumerate() {
            let has_frames = self.to_wake >> (worker % MAX_WORKERS) & 1 == 1;
            if has_frames && berth.is_asleep.load(Relaxed) && berth.is_asleep.swap(false, Relaxed) {
                berth.waker.wake();
            }
        }
        self.to_wake = 0;
    }

    /// Whether no frames wait for this worker.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.own().is_none_or(|berth| berth.fragments.is_empty()) && self.packets.is_empty()
    }

    /// Says that this worker is about to sleep. Returns whether it may: not when frames wait for it.
    #[must_use]
    pub fn may_sleep(&mut self) -> bool {
        let Some(berth) = self.berths.workers.get(self.worker) else { return true };
        berth.is_asleep.store(true, Relaxed);
        fence(SeqCst);
        let may_sleep = self.is_empty();
        if !may_sleep {
            self.awake();
        }
        may_sleep
    }

    /// Says that this worker sleeps no more.
    pub fn awake(&self) {
        if let Some(berth) = self.own() {
            berth.is_asleep.store(false, Relaxed);
        }
    }

    #[inline]
    fn own(&self) -> Option<&Berth> {
        self.berths.workers.get(self.worker).map(|berth| &**berth)
    }
}

impl Berths {
    /// Whether a worker has ended, or there is none of that number.
    #[inline]
    fn is_gone(&self, worker: usize) -> bool {
        self.workers.get(worker).is_none_or(|berth| berth.is_gone.load(Relaxed))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(berth) = self.berths.workers.get(self.worker) {
            berth.is_gone.store(true, Relaxed);
        }
        let mut cache = ChunkCache::new(Arc::clone(&self.berths.pool), 0);
        let mut abandoned = self.berths.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        for mut lane in self.packets.close() {
            drain(&mut lane, &mut cache);
            abandoned.push(lane);
        }
    }
}

impl Drop for Berths {
    fn drop(&mut self) {
        let mut cache = ChunkCache::new(Arc::clone(&self.pool), 0);
        let abandoned = self.abandoned.get_mut().unwrap_or_else(PoisonError::into_inner);
        abandoned.iter_mut().for_each(|lane| drain(lane, &mut cache));
        for berth in &self.workers {
            berth.fragments.drain(&mut cache);
        }
    }
}

/// Gives everything that nobody took back to `cache`.
fn drain(lane: &mut LaneReceiver, cache: &mut ChunkCache) {
    while let Some(frame) = lane.pop() {
        cache.give_frame(frame);
    }
}

#[cfg(test)]
mod tests;
