//! A port that fills in checksums: what leaves by it is what leaves by one that does not, and each packet asks for what it has to.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{net::Ipv6Addr, sync::Arc};

use dataplane::tables::{bridge_domains::MemberId, fdb::MacKey, session_state::SessionState};
use rig::{
    LAN_0, Plan, RING, Rig, WAN,
    frames::{EVERYBODY, PC_1, PC_2, lan_frame_of},
};
use xsk::ChecksumRequest;

const LOCAL_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const PEER_A_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER_B_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

/// Session A over IPv6 or IPv4 with UDP checksums.
fn over(is_v6: bool, plan: Plan) -> Plan {
    let v4 = Plan { udp_checksum: true, ..plan };
    if !is_v6 {
        return v4;
    }
    Plan { local: LOCAL_6.into(), peers: [PEER_A_6.into(), PEER_B_6.into()], ..v4 }
}

/// Behind the Ethernet and the IP header.
fn request(is_v6: bool) -> ChecksumRequest {
    ChecksumRequest { start: if is_v6 { 54 } else { 34 }, offset: 6 }
}

/// A rig in which PC 2 lives behind session A, over a WAN port that fills in checksums or not.
fn rig(checksum_offload: bool, plan: Plan) -> Rig {
    let rig = Rig::with(Plan { checksum_offload, ..plan });
    rig.fdb.learn(MacKey::new(PC_2), MemberId(2), 1);
    rig
}

/// Sends the frames through a gateway with such a port and one without, and expects the same packets, byte for byte, all of which ask
/// for their checksum or none.
fn expect_alike(plan: impl Fn() -> Plan, frames: &[Vec<u8>], asked: Option<ChecksumRequest>) {
    let (mut summed, mut asking) = (rig(false, plan()), rig(true, plan()));
    for frame in frames {
        summed.deliver(LAN_0, frame);
        asking.deliver(LAN_0, frame);
        let (expected, sent) = (summed.sent_asking(WAN), asking.sent_asking(WAN));
        assert!(!sent.is_empty(), "{} bytes", frame.len());
        assert_eq!(sent.len(), expected.len());
        for ((packet, request), (summed, nothing)) in sent.iter().zip(&expected) {
            assert_eq!(packet, summed, "{} bytes", frame.len());
            assert_eq!((*request, *nothing), (asked, None), "{} bytes", frame.len());
        }
    }
    summed.assert_conserved();
    asking.assert_conserved();
}

#[test]
fn packets_ask_for_their_checksum_and_are_then_as_if_it_had_been_made_here() {
    let frames: Vec<_> = (60..1500).map(|len| lan_frame_of(PC_2, PC_1, len)).collect();
    for is_v6 in [false, true] {
        expect_alike(|| over(is_v6, Plan::default()), &frames, Some(request(is_v6)));
    }
}

#[test]
fn numbered_packets_ask_for_theirs_too() {
    let numbered = || Plan { tx_numbers: [Some(Arc::<SessionState>::default()), None], ..Plan::default() };
    for is_v6 in [false, true] {
        let frames = [60, 61, 1400].map(|len| lan_frame_of(PC_2, PC_1, len));
        expect_alike(|| over(is_v6, numbered()), &frames, Some(request(is_v6)));
    }
}

#[test]
fn packets_in_several_chunks_ask_for_theirs_too() {
    for is_v6 in [false, true] {
        let frames = [1793, 3585, 3841, 9000, 9013].map(|len| lan_frame_of(PC_2, PC_1, len));
        expect_alike(|| over(is_v6, Plan::jumbo()), &frames, Some(request(is_v6)));
    }
}

#[test]
fn a_packet_that_leaves_in_fragments_has_its_checksum_from_here() {
    for is_v6 in [false, true] {
        let narrow = || Plan { path_mtu_bytes: 1300, ..Plan::default() };
        let frames: Vec<_> = (1300..1500).map(|len| lan_frame_of(PC_2, PC_1, len)).collect();
        expect_alike(|| over(is_v6, narrow()), &frames, None);
        let jumbo = || Plan { path_mtu_bytes: 4000, ..Plan::jumbo() };
        expect_alike(|| over(is_v6, jumbo()), &[lan_frame_of(PC_2, PC_1, 9000)], None);
    }
}

#[test]
fn of_a_flood_only_packets_with_udp_checksum_ask() {
    let mut rig = rig(true, over(true, Plan::default()));
    rig.deliver(LAN_0, &lan_frame_of(EVERYBODY, PC_1, 200));
    let asked: Vec<_> = rig.sent_asking(WAN).into_iter().map(|(_, request)| request).collect();
    assert_eq!(asked, [Some(request(true)), None], "session B is over IP");
    rig.assert_conserved();
}

#[test]
fn a_packet_that_a_full_ring_refused_at_first_still_asks() {
    for numbers in [None, Some(Arc::<SessionState>::default())] {
        let plan = Plan { tx_numbers: [numbers, None], ..Plan::default() };
        let mut rig = rig(true, over(true, plan));
        for _ in 0..RING {
            rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 100));
        }
        assert_eq!(rig.discard_sent(), RING as usize);
        // The engine takes the completed chunks back when the ring refuses this one.
        rig.deliver(LAN_0, &lan_frame_of(PC_2, PC_1, 200));
        let sent = rig.sent_asking(WAN);
        assert_eq!((sent.len(), sent[0].1), (1, Some(request(true))));
        rig.assert_conserved();
    }
}
