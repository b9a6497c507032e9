//! Verdicts about made-up evidence: right as it is, then with one thing wrong.

use super::*;
use crate::interop::case::{Ours, SessionEnd, Theirs};
use crate::interop::matrix::{self, Matrix};

/// Frames that each end sends, and the bytes of all of them.
const FRAMES: u64 = 4;
const BYTES: u64 = 400;

/// Evidence that is anyone's own.
pub(super) struct Made {
    pub(super) matrix: Matrix,
    books: Books,
    pub(super) seen: Seen,
}

impl Made {
    /// A case of the matrix, and what both sides count when every frame arrives.
    pub(super) fn passing(name: &str) -> (Self, Case) {
        let matrix = matrix::all();
        let case = matrix.cases.iter().find(|case| case.name == name).unwrap().clone();
        let mut made = Self { matrix, books: Books::default(), seen: Seen::default() };
        let wire = &case.wires[0];
        let tunnel = made.matrix.tunnels[usize::from(wire.tunnels[1])].clone();
        let row = ours::SessionRow {
            name: wire.name(),
            rx_frames: FRAMES,
            rx_bytes: BYTES,
            tx_frames: FRAMES,
            tx_bytes: BYTES,
            drops: [].into(),
            inner_mtu: None,
            icmp_sent: 0,
            peer_cookie_also_frames: 0,
            seq_resyncs: 0,
            observed: None,
        };
        made.books.ours[0].sessions.insert(wire.name(), row);
        let interface = theirs::Interface {
            rx_frames: FRAMES,
            rx_bytes: BYTES + FRAMES * wire.ends[1].header_bytes(tunnel.encap),
            tx_frames: FRAMES,
            tx_bytes: BYTES,
            faults: 0,
        };
        made.books.theirs.interfaces.insert(wire.name(), interface);
        made.books.theirs.refused.insert((tunnel.ends[1].tunnel_id, wire.ends[1].session_id), 0);
        for end in [0, 1] {
            let checksum = tunnel.sends_checksum(wire.gateways[end]).map(u16::from);
            let packets = (0..4).map(|number| packet(&wire.ends[end], checksum, number)).collect();
            made.seen.flows.insert(flow(&tunnel, wire, end), packets);
            let side = tunnel.end(wire.gateways[end]);
            made.seen.fragments.insert((side.local, side.remote), 2);
        }
        (made, case)
    }

    pub(super) fn ours(&mut self, case: &Case) -> &mut ours::SessionRow {
        self.books.ours[0].sessions.get_mut(&case.wires[0].name()).unwrap()
    }

    fn theirs(&mut self, case: &Case) -> &mut theirs::Interface {
        self.books.theirs.interfaces.get_mut(&case.wires[0].name()).unwrap()
    }

    pub(super) fn packets(&mut self, case: &Case, end: usize) -> &mut Vec<Packet> {
        let wire = &case.wires[0];
        let tunnel = &self.matrix.tunnels[usize::from(wire.tunnels[end])];
        self.seen.flows.get_mut(&flow(tunnel, wire, end)).unwrap()
    }

    pub(super) fn faults(&self, case: &Case, pings: &Pings) -> Vec<String> {
        let Self { matrix, books, seen } = self;
        Evidence { tunnels: &matrix.tunnels, cases: &[case], books, seen }.faults(case, pings)
    }
}

/// A packet of an end: cookie, sublayer with a number where the end numbers, no frame.
fn packet(end: &SessionEnd, checksum: Option<u16>, number: u32) -> Packet {
    let mut rest = vec![0xcc; end.cookie.len() / 2];
    if end.l2spec_type == "default" {
        let sublayer = if end.numbers() { NUMBERED | number } else { 0 };
        rest.extend(sublayer.to_be_bytes());
    }
    Packet { destination_mac: [2; 6], ttl: 64, traffic_class: 0, df: false, checksum, rest }
}

pub(super) fn answered() -> Pings {
    Pings { sent: 2, received: 2, answered: vec!["both".to_owned()], lost: Vec::new() }
}

fn unanswered() -> Pings {
    Pings { sent: 2, received: 0, answered: Vec::new(), lost: vec!["both".to_owned()] }
}

const PASSING: [&str; 4] = [
    "udp4/cookie4-8/l2spec-default/seq-both-both/csum-on",
    "udp6/cookie8/l2spec-none/seq-none-none/csum-tx-off/csum-rx-off",
    "ip6/cookie0/l2spec-default/seq-send-recv",
    "ip4/three-sessions/3",
];

