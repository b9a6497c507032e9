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
//!  worker 2 --+--> lanes of 1 ----+
//!                  bounded, no lock; asleep? then its eventfd is written, once per round and sender
//! ```
//! A frame in a lane is nobody's: its chunk left the books of the worker that gave it and enters those of the worker that
//! takes it. [`WorkerCounters::handed`] less [`WorkerCounters::taken`], all workers together, is how many there are.
//!
//! [`WorkerCounters::handed`]: crate::counters::WorkerCounters::handed
//! [`WorkerCounters::taken`]: crate::counters::WorkerCounters::taken

mod fragment_lane;
mod packets;

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU8,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

use crossbeam::utils::CachePadded;
use xsk::{ChunkCache, ChunkPool, Frame, FrameBatch};

use crate::waker::Waker;
use fragment_lane::FragmentLane;
pub use fragment_lane::LANE_CHUNKS;
use packets::{PacketLane, Packets};

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
    packets: PacketLane,
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
    packets: Packets,
    /// Workers that got a frame since they were last woken, a bit each.
    to_wake: u64,
    /// Chunks of frames taken less those of frames given.
    net_chunks: i64,
    /// Whether packets wait until their block is full, in this round.
    holds_back: bool,
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
            packets: PacketLane::new(wakers.len()),
            is_asleep: AtomicBool::new(false),
            waker: waker.clone(),
        })
    };
    let lanes = Arc::new(Lanes {
        lanes: wakers.iter().map(lane).collect(),
        owners: (0..OWNED_GROUPS).map(|_| AtomicU8::new(NOBODY)).collect(),
        pool: Arc::clone(pool),
    });
    let end = |worker| Exchange {
        worker,
        lanes: Arc::clone(&lanes),
        packets: Packets::new(worker, wakers.len()),
        to_wake: 0,
        net_chunks: 0,
        holds_back: false,
    };
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

    /// The worker that takes the packets of an inner flow which this one receives, by the flow's hash: always the same.
    #[must_use]
    #[inline]
    pub fn worker_of(&self, flow_hash: u64) -> usize {
        self.packets.worker_of(flow_hash)
    }

    /// Gives a packet of a spread session to another worker. It may wait for others until [`Exchange::push_packets`].
    ///
    /// # Errors
    /// Gives it back when too many wait for that worker, or there is no such worker any more.
    #[inline]
    pub fn give_packet(&mut self, worker: usize, frame: Frame) -> Result<(), Frame> {
        let Some(lane) = self.lanes.lanes.get(worker) else { return Err(frame) };
        let chunks = frame.segment_count();
        if self.packets.give(worker, &lane.packets, frame)? {
            self.to_wake |= 1 << (worker % MAX_WORKERS);
        }
        self.net_chunks -= i64::try_from(chunks).unwrap_or(0);
        Ok(())
    }

    /// Lets others have the packets that were given, at the end of the round at the latest. `is_more_due`: this worker cannot keep up with
    /// what it receives, so blocks will soon be full: they wait for that, one round at most. Handing a block over costs the same
    /// however much is in it.
    ///
    /// Bench: `scaling`, the tunnel that is spread.
    #[inline]
    pub fn offer_packets(&mut self, is_more_due: bool) {
        if is_more_due {
            self.holds_back = true;
        } else {
            self.push_packets();
        }
    }

    /// Lets others have the packets that were given; [`Exchange::wake`] has to follow. One queue operation for each other worker.
    /// What does not fit waits until this is called again.
    #[inline]
    pub fn push_packets(&mut self) {
        let mut outgoing = self.packets.has_outgoing();
        while outgoing != 0 {
            let worker = outgoing.trailing_zeros() as usize;
            outgoing &= outgoing - 1;
            if let Some(lane) = self.lanes.lanes.get(worker)
                && self.packets.push(worker, &lane.packets)
            {
                self.to_wake |= 1 << (worker % MAX_WORKERS);
            }
        }
    }

    /// Moves packets that wait for this worker to an empty batch, the oldest first. Returns how many.
    #[inline]
    pub fn take_packets(&mut self, batch: &mut FrameBatch) -> usize {
        let Some(lane) = self.lanes.lanes.get(self.worker) else { return 0 };
        self.packets.take(&lane.packets, batch);
        let chunks = batch.iter().map(Frame::segment_count).sum::<usize>();
        self.net_chunks += i64::try_from(chunks).unwrap_or(0);
        batch.len()
    }

    /// Says that the packets taken so far have left, or were dropped; once per round, behind the flush of the TX rings.
    #[inline]
    pub fn finish_packets(&mut self) {
        if let Some(lane) = self.lanes.lanes.get(self.worker) {
            self.packets.finish(&lane.packets);
        }
    }

    /// Whether all packets that this worker gave have left or were dropped, but for those given to a worker that has ended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.packets.is_settled(self.lanes.lanes.iter().map(|lane| &lane.packets))
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

    /// Wakes those that got frames and sleep; once per round. Tries packets again that found no room. A system call for each of them, none else.
    #[inline]
    pub fn wake(&mut self) {
        if !core::mem::take(&mut self.holds_back) {
            self.push_packets();
        }
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

    /// Says that this worker is about to sleep. Returns whether it may: not when frames wait for it, or packets for room.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        let Some(lane) = self.own() else { return true };
        lane.is_asleep.store(true, Relaxed);
        fence(SeqCst);
        let has_nothing = lane.fragments.is_empty() && lane.packets.is_empty() && !self.packets.has_ahead();
        let may_sleep = has_nothing && self.packets.has_outgoing() == 0;
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

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(lane) = self.lanes.lanes.get(self.worker) {
            let mut cache = ChunkCache::new(Arc::clone(&self.lanes.pool), 0);
            self.packets.close(&lane.packets, &mut cache);
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        let mut cache = ChunkCache::new(Arc::clone(&self.pool), 0);
        for lane in &self.lanes {
            lane.fragments.drain(&mut cache);
            lane.packets.drain(&mut cache);
        }
    }
}

#[cfg(test)]
mod tests;
