//! emit: carries out what was decided, and counts it. The one place where a frame's way through the engine ends.
//!
//! Place on the path: last. Every frame of the batch passes [`run`] once and gets one [`Verdict`]; its chunks go to a
//! transmit ring or back to the worker's cache; a fragment of an outer packet goes to where it is put together.

use xsk::Frame;

use super::{
    Context, Exits, flood, reassemble,
    row::Row,
    send::{count_at_session, send},
    too_big::Origin,
};
use crate::{
    batch::{Batch, Fate, Slot},
    ports::Port,
    tables::bridge_domains::MemberId,
    verdict::{DropReason, Verdict},
};

#[inline]
pub(super) fn run<P: Port>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    let mut frames = batch.drain();
    let mut next = frames.next();
    while let Some((frame, slot)) = next {
        next = match Row::of(context, slot) {
            Some(row) => row.send(context, (frame, slot), &mut frames, exits),
            None => {
                one(context, frame, slot, exits);
                frames.next()
            }
        };
    }
}

/// Carries out what was decided about one frame, and counts it.
#[inline(never)]
pub(super) fn one<P: Port>(context: &Context<'_>, frame: Frame, slot: &Slot, exits: &mut Exits<'_, P>) {
    let verdict = match slot.fate {
        Fate::Forward(egress) => forward(context, frame, slot, egress, exits),
        Fate::Flood => flood::run(context, frame, slot, exits),
        Fate::Drop(reason) => discard(frame, reason, exits),
        Fate::Fragment => match reassemble::arrive(context, frame, exits) {
            Some(verdict) => verdict,
            // The table has it, and counts what becomes of it.
            None => return,
        },
        // Neither an access circuit nor a tunnel claimed it: the port carries nothing for it.
        Fate::Undecided | Fate::Entered => discard(frame, DropReason::VlanNotMember, exits),
    };
    count(context, slot, verdict);
}

/// Adds one verdict to the counters.
#[inline]
pub(super) fn count(context: &Context<'_>, slot: &Slot, verdict: Verdict) {
    context.counters.count(verdict);
    if let (Verdict::Dropped(reason), Some(position)) = (verdict, slot.session) {
        count_at_session(context, position, reason);
    }
}

#[inline]
fn discard<P>(frame: Frame, reason: DropReason, exits: &mut Exits<'_, P>) -> Verdict {
    exits.cache.give_frame(frame);
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
    let origin = Origin { domain: slot.domain, ingress: slot.ingress, may_answer: true };
    match context.tables.domain(slot.domain).and_then(|domain| domain.member(egress)) {
        Some(member) => match send(context, frame, origin, member, exits) {
            Ok(()) => Verdict::Forwarded,
            Err(reason) => Verdict::Dropped(reason),
        },
        None => discard(frame, DropReason::MemberDown, exits),
    }
}
