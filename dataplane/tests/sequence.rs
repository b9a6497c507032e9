//! Sequence numbers, sent and received: what is written, what is dropped, what is counted.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::sync::Arc;

use dataplane::{
    tables::{
        oversize::Fragmentation,
        session_state::{RxSequencing, SessionState},
    },
    verdict::DropReason,
};
use etherparse::{SlicedPacket, TransportSlice};
use rig::{
    LAN_0, Plan, Rig, WAN,
    frames::{PC_1, changed, inner, lan_frame_of, packet_a, packet_b},
};
use wire::l2tpv3::Sublayer;

/// Where the sublayer stands in a packet of session A, over UDP with a cookie, and of session B, over IP without.
const SUBLAYER_A: std::ops::Range<usize> = 58..62;
const SUBLAYER_B: std::ops::Range<usize> = 38..42;

/// Whether a packet is one of session A: protocol UDP.
fn is_a(packet: &[u8]) -> bool {
    packet[23] == 17
}

/// The sublayer words of what was sent, session A's and session B's.
fn words(sent: &[Vec<u8>]) -> [Vec<u32>; 2] {
    let of = |a: bool, at: std::ops::Range<usize>| {
        let packets = sent.iter().filter(|packet| is_a(packet) == a);
        packets.map(|packet| u32::from_be_bytes(packet[at.clone()].try_into().unwrap())).collect()
    };
    [of(true, SUBLAYER_A), of(false, SUBLAYER_B)]
}

/// A packet of session A with this sublayer word.
fn numbered(word: u32) -> Vec<u8> {
    changed(packet_a(&inner()), |packet| packet[SUBLAYER_A].copy_from_slice(&word.to_be_bytes()))
}

/// The S bit.
const S: u32 = 0x4000_0000;

/// A rig in which session A treats numbers so, that got packets of session A with these sublayer words.
fn after(sequencing: RxSequencing, words: impl IntoIterator<Item = u32>) -> Rig {
    let mut rig = Rig::with(Plan { rx_sequencing: [sequencing, RxSequencing::Ignored], ..Plan::default() });
    for word in words {
        rig.deliver(WAN, &numbered(word));
    }
    rig
}

fn strict() -> RxSequencing {
    RxSequencing::Strict(Arc::default())
}

fn observed() -> RxSequencing {
    RxSequencing::Observed(Arc::default())
}

/// Drops of session A for a reason.
fn dropped(rig: &Rig, reason: DropReason) -> u64 {
    rig.sessions[0].of(0).unwrap().drops.get(reason)
}

#[test]
fn a_session_numbers_what_it_sends_from_zero_and_one_that_is_not_told_to_sends_zeros() {
    let mut rig = Rig::with(Plan { tx_numbers: [Some(Arc::default()), None], ..Plan::default() });
    for _ in 0..3 {
        rig.deliver(LAN_0, &inner());
    }
    assert_eq!(words(&rig.sent(WAN)), [vec![S, S | 1, S | 2], vec![0, 0, 0]]);
    rig.assert_conserved();
}

#[test]
fn numbers_go_on_over_new_tables_and_wrap_behind_24_bits() {
    let state = Arc::new(SessionState::default());
    (0..0xFF_FFFE).for_each(|_| _ = state.next_tx());
    let plan = || Plan { tx_numbers: [Some(Arc::clone(&state)), None], ..Plan::default() };
    let mut rig = Rig::with(plan());
    rig.deliver(LAN_0, &inner());
    rig.republish(plan());
    rig.deliver(LAN_0, &inner());
    rig.deliver(LAN_0, &inner());
    assert_eq!(words(&rig.sent(WAN))[0], [S | 0xFF_FFFE, S | 0xFF_FFFF, S]);
    rig.assert_conserved();
}

#[test]
fn a_session_without_sublayer_has_no_place_for_numbers() {
    let tx_numbers = [Some(Arc::default()), None];
    let mut rig = Rig::with(Plan { tx_numbers, sublayers: [Sublayer::None; 2], ..Plan::default() });
    rig.deliver(LAN_0, &inner());
    let sent = rig.sent(WAN);
    let packet = sent.iter().find(|packet| is_a(packet)).unwrap();
    assert_eq!(packet[SUBLAYER_A.start..], inner(), "the frame follows the cookie");
    assert_eq!(&packet[50..58], rig::COOKIE_A, "and the cookie is whole");
}

#[test]
fn a_frame_that_is_too_big_takes_no_number() {
    let tx_numbers = [Some(Arc::default()), None];
    let fragmentation = Fragmentation::Drop;
    let mut rig = Rig::with(Plan { tx_numbers, path_mtu_bytes: 200, fragmentation, ..Plan::default() });
    rig.deliver(LAN_0, &inner());
    rig.deliver(LAN_0, &lan_frame_of([0xFF; 6], PC_1, 400));
    rig.deliver(LAN_0, &inner());
    assert_eq!(words(&rig.sent(WAN))[0], [S, S | 1]);
}

#[test]
fn a_udp_checksum_covers_the_number() {
    let tx_numbers = [Some(Arc::default()), None];
    let mut rig = Rig::with(Plan { tx_numbers, udp_checksum: true, ..Plan::default() });
    for number in 0..3 {
        rig.deliver(LAN_0, &inner());
        let sent = rig.sent(WAN);
        let packet = sent.iter().find(|packet| is_a(packet)).unwrap();
        assert_eq!(packet[61], number);
        let parsed = SlicedPacket::from_ethernet(packet).unwrap();
        let ip = parsed.net.as_ref().unwrap().ipv4_ref().unwrap().header().to_header();
        let Some(TransportSlice::Udp(udp)) = &parsed.transport else { panic!("UDP") };
        assert_eq!(udp.checksum(), udp.to_header().calc_checksum_ipv4(&ip, udp.payload()).unwrap());
    }
}

