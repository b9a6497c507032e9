//! Packets of spread sessions on their way from worker to worker: whole, and many at a time.
//!
//! ```text
//!  spread: group of the inner flow -> worker        blocks of up to 64, one queue operation each
//!  batch --+--> own ------------------> decap            +--> batch -> decap -> ... -> TX ring
//!          +--> outgoing[1] --push--> lane of worker 1 --+
//! ```
//! A flow is of one of [`GROUPS`] groups, and a group of one worker's reception belongs to one worker for as long as both live. A
//! lane keeps order, and so does whoever takes from it: frames of one flow that one worker received leave in the order they came.
//!
//! A worker that receives has work that it cannot give away, so it keeps less than an even share: see [`groups`].
//!
//! [`Packets::is_settled`] tells when nothing given is on its way any more. A worker waits for that when the spread sessions change:
//! frames of a flow that it now keeps must not pass those that it gave away.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use xsk::{BATCH, ChunkCache, Frame, FrameBatch};

use super::MAX_WORKERS;

/// Most packets in one block.
pub(super) const BLOCK: usize = BATCH;

/// Blocks that wait for one worker at most: 4096 packets, but for [`EAGER_BLOCKS`].
pub(super) const LANE_BLOCKS: usize = 64;

/// So many blocks may wait for a worker and another one is put there although it is not full. A worker that is behind, or does not
/// run for a while, gets full ones only, so that its lane holds what it should.
pub(super) const EAGER_BLOCKS: usize = 2;

/// Groups that flows fall into by the uppermost byte of their hash.
const GROUPS: usize = 256;

/// What looking for a packet's worker costs, in percent of what the packet costs behind that. Measured: some 50 for the cheapest packets, in
/// memory, and less the dearer one is; with a card's or a veth's rings in front and behind none is so cheap
/// (docs/src/performance/scaling.md).
const DISPATCH_PERCENT: usize = 35;

/// What a packet costs more when it comes from another worker, likewise.
const TAKING_PERCENT: usize = 30;

/// Packets that change hands at once, all from one worker.
#[derive(Debug, Default)]
struct Block {
    from: usize,
    frames: ArrayVec<Frame, BLOCK>,
}

/// Packets that wait for one worker.
#[derive(Debug)]
pub(super) struct PacketLane {
    blocks: ArrayQueue<Block>,
    /// By sender: packets from it that this worker has sent on or dropped.
    finished: Box<[AtomicU64]>,
    /// Whether the worker has ended: nobody will take anything.
    is_gone: AtomicBool,
}

impl PacketLane {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            blocks: ArrayQueue::new(LANE_BLOCKS),
            finished: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            is_gone: AtomicBool::new(false),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Gives everything that nobody took back to `cache`.
    pub(super) fn drain(&self, cache: &mut ChunkCache) {
        while let Some(block) = self.blocks.pop() {
            block.frames.into_iter().for_each(|frame| cache.give_frame(frame));
        }
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }
}

/// What one worker has on its way to others, and took from them.
#[derive(Debug)]
pub(super) struct Packets {
    worker: usize,
    /// By group: the worker that it belongs to.
    groups: [u8; GROUPS],
    /// By worker: what is for it and not in its lane yet.
    outgoing: Box<[ArrayVec<Frame, BLOCK>]>,
    /// By worker: packets that were put into its lane.
    given: Box<[u64]>,
    /// By worker: packets that came from it and are not among the finished yet.
    taken: Box<[u64]>,
    /// What is taken next: off the lane already, so that its packets come into this CPU's caches while those before are dealt with.
    ahead: Block,
    /// Workers for which there is something in `outgoing`, a bit each; and those in `taken`.
    has_outgoing: u64,
    has_taken: u64,
}

impl Packets {
    pub(super) fn new(worker: usize, workers: usize) -> Self {
        Self {
            worker,
            groups: groups(worker, workers),
            outgoing: (0..workers).map(|_| ArrayVec::new()).collect(),
            given: vec![0; workers].into(),
            taken: vec![0; workers].into(),
            ahead: Block::default(),
            has_outgoing: 0,
            has_taken: 0,
        }
    }

    /// The worker that a flow belongs to.
    #[inline]
    pub(super) fn worker_of(&self, flow_hash: u64) -> usize {
        let [.., group] = flow_hash.to_le_bytes();
        self.groups.get(usize::from(group)).map_or(self.worker, |worker| usize::from(*worker))
    }

    /// Takes a packet for another worker.
    ///
    /// # Errors
    /// Gives it back when that worker's lane is full, or it has ended.
    #[inline]
    pub(super) fn give(&mut self, worker: usize, lane: &PacketLane, frame: Frame) -> Result<bool, Frame> {
        let Some(outgoing) = self.outgoing.get_mut(worker) else { return Err(frame) };
        if !outgoing.is_full() {
            outgoing.push(frame);
            self.has_outgoing |= 1 << (worker % MAX_WORKERS);
            return Ok(false);
        }
        if !self.push(worker, lane) {
            return Err(frame);
        }
        self.give(worker, lane, frame).map(|_| true)
    }

