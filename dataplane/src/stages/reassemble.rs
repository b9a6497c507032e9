//! reassemble: fragments of outer packets on their way to the others of their packet.
//!
//! ```text
//!  emit --fragment--> the worker that owns its tunnel's fragments: this one, or another by the exchange
//!                          |
//!                     Reassembly: parked, lost, or the packet is whole -> decap, once more
//! ```
//! Place on the path: called by `emit` for what `decap` found to be a fragment, and once per round for what other workers gave. Whole
//! packets are never looked at here. Every fragment is counted once: where it was handed over, and where it was taken, as one that
//! was dropped, reassembled (its payload went into another one's chunk), or, one for each packet, as what the packet became.

use xsk::{BATCH, ChunkCache, Frame, FrameBatch};

use super::{Context, Exits};
use crate::{
    counters::WorkerCounters,
    exchange::Exchange,
    reassembly::{Ends, Fragment, Limits, Reassembly},
    verdict::{DropReason, Verdict},
};

/// One worker's fragments.
#[derive(Debug)]
pub struct Fragments {
    table: Reassembly,
    /// `None`: there is no other worker.
    exchange: Option<Exchange>,
    /// Packets that have become whole and are not yet on their way.
    whole: FrameBatch,
}

impl Fragments {
    /// For a worker with this end of the exchange.
    #[must_use]
    pub fn new(limits: Limits, exchange: Option<Exchange>) -> Self {
        Self { table: Reassembly::new(limits), exchange, whole: FrameBatch::new() }
    }

    /// Fragments that wait for others of their packet.
    #[must_use]
    #[inline]
    pub fn parked(&self) -> usize {
        self.table.parked()
    }

    /// Whether nothing waits here, nor comes from other workers.
    #[must_use]
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.table.parked() == 0
            && self.whole.is_empty()
            && self.exchange.as_ref().is_none_or(Exchange::is_empty)
    }

    /// Chunks that those stand in.
    #[must_use]
    #[inline]
    pub fn parked_chunks(&self) -> usize {
        self.table.parked_chunks()
    }

    /// Chunks that came from other workers less those that went to them.
    #[must_use]
    #[inline]
    pub fn net_chunks(&self) -> i64 {
        self.exchange.as_ref().map_or(0, Exchange::net_chunks)
    }

    /// The worker's end of the exchange; `None`: there is no other worker.
    #[inline]
    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange> {
        self.exchange.as_mut()
    }

    /// Wakes sleeping workers that got fragments or packets in this round.
    #[inline]
    pub fn wake(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.wake();
        }
    }

    /// Says that the worker is about to sleep. Returns whether it may: not when fragments wait for it.
    #[must_use]
    pub fn may_sleep(&mut self) -> bool {
        self.exchange.as_mut().is_none_or(Exchange::may_sleep)
    }

    /// Says that the worker sleeps no more.
    pub fn awake(&self) {
        if let Some(exchange) = &self.exchange {
            exchange.awake();
        }
    }

    /// Drops every parked fragment, at the worker's end.
    pub fn clear(&mut self, counters: &WorkerCounters, cache: &mut ChunkCache) {
        self.table.clear(&mut Tally { counters, cache });
    }

    /// Whether packets have become whole; swaps them for an empty batch.
    #[inline]
    pub(super) fn take_whole(&mut self, frames: &mut FrameBatch) -> bool {
        let has_some = !self.whole.is_empty();
        if has_some {
            core::mem::swap(&mut self.whole, frames);
        }
        has_some
    }

    fn insert(&mut self, context: &Context<'_>, cache: &mut ChunkCache, frame: Frame, fragment: Fragment) {
        let mut tally = Tally { counters: context.counters, cache };
        let Some(whole) = self.table.take(frame, fragment, context.now_s, &mut tally) else { return };
        context.counters.reassembled_packets.add(1);
        // Room there is: no batch has more fragments than places, and each makes one packet whole at most.
        if let Err(refused) = self.whole.try_push(whole) {
            tally.lost(refused.element(), DropReason::ReassemblyFull);
        }
    }
}

/// A fragment that this worker received. Returns its verdict; `None`: the table has it.
#[cold]
pub(super) fn arrive<P>(context: &Context<'_>, frame: Frame, exits: &mut Exits<'_, P>) -> Option<Verdict> {
    let refused = match Fragment::read(&frame) {
        Err(reason) => (frame, reason),
        Ok(fragment) => match hand_over(&fragment, frame, exits.fragments) {
            Ok(None) => return Some(Verdict::Handed),
            Ok(Some(frame)) => {
                exits.fragments.insert(context, exits.cache, frame, fragment);
                return None;
            }
            Err(frame) => (frame, DropReason::HandOverFull),
        },
    };
    exits.cache.give_frame(refused.0);
    Some(Verdict::Dropped(refused.1))
}

/// Gives a fragment to the worker that puts its packet together; gives it back when that is this one.
///
/// # Errors
/// Gives it back when that worker takes no more.
fn hand_over(fragment: &Fragment, frame: Frame, fragments: &mut Fragments) -> Result<Option<Frame>, Frame> {
    let Some(exchange) = &mut fragments.exchange else { return Ok(Some(frame)) };
    let tunnel_hash = fragment.key.tunnel_hash();
    let owner = exchange.owner(tunnel_hash);
    if owner == exchange.worker() {
        return Ok(Some(frame));
    }
    exchange.give(owner, tunnel_hash, frame).map(|()| None)
}

/// Takes over what other workers gave, up to a batch, and gives up what took too long. Returns the number of fragments taken.
#[inline]
pub(super) fn take_over<P>(context: &Context<'_>, exits: &mut Exits<'_, P>) -> usize {
    let Exits { fragments, cache, .. } = exits;
    fragments.table.expire(context.now_s, &mut Tally { counters: context.counters, cache });
    let mut taken = 0;
    while taken < BATCH
        && let Some(frame) = fragments.exchange.as_mut().and_then(Exchange::take)
    {
        taken += 1;
        context.counters.taken.add(1);
        match Fragment::read(&frame) {
            Ok(fragment) => fragments.insert(context, cache, frame, fragment),
            Err(reason) => Tally { counters: context.counters, cache }.lost(frame, reason),
        }
    }
    taken
}

/// Counts what became of fragments, and takes their chunks back.
struct Tally<'a> {
    counters: &'a WorkerCounters,
    cache: &'a mut ChunkCache,
}

impl Ends for Tally<'_> {
    fn dropped(&mut self, reason: DropReason) {
        self.counters.count(Verdict::Dropped(reason));
    }

    fn merged(&mut self) {
        self.counters.count(Verdict::Reassembled);
    }

    fn cache(&mut self) -> &mut ChunkCache {
        self.cache
    }
}
