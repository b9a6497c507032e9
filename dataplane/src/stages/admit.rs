//! admit: a LAN frame enters the bridge domain of its port and VLAN.
//!
//! Place on the path: first stage for access ports. On a port that also faces the underlay, frames of VLANs that have
//! no attachment stay undecided and go on to `decap`.

use wire::ethernet;

use super::decap::enter;
use crate::{batch::Batch, tables::snapshot::PortTable, verdict::DropReason};

#[inline]
pub(super) fn run(port: &PortTable, batch: &mut Batch) {
    for (frame, slot) in batch.undecided() {
        let outer_vid = match ethernet::read(frame.bytes()) {
            Ok(view) => view.tags.outer().map(|tag| tag.vid.get()),
            Err(_) => {
                slot.discard(DropReason::EthernetMalformed);
                continue;
            }
        };
        match port.attachment.ingress(outer_vid) {
            Some(ingress) => enter(frame, slot, ingress),
            None if port.is_underlay => {}
            None => slot.discard(DropReason::VlanNotMember),
        }
    }
}