#[test]
fn what_we_send_is_by_configuration_whatever_the_peer_sends() {
    // A kernel would begin to number when the peer does, and stop when the peer stops.
    let mut rig = Rig::with(Plan { tx_numbers: [None, Some(Arc::default())], ..Plan::default() });
    rig.deliver(WAN, &numbered(S | 5));
    rig.deliver(WAN, &packet_b(&inner()));
    rig.discard_sent();
    rig.deliver(LAN_0, &inner());
    let [a, b] = words(&rig.sent(WAN));
    assert_eq!(a, [0], "session A heard numbers");
    assert_eq!(b.len(), 1);
    assert_eq!(b[0] & S, S, "session B heard none");
}

#[test]
fn without_a_word_about_numbers_any_and_none_are_accepted() {
    let mut rig = after(RxSequencing::Ignored, [S | 5, 0, S | 5, S, 0, S | 0xFF_FFFF]);
    assert_eq!(rig.sent(LAN_0).len(), 6);
    assert_eq!(rig.count().drops.total(), 0);
}

#[test]
fn strict_sessions_accept_in_order_what_is_in_order() {
    let mut rig = after(strict(), (0..200).map(|n| S | (0xFF_FF9C + n) & 0xFF_FFFF));
    assert_eq!((rig.sent(LAN_0).len(), rig.count().drops.total()), (200, 0));
    rig.assert_conserved();
}

#[test]
fn strict_sessions_drop_what_has_no_number_and_go_on() {
    let mut rig = after(strict(), [S | 7, 0, S | 8, 9, S | 9]);
    assert_eq!((rig.sent(LAN_0).len(), dropped(&rig, DropReason::SequenceMissing)), (3, 2));
    assert_eq!(rig.count().drops.total(), 2);
    rig.assert_conserved();
}

#[test]
fn strict_sessions_drop_five_behind_a_lost_packet_and_resync_once() {
    let mut rig = after(strict(), (0..20).filter(|n| *n != 4).map(|n| S | n));
    assert_eq!((rig.sent(LAN_0).len(), dropped(&rig, DropReason::OutOfSequence)), (14, 5));
    assert_eq!(rig.sessions[0].of(0).unwrap().rx_resyncs.get(), 1);
    rig.assert_conserved();
}

#[test]
fn new_tables_do_not_make_a_strict_session_forget() {
    let state = Arc::new(SessionState::default());
    let plan = || {
        let strict = RxSequencing::Strict(Arc::clone(&state));
        Plan { rx_sequencing: [strict, RxSequencing::Ignored], ..Plan::default() }
    };
    let mut rig = Rig::with(plan());
    rig.deliver(WAN, &numbered(S | 10));
    rig.republish(plan());
    rig.deliver(WAN, &numbered(S | 10));
    rig.deliver(WAN, &numbered(S | 11));
    assert_eq!((rig.sent(LAN_0).len(), dropped(&rig, DropReason::OutOfSequence)), (2, 1));
}

#[test]
fn a_packet_that_is_refused_for_something_else_does_not_move_the_expectation() {
    let mut rig = after(strict(), [S | 10]);
    let mut wrong_cookie = numbered(S | 11);
    wrong_cookie[50] ^= 1;
    rig.deliver(WAN, &wrong_cookie);
    rig.deliver(WAN, &numbered(S | 0x8000_0000 | 11));
    rig.deliver(WAN, &numbered(S | 0x1000_0000 | 11));
    assert_eq!(rig.sent(LAN_0).len(), 1);
    rig.deliver(WAN, &numbered(S | 11));
    assert_eq!((rig.sent(LAN_0).len(), dropped(&rig, DropReason::OutOfSequence)), (1, 0));
}

#[test]
fn a_recording_played_back_leaves_a_running_session_and_its_neighbour_alone() {
    // Cookie and addresses of the recorded packets are right: only the numbers are old.
    let mut rig = after(strict(), (0..100).map(|n| S | n));
    rig.discard_sent();
    let (mut delivered, mut played) = (0, 0);
    for number in 100..400 {
        for old in 0..3 {
            rig.deliver(WAN, &numbered(S | ((number * 3 + old) % 100)));
            played += 1;
        }
        assert_eq!(rig.discard_sent(), 0);
        rig.deliver(WAN, &numbered(S | number));
        delivered += rig.sent(LAN_0).len();
        rig.deliver(WAN, &packet_b(&inner()));
        assert!(!rig.sent(LAN_0).is_empty(), "session B");
        rig.discard_sent();
    }
    assert_eq!((delivered, dropped(&rig, DropReason::OutOfSequence)), (300, played));
    rig.assert_conserved();
}

#[test]
fn observing_sessions_drop_nothing_and_count_everything() {
    let numbers = (0..200).filter(|n| ![10, 11, 50].contains(n)).flat_map(|n| match n {
        20 => vec![22, 21, 20],
        21 | 22 => vec![],
        30 => vec![30, 30],
        n => vec![n],
    });
    let mut rig = after(observed(), numbers.map(|n| S | n).chain([0, 0]));
    assert_eq!(rig.sent(LAN_0).len(), 197 + 1 + 2);
    assert_eq!(rig.count().drops.total(), 0);
    let counters = rig.sessions[0].of(0).unwrap();
    let counts = [
        &counters.rx_numbered,
        &counters.rx_lost,
        &counters.rx_late,
        &counters.rx_duplicates,
        &counters.rx_resyncs,
    ]
    .map(|counter| counter.get());
    assert_eq!(counts, [198, 3, 2, 1, 0]);
    rig.assert_conserved();
}