    /// Puts what is for a worker into its lane, as one block. Returns whether it is there; otherwise it stays, for the next time:
    /// the lane is full, or the block is not and the worker has others to take first.
    pub(super) fn push(&mut self, worker: usize, lane: &PacketLane) -> bool {
        let (Some(outgoing), Some(given)) = (self.outgoing.get_mut(worker), self.given.get_mut(worker))
        else {
            return false;
        };
        // How many wait stands in the caches of whoever takes them: a full block does not ask, and comes back when there is no room.
        if lane.is_gone() || !outgoing.is_full() && lane.blocks.len() >= EAGER_BLOCKS {
            return false;
        }
        let block = Block { from: self.worker, frames: core::mem::take(outgoing) };
        let count = block.frames.len() as u64;
        match lane.blocks.push(block) {
            Ok(()) => {
                *given += count;
                self.has_outgoing &= !(1 << (worker % MAX_WORKERS));
                true
            }
            Err(refused) => {
                *outgoing = refused.frames;
                false
            }
        }
    }

    /// The workers for which there are packets that are not in their lane yet, a bit each.
    #[inline]
    pub(super) const fn has_outgoing(&self) -> u64 {
        self.has_outgoing
    }

    /// Moves blocks from this worker's lane to `batch`, the oldest first, as long as they fit as a whole.
    #[inline]
    pub(super) fn take(&mut self, lane: &PacketLane, batch: &mut FrameBatch) {
        if self.ahead.frames.is_empty() {
            self.look_ahead(lane);
        }
        while !self.ahead.frames.is_empty() && self.ahead.frames.len() <= batch.remaining_capacity() {
            if let Some(taken) = self.taken.get_mut(self.ahead.from) {
                *taken += self.ahead.frames.len() as u64;
                self.has_taken |= 1 << (self.ahead.from % MAX_WORKERS);
            }
            batch.extend(self.ahead.frames.drain(..));
            self.look_ahead(lane);
        }
    }

    /// Takes the next block off the lane. Its packets lie in the caches of another CPU, from where one after the other would take as
    /// long as dealing with it.
    ///
    /// Bench: `scaling`, the tunnel that is spread.
    #[inline]
    fn look_ahead(&mut self, lane: &PacketLane) {
        if let Some(block) = lane.blocks.pop() {
            block.frames.iter().filter_map(|frame| frame.head().first()).for_each(xsk::prefetch);
            self.ahead = block;
        }
    }

    /// Whether there are packets that are off the lane and in no batch yet.
    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.frames.is_empty()
    }

    /// Says that all packets taken so far are on their TX rings, or nowhere.
    #[inline]
    pub(super) fn finish(&mut self, lane: &PacketLane) {
        if self.has_taken != 0 {
            self.finish_taken(lane);
        }
    }

    fn finish_taken(&mut self, lane: &PacketLane) {
        for (finished, taken) in lane.finished.iter().zip(&mut self.taken) {
            // This worker alone writes here.
            finished.store(finished.load(Relaxed) + core::mem::take(taken), Release);
        }
        self.has_taken = 0;
    }

    /// Whether every packet given was finished by those who are still there. `lanes` are those of all workers.
    pub(super) fn is_settled<'l>(&self, lanes: impl Iterator<Item = &'l PacketLane>) -> bool {
        let mut lanes = lanes.zip(&self.given).zip(&self.outgoing);
        lanes.all(|((lane, given), outgoing)| {
            let finished = lane.finished.get(self.worker).map_or(0, |finished| finished.load(Acquire));
            lane.is_gone() || outgoing.is_empty() && finished == *given
        })
    }

    /// At the worker's end: everything that is not in a lane goes back to `cache`, and `lane`, its own, takes no more.
    pub(super) fn close(&mut self, lane: &PacketLane, cache: &mut ChunkCache) {
        lane.is_gone.store(true, Relaxed);
        for outgoing in self.outgoing.iter_mut().chain([&mut self.ahead.frames]) {
            outgoing.drain(..).for_each(|frame| cache.give_frame(frame));
        }
    }
}

/// The worker of each group of flows that worker `worker` of `workers` receives.
///
/// It keeps so many that it has as much to do as each other one: with *d* for looking at a packet and *t* for taking one over, both
/// as parts of a packet's other costs, it keeps *s* of them where `d + s = (1 - s) (1 + t) / (workers - 1)`; none where that is
/// below zero. The others get the rest in turn.
fn groups(worker: usize, workers: usize) -> [u8; GROUPS] {
    let others = workers.saturating_sub(1).max(1);
    let each_percent = (100 + TAKING_PERCENT) / others;
    let own = each_percent.saturating_sub(DISPATCH_PERCENT) * GROUPS / (100 + each_percent);
    let own = if workers < 2 { GROUPS } else { own };
    core::array::from_fn(|group| {
        let to = if group < own { worker } else { (worker + 1 + (group - own) % others) % workers.max(1) };
        u8::try_from(to).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(worker: usize, workers: usize) -> Vec<usize> {
        let groups = groups(worker, workers);
        (0..workers).map(|number| groups.iter().filter(|to| usize::from(**to) == number).count()).collect()
    }

    #[test]
    fn the_receiver_keeps_less_than_the_others_get_and_those_get_the_same() {
        for workers in 2..=MAX_WORKERS {
            for worker in [0, workers / 2, workers - 1] {
                let mut shares = shares(worker, workers);
                let own = shares.remove(worker);
                let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
                assert!(own < *least && most - least <= 1, "{workers}: {own}, {least} to {most}");
            }
        }
        assert_eq!(shares(1, 8)[1], 0, "seven others have nothing else to do");
        assert_eq!(shares(0, 1), [GROUPS]);
    }
}
