//! flood: a frame for everybody, or for somebody unknown, leaves by every member of the flood set.
//!
//! Place on the path: called by `emit`. The last member gets the frame itself, each other one a copy; a copy needs a
//! chunk, and when there is none that member goes without, which is counted.

use xsk::Frame;

use super::{
    COPY_START_BYTES, Context, Exits,
    send::{check, count_at_member, leave, send},
    too_big::{self, Origin},
};
use crate::{
    batch::Slot,
    ports::Port,
    tables::bridge_domains::Member,
    verdict::{DropReason, Verdict},
};

pub(super) fn run<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    slot: &Slot,
    exits: &mut Exits<'_, P>,
) -> Verdict {
    let Some(domain) = context.tables.domain(slot.domain) else {
        exits.cache.give_frame(frame);
        return Verdict::Dropped(DropReason::NoDestination);
    };
    let mut outcome = Outcome { left: 0, refusal: DropReason::NoDestination };
    let mut waiting: Option<&Member> = None;
    for (_, member) in domain.flood_targets(slot.ingress) {
        if let Some(member) = waiting.replace(member) {
            outcome.note(context, send_copy(context, &frame, member, exits));
        }
    }
    match waiting {
        Some(member) => {
            // The sender hears that its frame is too big only when nobody got it: it may live on another member.
            let may_answer = outcome.left == 0 && !slot.destination.is_group();
            let origin = Origin { domain: slot.domain, ingress: slot.ingress, may_answer };
            outcome.note(context, send(context, frame, origin, member, exits));
        }
        None => exits.cache.give_frame(frame),
    }
    outcome.verdict(context)
}

/// What became of the destinations so far.
struct Outcome {
    left: u64,
    refusal: DropReason,
}

impl Outcome {
    fn note(&mut self, context: &Context<'_>, sent: Result<(), DropReason>) {
        match sent {
            Ok(()) => self.left += 1,
            Err(reason) => {
                self.refusal = reason;
                context.counters.copy_drops.add(reason);
            }
        }
    }

    fn verdict(&self, context: &Context<'_>) -> Verdict {
        if self.left == 0 {
            return Verdict::Dropped(self.refusal);
        }
        context.counters.copies.add(self.left - 1);
        Verdict::Flooded
    }
}

fn send_copy<P: Port>(
    context: &Context<'_>,
    frame: &Frame,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let copied = match check(context, frame.len(), member) {
        Ok(()) => copy(frame, exits),
        Err(DropReason::TooBig) => return too_big::run_copy(context, frame, member, exits),
        Err(reason) => Err(reason),
    };
    match copied {
        Ok(copy) => leave(context, copy, member, exits),
        Err(reason) => {
            count_at_member(context, member, reason);
            Err(reason)
        }
    }
}

/// A copy in one chunk where the frame stands in one and there is as much room behind the copy's headroom; else in several.
fn copy<P>(frame: &Frame, exits: &mut Exits<'_, P>) -> Result<Frame, DropReason> {
    if !frame.is_linear() {
        return copy_chained(frame, exits);
    }
    let chunk = exits.cache.take().ok_or(DropReason::NoChunk)?;
    frame.copy_into(chunk, COPY_START_BYTES).or_else(|chunk| {
        exits.cache.give(chunk);
        copy_chained(frame, exits)
    })
}

#[cold]
fn copy_chained<P>(frame: &Frame, exits: &mut Exits<'_, P>) -> Result<Frame, DropReason> {
    frame.copy_from_cache(COPY_START_BYTES, exits.cache).ok_or(DropReason::NoChunk)
}
