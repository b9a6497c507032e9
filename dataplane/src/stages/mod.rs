//! Stages: the steps of a frame's way, each one pass over a batch.
//!
//! ```text
//!  underlay port -> decap ---+                              +-> encap -> underlay port
//!                            +-> learn -> forward -> flood -+
//!  access port ---> admit ---+                              +---------> access port
//! ```
//! Where sessions are spread over the workers, [`spread`] stands in front of decap: it gives packets to the worker that has their flow. Behind encap, a packet that the path does not carry whole goes through [`fragment`]; a fragment that decap met goes through
//! [`reassemble`], and the packet that comes out of it through decap again.
//!
//! [`run`] is that picture in code. Stages know no sockets and no configuration: they see a [`Batch`], the [`Tables`]
//! of the moment, and at the end a set of ports.

mod admit;
mod answer_budget;
mod bridge;
mod decap;
mod emit;
mod encap;
mod flood;
mod forward;
mod fragment;
mod identification;
mod inner_fragments;
mod learn;
mod mss_clamp;
mod outer;
mod outer_chained;
mod quick_decap;
mod reassemble;
mod roam;
mod row;
mod send;
mod sequence;
mod spread;
mod too_big;
mod traffic_class;

pub use answer_budget::AnswerBudget;
pub use identification::Identification;
pub use reassemble::Fragments;

use wire::{
    offload_hint,
    overhead::{MAX_ENCAP_BYTES, VLAN_TAG_BYTES, XDP_HEADROOM_BYTES},
};
use xsk::{ChunkCache, SEGMENT_START_BYTES};

use crate::{
    batch::Batch,
    counters::WorkerCounters,
    ports::{Port, PortSet},
    tables::{PortId, snapshot::Tables},
};

/// Offset in its chunk at which a frame made here starts, so that it can be encapsulated in place. Units: bytes.
const COPY_START_BYTES: usize = 256;

/// Batches of packets that a worker takes over from others in one round at most, so that its own queues have their turn.
const PACKET_BATCHES: usize = 4;

const _: () = assert!(COPY_START_BYTES >= MAX_ENCAP_BYTES + VLAN_TAG_BYTES);
// Behind the outer headers there is room left for what the kernel wants in front of a frame to be sent, and for the link of a frame
// of several chunks, wherever the frame came from.
const _: () = assert!(COPY_START_BYTES <= XDP_HEADROOM_BYTES);
const _: () = assert!(COPY_START_BYTES - MAX_ENCAP_BYTES - VLAN_TAG_BYTES >= SEGMENT_START_BYTES);

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

/// What the stages change besides the batch: where frames and chunks can go.
#[derive(Debug)]
pub struct Exits<'a, P> {
    /// The worker's queues.
    pub ports: &'a mut PortSet<P>,
    /// The worker's free chunks.
    pub cache: &'a mut ChunkCache,
    /// Identifications of the worker's outer packets.
    pub identification: &'a mut Identification,
    /// The worker's outer packets that are not whole.
    pub fragments: &'a mut Fragments,
    /// ICMP errors that the worker may still send.
    pub answers: &'a mut AnswerBudget,
}

/// Takes a batch that arrived on `port` through all stages; the batch is empty afterwards.
#[inline]
pub fn run<P: Port>(context: &Context<'_>, port: PortId, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    context.counters.batches.add(1);
    context.counters.received.add(batch.frames.len() as u64);
    look_for_unfilled_checksum(port, batch, exits.ports);
    let table = context.tables.port(port);
    let is_underlay = table.is_some_and(|table| table.is_underlay);
    let attached = table.filter(|table| !table.attachment.is_empty());
    let mut common = None;
    if is_underlay && attached.is_none() {
        // Nothing here is for a LAN. Before there are slots, which those that are given away do not need.
        batch.close();
        common = spread_some(context, batch, exits);
    }
    batch.open();
    if let Some(table) = attached {
        admit::run(table, batch);
        if is_underlay {
            common = spread_some(context, batch, exits);
        }
    }
    match common {
        Some(position) => decap::run_alike(context, batch, position, exits.cache),
        None if is_underlay => decap::run(context, batch, exits.cache),
        None => {}
    }
    carry_on(context, batch, exits);
    run_whole(context, batch, exits);
}

/// Takes over fragments from other workers, and gives up packets that took too long; once per round. Returns the number of fragments.
#[inline]
pub fn run_fragments<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) -> usize {
    let taken = reassemble::take_over(context, exits);
    run_whole(context, batch, exits);
    taken
}

/// Takes packets of spread sessions over from other workers; once per round. Returns how many. More than one batch, because
/// several workers may give as many at a time.
#[inline]
pub fn run_packets<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) -> usize {
    let mut taken = 0;
    for _ in 0..PACKET_BATCHES {
        match exits.fragments.exchange().map_or(0, |exchange| exchange.take_packets(&mut batch.frames)) {
            0 => break,
            count => taken += count,
        }
        run_taken(context, batch, exits);
    }
    taken
}

/// Takes packets through all stages that another worker received.
#[inline(never)]
fn run_taken<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    batch.open();
    context.counters.batches.add(1);
    context.counters.taken.add(batch.frames.len() as u64);
    // Who gave them may have compared them, but perhaps with other tables.
    decap::run(context, batch, exits.cache);
    carry_on(context, batch, exits);
}

/// Gives packets that no stage looked at to the workers that have to take them, where there are sessions that are spread. Returns the session that
/// all packets left were found to be like.
#[inline]
fn spread_some<P>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) -> Option<u32> {
    if context.tables.sessions.spreading().is_empty() { None } else { spread::run(context, batch, exits) }
}

/// The stages that all frames have in common.
#[inline]
fn carry_on<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    bridge::run(context, batch);
    emit::run(context, batch, exits);
}

/// Takes packets that have become whole through the stages, as if they had arrived like that.
#[inline]
fn run_whole<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    if !exits.fragments.take_whole(&mut batch.frames) {
        return;
    }
    batch.open();
    match spread_some(context, batch, exits) {
        Some(position) => decap::run_alike(context, batch, position, exits.cache),
        None => decap::run(context, batch, exits.cache),
    }
    carry_on(context, batch, exits);
}

/// Looks at one frame of the batch for a checksum that its sender left to hardware: on a veth there is none, and the
/// frame's receiver will drop it. The main thread tells people (`port show`).
#[inline]
fn look_for_unfilled_checksum<P: Port>(port: PortId, batch: &Batch, ports: &mut PortSet<P>) {
    if let Some(frame) = batch.frames.first()
        && let Some(bytes) = frame.linear()
        && offload_hint::is_only_pseudo_header(bytes)
        && let Some(port) = ports.tx(port)
    {
        port.note_partial_checksum();
    }
}
