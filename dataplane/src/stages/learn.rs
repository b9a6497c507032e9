//! learn: the FDB of the frame's bridge domain notes where its source lives.
//!
//! Place on the path: after `decap` and `admit`, before `forward`.

use super::Context;
use crate::{batch::Batch, tables::fdb::Learned, verdict::DropReason};

#[inline]
pub(super) fn run(context: &Context<'_>, batch: &mut Batch) {
    for slot in batch.entered() {
        if !slot.source.is_station() {
            slot.discard(DropReason::InvalidSource);
            continue;
        }
        if let Some(domain) = context.tables.domain(slot.domain)
            && domain.fdb().learn(slot.source, slot.ingress, context.now_s) == Learned::Full
        {
            context.counters.fdb_full.add(1);
        }
    }
}
