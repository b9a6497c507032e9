//! learn: the FDB of the frame's bridge domain notes where its source lives.
//!
//! Place on the path: after `decap` and `admit`, before `forward`.

use super::Context;
use crate::{
    batch::Slot,
    tables::{bridge_domains::BridgeDomain, fdb::Learned},
};

/// Notes where a frame's source, which is a station's address, lives.
pub(super) fn one(context: &Context<'_>, domain: &BridgeDomain, slot: &Slot) {
    if domain.fdb().learn(slot.source, slot.ingress, context.now_s) == Learned::Full {
        context.counters.fdb_full.add(1);
    }
}
