//! spread: packets of a session that is spread go to the worker that has their inner flow.
//!
//! Place on the path: in front of `decap`, when there are such sessions. Only as much of a packet is read as tells its session and
//! where its inner frame starts ([`glance`]); everything is checked by the worker that takes it, but for what was compared here of
//! a batch that stays with this worker. What is not surely a packet of such a
//! session stays here, fragments among it; packets put together from fragments come by again.
//!
//! Deliberately not here: which worker has which flow ([`crate::exchange`]), what a flow is ([`wire::inner_flow`]).
//!
//! Bench: `scaling`, the tunnel that is spread.

mod glance;

use super::{Context, Exits, send::count_at_session};
use crate::{
    batch::Batch,
    verdict::{DropReason, Verdict},
};
use glance::Glance;

/// Gives away what other workers have to take. The rest stays in the batch, in order. Returns the session that all of it is like, by its position: with that
/// one's packets it was compared. `None`: it is of several, or nobody knows.
#[inline(never)]
pub(super) fn run<P>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) -> Option<u32> {
    let Exits { fragments, cache, .. } = exits;
    // A worker on its own.
    let exchange = fragments.exchange()?;
    exchange.prepare_packets(batch.frames.len());
    let mut glance = Glance::new(&context.tables.sessions);
    let shares = glance.run(&batch.frames, exchange);
    let undecided = batch.undecided();
    batch.deal(|deal| {
        for (worker, positions) in shares.of_others(exchange.worker()) {
            let positions = positions & undecided;
            let given = exchange.give_packets(worker, deal, positions);
            context.counters.handed.add(given as u64);
            // What is left of them found no room.
            for frame in deal.take(positions) {
                context.counters.count(Verdict::Dropped(DropReason::HandOverFull));
                if let Some((session, _)) = glance.flow(frame.head()) {
                    count_at_session(context, session.position, DropReason::HandOverFull);
                }
                cache.give_frame(frame);
            }
        }
    });
    exchange.publish_packets();
    glance.common()
}
