//! Stages: the steps of a frame's way, each one pass over a batch.
//!
//! ```text
//!  underlay port -> decap ---+                              +-> encap -> underlay port
//!                            +-> learn -> forward -> flood -+
//!  access port ---> admit ---+                              +---------> access port
//! ```
//! [`run`] is that picture in code. Stages know no sockets and no configuration: they see a [`Batch`], the [`Tables`]
//! of the moment, and at the end a set of ports.

mod admit;
mod decap;
mod emit;
mod encap;
mod flood;
mod forward;
mod learn;

use xsk::ChunkCache;

use crate::{
    batch::Batch,
    counters::WorkerCounters,
    ports::{Port, PortSet},
    tables::{PortId, snapshot::Tables},
};

/// What every stage may look at.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The tables of this batch.
    pub tables: &'a Tables,
    /// The worker's counters.
    pub counters: &'a WorkerCounters,
    /// The worker's number, to find its part of session counters.
    pub worker: usize,
    /// The engine's clock. Units: seconds.
    pub now_s: u32,
}

/// Takes a batch that arrived on `port` through all stages; the batch is empty afterwards.
#[inline]
pub fn run<P: Port>(
    context: &Context<'_>,
    port: PortId,
    batch: &mut Batch,
    ports: &mut PortSet<P>,
    cache: &mut ChunkCache,
    identification: &mut u16,
) {
    batch.open();
    context.counters.batches.add(1);
    context.counters.received.add(batch.frames.len() as u64);
    if let Some(table) = context.tables.port(port) {
        if !table.attachment.is_empty() {
            admit::run(table, batch);
            admit::sample(port, batch, ports);
        }
        if table.is_underlay {
            decap::run(context, batch);
        }
    }
    learn::run(context, batch);
    forward::run(context, batch);
    emit::run(context, batch, &mut emit::Exits { ports, cache, identification });
}
