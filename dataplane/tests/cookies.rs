//! Two cookies at a time: either is accepted, nothing else is, and a change-over in the documented order loses nothing.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use dataplane::verdict::DropReason;
use rig::{
    COOKIE_A, LAN_0, PEER_A, Plan, Rig, WAN,
    frames::{data_packet, from_peer, inner},
};
use wire::{
    build::Transport,
    l2tpv3::{Cookie, Sublayer},
};

const OLD: Cookie = Cookie::eight(COOKIE_A);
const NEW: Cookie = Cookie::eight([0xA5, 0x5A, 0xA5, 0x5A, 0xA5, 0x5A, 0xA5, 0x5A]);

/// A packet of session A with this cookie.
fn packet(cookie: Cookie) -> Vec<u8> {
    let spec = from_peer(PEER_A, Transport::udp_unchecked(5001, 6001));
    data_packet(&spec, 1000, cookie, Sublayer::Default, &inner())
}

fn accepting(rx_cookie: Cookie, rx_cookie_also: Option<Cookie>) -> Plan {
    Plan { rx_cookie, rx_cookie_also, ..Plan::default() }
}

/// Frames that session A received, and those of them with its second cookie.
fn received(rig: &Rig) -> (u64, u64) {
    let counters = rig.sessions[0].of(0).unwrap();
    (counters.rx_frames.get(), counters.rx_cookie_also.get())
}

#[test]
fn both_cookies_are_accepted_and_told_apart() {
    let mut rig = Rig::with(accepting(OLD, Some(NEW)));
    for cookie in [OLD, NEW, NEW, OLD, NEW] {
        rig.deliver(WAN, &packet(cookie));
        assert_eq!(rig.sent(LAN_0), [inner()]);
    }
    assert_eq!(received(&rig), (5, 3));
    rig.assert_conserved();
}

#[test]
fn a_third_cookie_is_refused_whatever_bit_it_differs_in() {
    let mut rig = Rig::with(accepting(OLD, Some(NEW)));
    for bit in 0..64 {
        for cookie in [OLD, NEW] {
            let mut other = cookie.padded();
            other[bit / 8] ^= 1 << (bit % 8);
            rig.deliver(WAN, &packet(Cookie::eight(other)));
        }
    }
    assert_eq!((rig.drops(DropReason::CookieMismatch), rig.discard_sent()), (128, 0));
    assert_eq!(received(&rig), (0, 0));
    rig.assert_conserved();
}

#[test]
fn without_a_second_cookie_the_first_is_the_only_one() {
    let mut rig = Rig::with(accepting(OLD, None));
    rig.deliver(WAN, &packet(NEW));
    assert_eq!((rig.drops(DropReason::CookieMismatch), rig.discard_sent()), (1, 0));
}

#[test]
fn cookies_of_four_bytes_can_be_two_as_well() {
    let [first, second] = [Cookie::four([1, 2, 3, 4]), Cookie::four([5, 6, 7, 8])];
    let mut rig = Rig::with(accepting(first, Some(second)));
    for cookie in [first, second] {
        rig.deliver(WAN, &packet(cookie));
        assert_eq!(rig.sent(LAN_0), [inner()]);
    }
    rig.deliver(WAN, &packet(Cookie::four([1, 2, 7, 8])));
    assert_eq!((rig.drops(DropReason::CookieMismatch), received(&rig)), (1, (2, 1)));
}

#[test]
fn a_packet_that_ends_in_the_second_cookie_is_truncated() {
    let mut rig = Rig::with(accepting(OLD, Some(NEW)));
    let spec = from_peer(PEER_A, Transport::udp_unchecked(5001, 6001));
    let cut = [&[0, 3, 0, 0, 0, 0, 3, 0xE8][..], &NEW.padded()[..5]].concat();
    rig.deliver(WAN, &rig::frames::raw_packet(&spec, &cut));
    assert_eq!((rig.drops(DropReason::PayloadTruncated), rig.discard_sent()), (1, 0));
}

#[test]
fn a_change_over_in_the_documented_order_loses_nothing() {
    let mut rig = Rig::with(accepting(OLD, None));
    let mut sent = 0;
    let mut send = |rig: &mut Rig, cookie| {
        for _ in 0..10 {
            rig.deliver(WAN, &packet(cookie));
            sent += 1;
        }
    };
    send(&mut rig, OLD);
    rig.republish(accepting(OLD, Some(NEW)));
    send(&mut rig, OLD);
    // The peer sends the new one from here on; some of the old are still under way.
    send(&mut rig, NEW);
    send(&mut rig, OLD);
    send(&mut rig, NEW);
    rig.republish(accepting(NEW, None));
    send(&mut rig, NEW);
    assert_eq!((received(&rig).0, rig.sent(LAN_0).len()), (sent, 60));
    assert_eq!(rig.count().drops.total(), 0);
    rig.deliver(WAN, &packet(OLD));
    assert_eq!(rig.drops(DropReason::CookieMismatch), 1, "what was played back from before");
    rig.assert_conserved();
}
