//! admit: a LAN frame enters the bridge domain of its port and VLAN.
//!
//! Place on the path: first stage for access ports. On a port that also faces the underlay, frames of VLANs that have
//! no attachment stay undecided and go on to `decap`.

use wire::ethernet;

use super::decap::enter;
use crate::{
    batch::Batch,
    tables::{attachment::Ingress, snapshot::PortTable},
    verdict::DropReason,
};

#[inline]
pub(super) fn run(port: &PortTable, batch: &mut Batch) {
    if let Some(ingress) = port.attachment.whole_alone() {
        return run_whole(ingress, batch);
    }
    for (frame, slot) in batch.all() {
        match port.attachment.ingress(frame.head()) {
            Ok(Some(ingress)) => enter(frame, slot, ingress),
            Ok(None) if port.is_underlay => {}
            Ok(None) => slot.discard(DropReason::VlanNotMember),
            // Where there is more of the frame, its header is there.
            Err(_) if !frame.is_linear() => slot.discard(DropReason::HeadersSplit),
            Err(error) => slot.discard(error.into()),
        }
    }
}

/// The same for a port that is attached as a whole: nothing but addresses is looked at.
#[inline]
fn run_whole(ingress: Ingress, batch: &mut Batch) {
    for (frame, slot) in batch.all() {
        match ethernet::split(frame.head()) {
            Ok((header, _)) => slot.enter(ingress, header),
            Err(_) if !frame.is_linear() => slot.discard(DropReason::HeadersSplit),
            Err(error) => slot.discard(error.into()),
        }
    }
}
