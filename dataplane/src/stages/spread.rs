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

use super::{Context, Exits, decap, quick_decap::QuickDecap, send::count_at_session};
use crate::{
    batch::Batch,
    verdict::{DropReason, Verdict},
};
use glance::Glance;

/// Packets that are looked at, and then opened as far as they stay: so many that their headers stay in the first cache meanwhile. Chunks
/// lie 2048 bytes apart, so all headers fall on two sets of it.
///
/// Bench: `scaling`, the tunnel that is spread.
const GROUP: usize = 16;

/// Gives away what other workers have to take, and takes the outer headers off the rest, which stays in the batch, in order.
#[inline(never)]
pub(super) fn run<P>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    let Exits { fragments, cache, .. } = exits;
    // A worker on its own.
    let Some(exchange) = fragments.exchange() else { return decap::run(context, batch, cache) };
    let mut glance = Glance::new(context.tables.sessions.spreading());
    let mut quick = QuickDecap::new(context);
    let mut handed = 0;
    batch.sift(
        GROUP,
        *cache,
        |cache, frame| {
            let Some((entry, flow)) = glance.flow(frame.head()) else { return Some(frame) };
            let worker = exchange.worker_of(flow);
            if worker == exchange.worker() {
                return Some(frame);
            }
            match exchange.give_packet(worker, frame) {
                Ok(()) => handed += 1,
                Err(frame) => {
                    cache.give_frame(frame);
                    context.counters.count(Verdict::Dropped(DropReason::HandOverFull));
                    count_at_session(context, entry.position, DropReason::HandOverFull);
                }
            }
            None
        },
        |cache, frames, slots| decap::run_some(context, &mut quick, (frames, slots), cache),
    );
    context.counters.handed.add(handed);
    exchange.publish_packets();
}
