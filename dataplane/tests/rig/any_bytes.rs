//! What holds whatever arrives: checked by the fuzz targets and, for their seeds, by a test.

use std::sync::Arc;

use dataplane::{
    reassembly::Limits,
    tables::{
        PortId,
        bridge_domains::{Circuit, DomainId, Member, MemberId},
        fdb::MacKey,
        session_state::RxSequencing,
    },
    verdict::{DropReason, Verdict},
};
use wire::{ethernet::VlanId, l2tpv3::Cookie};

use super::{LAN_0, LAN_1, Plan, Rig, WAN, frames::PC_2};

/// The VLAN of LAN 0 that is a member of its own.
const VLAN: u16 = 10;

/// A rig that takes any bytes, one frame at a time: LAN 0 takes part whole and by VLAN 10, PC 2 lives behind session A,
/// which numbers what it sends and accepts two cookies; received numbers are observed.
pub struct AnyBytes {
    rig: Rig,
}

impl AnyBytes {
    pub fn new() -> Self {
        let vlan = VlanId::new(VLAN).unwrap();
        let mut plan = Plan {
            tx_numbers: [Some(Arc::default()), None],
            rx_sequencing: std::array::from_fn(|_| RxSequencing::Observed(Arc::default())),
            rx_cookie_also: Some(Cookie::eight([8, 7, 6, 5, 4, 3, 2, 1])),
            ..Plan::default()
        };
        plan.members.push(Member { circuit: Circuit::Port(LAN_0), vlan: Some(vlan), group: 0 });
        plan.attachments[0].attach_vlan(vlan, DomainId(0), MemberId(4));
        Self { rig: Rig::with(plan) }
    }

    /// Bytes arrive on the WAN. Returns what became of them; `None`: they do not fit a chunk.
    ///
    /// # Panics
    /// When a chunk is lost, the frame has not exactly one verdict, or something leaves that did not come.
    pub fn arrive_on_wan(&mut self, bytes: &[u8]) -> Option<Verdict> {
        let verdict = self.arrive(WAN, bytes)?;
        for frame in self.rig.sent(LAN_1) {
            assert!(bytes.windows(frame.len()).any(|part| part == frame), "{frame:02x?} did not arrive");
        }
        self.rig.assert_conserved();
        Some(verdict)
    }

    /// Bytes arrive on LAN 0. As [`AnyBytes::arrive_on_wan`].
    ///
    /// # Panics
    /// As [`AnyBytes::arrive_on_wan`].
    pub fn arrive_on_lan(&mut self, bytes: &[u8]) -> Option<Verdict> {
        let verdict = self.arrive(LAN_0, bytes)?;
        let inside = without_own_tag(bytes);
        for frame in self.rig.sent(LAN_1) {
            assert_eq!(frame, inside, "a LAN frame leaves as it came, its own tag apart");
        }
        for packet in whole(self.rig.sent(WAN)) {
            assert!(packet.ends_with(&inside), "{packet:02x?} carries another frame");
        }
        self.rig.assert_conserved();
        Some(verdict)
    }

    fn arrive(&mut self, port: PortId, bytes: &[u8]) -> Option<Verdict> {
        self.rig.fdb.flush(|_| true);
        self.rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
        let before = self.ends();
        if !self.rig.arrive(port, bytes) {
            return None;
        }
        self.rig.drain();
        self.end_waiting();
        let mut verdicts =
            before.into_iter().zip(self.ends()).filter(|((_, before), (_, after))| before != after);
        let ((verdict, before), (_, after)) = verdicts.next().expect("a frame has a verdict");
        assert_eq!((after - before, verdicts.next()), (1, None), "and no other one");
        Some(verdict)
    }

    /// Ends the time that a fragment waits for others, if that is what arrived.
    fn end_waiting(&mut self) {
        if self.rig.count().chunks.read().parked > 0 {
            self.rig.clock.set_s(self.rig.clock.now_s() + Limits::WORKER.timeout_s + 1);
            self.rig.drain();
        }
        assert_eq!(self.rig.count().chunks.read().parked, 0, "a fragment waits for its time and no longer");
    }

    /// How often each verdict was given so far.
    fn ends(&self) -> Vec<(Verdict, u64)> {
        let counters = self.rig.count();
        let drops =
            DropReason::ALL.iter().map(|&reason| (Verdict::Dropped(reason), counters.drops.get(reason)));
        [(Verdict::Forwarded, counters.forwarded.get()), (Verdict::Flooded, counters.flooded.get())]
            .into_iter()
            .chain(drops)
            .collect()
    }
}

/// Packets of an IPv4 underlay, those put together that left in fragments, one behind the other.
fn whole(sent: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for packet in sent {
        let offset = usize::from(u16::from_be_bytes([packet[20], packet[21]]) & 0x1FFF) * 8;
        match packets.last_mut().filter(|_| offset > 0) {
            Some(last) => {
                assert_eq!(last.len(), 34 + offset, "fragments leave in order and without a gap");
                last.extend(&packet[34..]);
            }
            None => packets.push(packet),
        }
    }
    packets
}

/// A frame of LAN 0 as it is inside the bridge domain.
fn without_own_tag(bytes: &[u8]) -> Vec<u8> {
    let tci = bytes.strip_prefix(bytes.get(..12).unwrap_or(bytes)).and_then(|rest| match rest {
        [0x81, 0x00, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    });
    match tci {
        Some(tci) if tci & 0x0FFF == VLAN => [&bytes[..12], &bytes[16..]].concat(),
        _ => bytes.to_vec(),
    }
}
