//! spread: packets of a session that is spread go to the worker that has their inner flow.
//!
//! Place on the path: instead of `decap`, when there are such sessions. It gives packets away, and does what `decap` does with those that
//! stay, group by group: what one has read is then still at hand for the other. Only as much of a packet is read as tells its session
//! and where its inner frame starts ([`glance`]); everything is checked by the worker that takes it. What is not surely a packet of such a
//! session stays here, fragments among it; packets put together from fragments come by again.
//!
//! Deliberately not here: which worker has which flow ([`crate::exchange`]), what a flow is ([`wire::inner_flow`]).
//!
//! Bench: `scaling`, the tunnel that is spread.

mod glance;

use xsk::{BATCH, Frame};

use super::{Context, Exits, decap, send::count_at_session};
use crate::{
    batch::Batch,
    verdict::{DropReason, Verdict},
};
use glance::Glance;

/// Packets that the CPU is asked for before they are looked at.
///
/// Bench: `scaling`, the tunnel that is spread.
const AHEAD: usize = 12;

/// Asks the CPU for what tells a packet's session and flow.
#[inline(always)]
fn fetch(frame: &Frame) {
    let head = frame.head();
    head.first().map(xsk::prefetch);
    head.get(64).map(xsk::prefetch);
}

/// Gives away what other workers have to take, and takes the outer headers off the rest, which stays in the batch, in order.
#[inline(never)]
pub(super) fn run<P>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    let Exits { fragments, cache, .. } = exits;
    // A worker on its own.
    let Some(exchange) = fragments.exchange() else { return decap::run(context, batch, cache) };
    exchange.prepare_packets(batch.frames.len());
    let mut glance = Glance::new(context.tables.sessions.spreading());
    let mut takers = [(u8::MAX, 0u32); BATCH];
    let own = exchange.worker();
    let frames = batch.frames.as_slice();
    frames.iter().take(AHEAD).for_each(fetch);
    for (position, (frame, taker)) in frames.iter().zip(&mut takers).enumerate() {
        frames.get(position + AHEAD).map(fetch);
        if let Some((entry, flow)) = glance.flow(frame.head()) {
            *taker = (u8::try_from(exchange.worker_of(flow)).unwrap_or(0), entry.position);
        }
    }
    let mut handed = 0;
    batch.sift(|position, frame| {
        let (worker, session) = takers.get(position).copied().unwrap_or((u8::MAX, 0));
        if usize::from(worker) == own || worker == u8::MAX {
            return Some(frame);
        }
        match exchange.give_packet(usize::from(worker), frame) {
            Ok(()) => handed += 1,
            Err(frame) => {
                cache.give_frame(frame);
                context.counters.count(Verdict::Dropped(DropReason::HandOverFull));
                count_at_session(context, session, DropReason::HandOverFull);
            }
        }
        None
    });
    context.counters.handed.add(handed);
    exchange.publish_packets();
    decap::run(context, batch, cache);
}