#[test]
fn a_case_in_which_all_arrives_and_is_counted_has_no_fault() {
    for name in PASSING {
        let (made, case) = Made::passing(name);
        assert_eq!(made.faults(&case, &answered()), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn each_thing_that_is_wrong_with_a_passing_case_is_a_fault() {
    type Harm = fn(&mut Made, &Case);
    let harms: [(&str, Harm); 7] = [
        ("a frame is lost", |made, case| made.ours(case).rx_frames -= 1),
        ("a byte is lost", |made, case| made.theirs(case).rx_bytes -= 1),
        ("we count a drop", |made, case| made.ours(case).drops = [("too_big".to_owned(), 1)].into()),
        ("the kernel counts an error", |made, case| made.theirs(case).faults = 1),
        ("nobody saw our packets", |made, case| made.packets(case, 0).clear()),
        ("a checksum is missing", |made, case| made.packets(case, 0)[1].checksum = Some(0)),
        ("a number is missing", |made, case| drop(made.packets(case, 0).remove(1))),
    ];
    for (what, harm) in harms {
        let (mut made, case) = Made::passing(PASSING[0]);
        harm(&mut made, &case);
        assert_eq!(made.faults(&case, &answered()).len(), 1, "{what}");
    }
    let (made, case) = Made::passing(PASSING[0]);
    assert_eq!(made.faults(&case, &unanswered()), ["both"]);
    assert_eq!(made.faults(&case, &Pings::default()), ["nothing was sent"]);
}

#[test]
fn a_case_of_fragments_in_which_an_end_sends_none_has_a_fault() {
    let (mut made, case) = Made::passing("ip4/fragments");
    assert_eq!(made.faults(&case, &answered()), Vec::<String>::new());
    made.seen.fragments.remove(&("10.200.0.11".parse().unwrap(), "10.200.0.13".parse().unwrap()));
    assert_eq!(made.faults(&case, &answered()).len(), 1);
}

#[test]
fn a_number_that_nobody_asked_for_is_a_fault() {
    let (mut made, case) = Made::passing("udp4/cookie0/l2spec-default/seq-none-none/csum-off");
    made.packets(&case, 0)[0].rest = vec![0x40, 0, 0, 0];
    assert_eq!(made.faults(&case, &answered()).len(), 1);
}

#[test]
fn a_checksum_that_nobody_asked_for_is_a_fault() {
    let (mut made, case) = Made::passing("udp6/cookie0/l2spec-default/seq-none-none/csum-tx-off/csum-rx-on");
    made.packets(&case, 0)[0].checksum = Some(7);
    assert_eq!(made.faults(&case, &answered()).len(), 1);
}

/// The evidence of a refused case in which everything is as it should be.
fn refused(name: &str) -> (Made, Case) {
    let (mut made, case) = Made::passing(name);
    let Expected::Refused(refusal) = case.expected else { panic!("{name} passes") };
    let ours = made.ours(&case);
    match refusal.ours {
        Ours::Session(reason) => {
            ours.rx_frames = 0;
            ours.drops = [(reason.to_owned(), FRAMES)].into();
        }
        Ours::Total(reason) => {
            ours.rx_frames = 0;
            made.books.ours[0].drops.insert(reason.to_owned(), FRAMES);
        }
        Ours::Steering(decision) => {
            ours.rx_frames = 0;
            made.books.ours[0].steering.insert(decision.to_owned(), FRAMES + 1);
        }
        Ours::Misread(reason) => drop(made.books.ours[0].drops.insert(reason.to_owned(), FRAMES)),
        Ours::Accepted => {}
    }
    if matches!(refusal.theirs, Theirs::Session | Theirs::Unseen) {
        made.theirs(&case).rx_frames = 0;
    }
    if refusal.theirs == Theirs::Session {
        made.books.theirs.refused.values_mut().for_each(|count| *count = FRAMES);
    }
    (made, case)
}

#[test]
fn a_refused_case_passes_when_every_frame_is_counted_where_it_should_be() {
    let Matrix { cases, .. } = matrix::all();
    for case in cases.iter().filter(|case| case.expected != Expected::Passes) {
        let (made, case) = refused(&case.name);
        assert_eq!(made.faults(&case, &unanswered()), Vec::<String>::new(), "{}", case.name);
    }
}

#[test]
fn each_thing_that_is_wrong_with_a_refused_case_is_a_fault() {
    let Matrix { cases, .. } = matrix::all();
    for name in cases.iter().filter(|case| case.expected != Expected::Passes).map(|case| &case.name) {
        let (made, case) = refused(name);
        assert_eq!(made.faults(&case, &answered()).len(), 1, "{name}: a ping was answered");
        let (mut made, case) = refused(name);
        made.ours(&case).rx_frames += 1;
        assert_eq!(made.faults(&case, &unanswered()).len(), 1, "{name}: we accepted a frame");
        let (mut made, case) = refused(name);
        made.theirs(&case).tx_frames = 0;
        assert_ne!(
            made.faults(&case, &unanswered()),
            Vec::<String>::new(),
            "{name}: the kernel sent nothing"
        );
        let (mut made, case) = refused(name);
        let Expected::Refused(refusal) = case.expected else { panic!("{name} passes") };
        match refusal.ours {
            Ours::Accepted => continue,
            Ours::Session(reason) => drop(made.ours(&case).drops.insert(reason.to_owned(), FRAMES - 1)),
            _ => {
                let counts = &mut made.books.ours[0];
                counts.drops.values_mut().chain(counts.steering.values_mut()).for_each(|count| *count = 1);
            }
        }
        assert_eq!(made.faults(&case, &unanswered()).len(), 1, "{name}: counted as something else");
    }
}

#[test]
fn a_frame_that_the_kernel_accepts_or_does_not_count_is_a_fault() {
    let (mut made, case) = refused("udp4/refused/cookie-differs");
    made.theirs(&case).rx_frames = 1;
    assert_eq!(made.faults(&case, &unanswered()).len(), 1);
    let (mut made, case) = refused("ip6/refused/seq-demanded");
    made.books.theirs.refused.values_mut().for_each(|count| *count -= 1);
    assert_eq!(made.faults(&case, &unanswered()).len(), 1);
}
