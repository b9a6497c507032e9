//! bridge: one pass over the frames that entered a bridge domain: learn, then forward.
//!
//! Place on the path: after `decap` and `admit`, before `emit`. Not in it: what is learned (`learn`) and where frames go (`forward`).
//!
//! Bench: `encap`, together with FDB places that the hash names, 372 -> 324 instructions per frame.

use super::{Context, forward, learn};
use crate::{
    batch::{Batch, Fate},
    verdict::DropReason,
};

#[inline]
pub(super) fn run(context: &Context<'_>, batch: &mut Batch) {
    // Nearly always all frames of a batch are of one domain.
    let mut at_hand = None;
    for slot in batch.entered() {
        if !slot.source.is_station() {
            slot.fate = Fate::Drop(DropReason::InvalidSource);
            continue;
        }
        let domain = match at_hand {
            Some((id, domain)) if id == slot.domain => domain,
            _ => match context.tables.domain(slot.domain) {
                Some(domain) => at_hand.insert((slot.domain, domain)).1,
                None => {
                    slot.fate = Fate::Drop(DropReason::NoDestination);
                    continue;
                }
            },
        };
        learn::one(context, domain, slot);
        slot.fate = forward::decide(domain, slot);
    }
}
