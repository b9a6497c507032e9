//! Packets of spread sessions on their way from worker to worker: whole, and many at a time.
//!
//! ```text
//!  spread: group of the inner flow -> worker          a lane from each worker to each other one
//!  batch --+--> own -----------------------> decap           +--> batch -> decap -> ... -> TX ring
//!          +--> lane to worker 1, published once per batch --+
//! ```
//! A flow is of one of [`GROUPS`] groups, and a group of one worker's reception belongs to one worker for as long as both live. A
//! lane keeps order, and so does whoever takes from it: frames of one flow that one worker received leave in the order they came.
//!
//! A worker that receives has work that it cannot give away, so it keeps less than an even share: see [`groups`].
//!
//! A taker gives places of a lane back only when what stood there has left. So [`Packets::is_settled`] tells when nothing given is on
//! its way any more. A worker waits for that when the spread sessions change: frames of a flow that it now keeps must not pass those that it gave away.

use xsk::{Deal, FrameBatch, LaneReceiver, LaneSender, Positions, lane, ones};

use super::MAX_WORKERS;

/// Packets that wait for one worker at most, from all others together, unless there are so many that each one's lane would be shorter than
/// [`SHORTEST_LANE`].
const WAITING: usize = 4096;

/// Packets that one lane holds at least, however many workers there are.
const SHORTEST_LANE: usize = 256;

/// What one lane between workers holds, with so many of them. Units: packets.
#[must_use]
pub fn lane_packets(workers: usize) -> usize {
    let each = WAITING / workers.saturating_sub(1).max(1);
    (1 << each.max(1).ilog2()).max(SHORTEST_LANE)
}

/// Groups that flows fall into by the uppermost byte of their hash.
const GROUPS: usize = 256;

/// Groups that a worker keeps which shares with one other: 31 percent, between what was best for the cheapest frames, a quarter, which is up to 7 percent better for them, and for
/// long ones with a checksum, 40 percent, 12 percent better (docs/src/performance/scaling.md). Not by the rule for more workers: its costs are
/// chosen, and such as give this number for two leave the receiver among three next to nothing, which nobody measured.
const KEPT_OF_TWO: usize = 80;

/// With more workers: what looking for a packet's worker costs, and giving it away, in percent of what the packet costs behind that. Of the
/// cheapest one, in memory, some 60; less the dearer one is, and with a card's or a veth's rings in front and behind none is so cheap. So 40.
const DISPATCH_PERCENT: usize = 40;

/// What a packet costs more when it comes from another worker, likewise.
const TAKING_PERCENT: usize = 30;

/// What one worker has on its way to others, and takes from them.
#[derive(Debug)]
pub(super) struct Packets {
    /// By group: the worker that it belongs to.
    groups: [u8; GROUPS],
    /// By worker; `None` at its own number.
    to: Box<[Option<LaneSender>]>,
    /// From each other worker.
    from: Box<[LaneReceiver]>,
    /// Which of those is looked at first.
    first: usize,
    /// Workers for which there is something that they do not see yet, a bit each.
    unpublished: u64,
}

/// The ends of all workers, each joined with each other one.
pub(super) fn join(workers: usize) -> Vec<Packets> {
    let mut all: Vec<(Vec<_>, Vec<_>)> = (0..workers).map(|_| (Vec::new(), Vec::new())).collect();
    let frames = u32::try_from(lane_packets(workers)).unwrap_or(u32::MAX);
    for from in 0..workers {
        for to in 0..workers {
            if from == to {
                all[from].0.push(None);
                continue;
            }
            let (sender, receiver) = lane(frames);
            all[from].0.push(Some(sender));
            all[to].1.push(receiver);
        }
    }
    let packets = |(worker, (to, from)): (usize, (Vec<_>, Vec<_>))| Packets {
        groups: groups(worker, workers),
        to: to.into(),
        from: from.into(),
        first: 0,
        unpublished: 0,
    };
    all.into_iter().enumerate().map(packets).collect()
}

impl Packets {
    /// The worker that a flow belongs to.
    #[inline]
    pub(super) fn taker_of(&self, flow_hash: u64) -> u8 {
        let [.., group] = flow_hash.to_le_bytes();
        self.groups.get(usize::from(group)).copied().unwrap_or(0)
    }

