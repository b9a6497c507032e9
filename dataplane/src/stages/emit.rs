//! emit: carries out what was decided, and counts it. The one place where a frame's way through the engine ends.
//!
//! Place on the path: last. Every frame of the batch passes [`run`] once and gets one [`Verdict`]; its chunks go to a
//! transmit ring or back to the worker's cache; a fragment of an outer packet goes to where it is put together.

use arrayvec::ArrayVec;
use xsk::{BATCH, Frame};

use super::{
    Context, Exits, flood,
    identification::Identification,
    reassemble,
    row::{self, Row},
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
    // Filled where it stands: to move so many would be a call of `memcpy`.
    let mut rows = ArrayVec::new();
    divide(context, batch, exits.identification, &mut rows);
    let (mut frames, mut slots) = batch.drain();
    for rows in rows.chunk_by_mut(|row, next| row.exit() == next.exit()) {
        let count: usize = rows.iter().map(Row::len).sum();
        let Some((own, behind)) = slots.split_at_checked(count) else { return };
        match rows.first().and_then(Row::exit) {
            Some(exit) => row::send(context, exit, rows, &mut frames, own, exits),
            None => own.iter().zip(&mut frames).for_each(|(slot, frame)| one(context, frame, slot, exits)),
        }
        slots = behind;
    }
}

/// Divides a batch into rows; the frames are then ready for transmission but for those that go by themselves.
#[inline]
fn divide<'t>(
    context: &Context<'t>,
    batch: &mut Batch,
    identification: &mut Identification,
    rows: &mut ArrayVec<Row<'t>, BATCH>,
) {
    let (mut frames, mut slots) = batch.parts();
    while !frames.is_empty() {
        let row = Row::of(context, frames, slots, identification);
        let count = row.len();
        rows.push(row);
        let (Some(rest), Some(rest_slots)) = (frames.get_mut(count..), slots.get_mut(count..)) else { break };
        (frames, slots) = (rest, rest_slots);
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
