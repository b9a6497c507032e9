//! forward: where a frame goes, by its destination address.
//!
//! Place on the path: after `learn`; `emit` carries out what is decided here.
//!
//! Addresses 01-80-C2-00-00-01 to -0F never pass a bridge (IEEE 802.1Q-2018 table 8-1; PAUSE is the first of them).
//! -00, where STP listens, passes like any multicast while the bridge domain runs no STP of its own, as the kernel's
//! bridge does (Linux `net/bridge/br_input.c`, `br_handle_frame`).

use crate::{
    batch::{Fate, Slot},
    tables::bridge_domains::BridgeDomain,
    verdict::DropReason,
};

/// What becomes of a frame that entered a domain.
pub(super) fn one(domain: &BridgeDomain, slot: &Slot) -> Fate {
    if slot.destination.is_group() {
        return match slot.destination.reserved() {
            None | Some(0) => Fate::Flood,
            Some(_) => Fate::Drop(DropReason::ReservedMulticast),
        };
    }
    match domain.fdb().lookup(slot.destination) {
        None => Fate::Flood,
        Some(egress) if egress == slot.ingress => Fate::Drop(DropReason::SamePort),
        Some(egress) if !domain.may_pass(slot.ingress, egress) => Fate::Drop(DropReason::SplitHorizon),
        Some(egress) => Fate::Forward(egress),
    }
}