    /// Asks the CPU for room for so many packets, most of which others will take.
    ///
    /// Bench: `scaling`, the tunnel that is spread.
    #[inline]
    pub(super) fn prepare(&self, count: usize) {
        let each = count.div_ceil(self.from.len().max(1));
        for lane in self.to.iter().flatten() {
            lane.prefetch(u32::try_from(each).unwrap_or(0));
        }
    }

    /// Takes packets for another worker, in order, as many as the lane to it has room for; none where there is no lane. Returns how many
    /// packets and chunks these are.
    #[inline]
    pub(super) fn give(&mut self, worker: usize, deal: &mut Deal<'_>, positions: Positions) -> [u32; 2] {
        let Some(Some(lane)) = self.to.get_mut(worker) else { return [0; 2] };
        let (mut frames, mut chunks) = (deal.take(positions), 0);
        let count = lane.push_while(positions.count_ones(), || {
            let frame = frames.next()?;
            chunks += u32::try_from(frame.segment_count()).unwrap_or(0);
            Some(frame)
        });
        self.unpublished |= u64::from(count > 0) << (worker % MAX_WORKERS);
        [count, chunks]
    }

    /// Lets the others see what was given to them. Returns those for which there is something new, a bit each.
    #[inline]
    pub(super) fn publish(&mut self) -> u64 {
        let workers = core::mem::take(&mut self.unpublished);
        for worker in ones(workers) {
            if let Some(Some(lane)) = self.to.get_mut(worker) {
                lane.publish();
            }
        }
        workers
    }

    /// Moves packets that wait for this worker to `batch`, the oldest of each sender first, as many as fit.
    #[inline]
    pub(super) fn take(&mut self, batch: &mut FrameBatch) {
        let Some((before, behind)) = self.from.split_at_mut_checked(self.first) else { return };
        for lane in behind.iter_mut().chain(before) {
            lane.pop_to(batch);
        }
        // In turns, so that no sender's packets always come last.
        self.first = if self.first + 1 < self.from.len() { self.first + 1 } else { 0 };
    }

    /// Whether nothing waits for this worker.
    pub(super) fn is_empty(&self) -> bool {
        self.from.iter().all(LaneReceiver::is_empty)
    }

    /// Says that all packets taken so far are on their TX rings, or nowhere.
    #[inline]
    pub(super) fn finish(&mut self) {
        for lane in &mut self.from {
            lane.release();
        }
    }

    /// Whether every packet given was finished, but for those to workers of which `is_gone`.
    pub(super) fn is_settled(&mut self, is_gone: impl Fn(usize) -> bool) -> bool {
        let mut lanes = self.to.iter_mut().enumerate();
        lanes.all(|(worker, lane)| lane.as_mut().is_none_or(|lane| lane.is_settled() || is_gone(worker)))
    }

    /// At the worker's end: the lanes to it, into which others may still put something.
    pub(super) fn close(&mut self) -> impl Iterator<Item = LaneReceiver> {
        self.publish();
        core::mem::take(&mut self.from).into_iter()
    }
}

/// The worker of each group of flows that worker `worker` of `workers` receives.
///
/// It keeps so many that it has as much to do as each other one. Of two that was measured. Of more, with *d* for looking at a packet and *t* for
/// taking one over, both as parts of a packet's other costs, it keeps *s* of them where `d + s = (1 - s) (1 + t) / (workers - 1)`; none
/// where that is below zero. The others get the rest in turn.
fn groups(worker: usize, workers: usize) -> [u8; GROUPS] {
    let others = workers.saturating_sub(1).max(1);
    let each_percent = (100 + TAKING_PERCENT) / others;
    let own = each_percent.saturating_sub(DISPATCH_PERCENT) * GROUPS / (100 + each_percent);
    let own = match workers {
        0 | 1 => GROUPS,
        2 => KEPT_OF_TWO,
        _ => own,
    };
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
        assert_eq!((shares(0, 1), shares(1, 2)), (vec![GROUPS], vec![176, 80]));
    }
}
