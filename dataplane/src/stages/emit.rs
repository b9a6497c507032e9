//! emit: carries out what was decided, and counts it. The one place where a frame leaves the engine.
//!
//! Place on the path: last. Every frame of the batch passes [`run`] once and gets one [`Verdict`]; its chunk goes to a
//! transmit ring or back to the worker's cache, never anywhere else.

use xsk::{ChunkCache, Frame};

use super::{Context, encap, flood};
use crate::{
    batch::{Batch, Fate, Slot},
    ports::{Port, PortSet},
    tables::{
        PortId,
        bridge_domains::{Circuit, Member, MemberId},
        sessions::SessionIndex,
    },
    verdict::{DropReason, Verdict},
};

/// Where frames and chunks can go.
pub(super) struct Exits<'a, P> {
    /// The worker's queues.
    pub(super) ports: &'a mut PortSet<P>,
    /// The worker's free chunks.
    pub(super) cache: &'a mut ChunkCache,
    /// Next IPv4 identification of the worker.
    pub(super) identification: &'a mut u16,
}

#[inline]
pub(super) fn run<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    for (frame, slot) in batch.drain() {
        let verdict = match slot.fate {
            Fate::Forward(egress) => forward(context, frame, &slot, egress, exits),
            Fate::Flood => flood::run(context, frame, &slot, exits),
            Fate::Drop(reason) => {
                count_at_session(context, &slot, reason);
                discard(frame, reason, exits)
            }
            // Neither an access circuit nor a tunnel claimed it: the port carries nothing for it.
            Fate::Undecided => discard(frame, DropReason::VlanNotMember, exits),
        };
        count(context, verdict);
    }
}

/// Adds one verdict to the counters.
#[inline]
fn count(context: &Context<'_>, verdict: Verdict) {
    let counters = context.counters;
    match verdict {
        Verdict::Forwarded => counters.forwarded.add(1),
        Verdict::Flooded => counters.flooded.add(1),
        Verdict::Dropped(reason) => counters.drops.add(reason),
    }
}

/// Adds a drop to the pseudowire the frame came from, when that is known. What fails on the way out is counted at the
/// pseudowire it should have left by.
#[cold]
fn count_at_session(context: &Context<'_>, slot: &Slot, reason: DropReason) {
    if let Some(session) = slot.session.and_then(|position| context.tables.sessions.at(position))
        && let Some(counters) = session.counters.of(context.worker)
    {
        counters.drops.add(reason);
    }
}

#[inline]
fn discard<P>(frame: Frame, reason: DropReason, exits: &mut Exits<'_, P>) -> Verdict {
    exits.cache.give(frame.into_chunk());
    Verdict::Dropped(reason)
}

#[inline]
fn forward<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    slot: &Slot,
    egress: MemberId,
    exits: &mut Exits<'_, P>,
) -> Verdict {
    match context.tables.domain(slot.domain).and_then(|domain| domain.member(egress)) {
        Some(member) => match send(context, frame, member, exits) {
            Ok(()) => Verdict::Forwarded,
            Err(reason) => Verdict::Dropped(reason),
        },
        None => discard(frame, DropReason::MemberDown, exits),
    }
}

/// Sends a frame out by a member; the frame is gone afterwards, sent or not.
///
/// # Errors
/// The reason why it was not sent; its chunk is back in the cache.
#[inline]
pub(super) fn send<P: Port>(
    context: &Context<'_>,
    mut frame: Frame,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let tagged = match member.vlan {
        Some(vlan) => encap::push_vlan(&mut frame, vlan),
        None => Ok(()),
    };
    match tagged {
        Ok(()) => match member.circuit {
            Circuit::Port(port) => send_to_port(context, frame, port, exits),
            Circuit::Session(index) => send_to_session(context, frame, index, exits),
            Circuit::Down => refuse(frame, DropReason::MemberDown, exits),
        },
        Err(reason) => refuse(frame, reason, exits),
    }
}

#[inline]
fn send_to_port<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    port: PortId,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let fits = context.tables.port(port).is_some_and(|table| frame.len() <= table.max_frame_bytes);
    if !fits {
        return refuse(frame, DropReason::TooBig, exits);
    }
    transmit(frame, port, exits)
}

#[inline]
fn send_to_session<P: Port>(
    context: &Context<'_>,
    mut frame: Frame,
    index: SessionIndex,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let Some(session) = context.tables.tx_session(index) else {
        return refuse(frame, DropReason::MemberDown, exits);
    };
    let inner_bytes = frame.len() as u64;
    let sent = match encap::run(&mut frame, session, exits.identification) {
        Ok(()) => transmit(frame, session.port(), exits),
        Err(reason) => refuse(frame, reason, exits),
    };
    if let Some(counters) = session.counters().of(context.worker) {
        match sent {
            Ok(()) => {
                counters.tx_frames.add(1);
                counters.tx_bytes.add(inner_bytes);
            }
            Err(reason) => counters.drops.add(reason),
        }
    }
    sent
}

#[inline]
fn transmit<P: Port>(frame: Frame, port: PortId, exits: &mut Exits<'_, P>) -> Result<(), DropReason> {
    let Some(queue) = exits.ports.tx(port) else {
        return refuse(frame, DropReason::NoTxQueue, exits);
    };
    match queue.transmit(frame) {
        Ok(()) => Ok(()),
        Err(frame) => refuse(frame, DropReason::TxRingFull, exits),
    }
}

#[inline]
fn refuse<P>(frame: Frame, reason: DropReason, exits: &mut Exits<'_, P>) -> Result<(), DropReason> {
    exits.cache.give(frame.into_chunk());
    Err(reason)
}
