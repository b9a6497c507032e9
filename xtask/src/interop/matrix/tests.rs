//! The matrix is whole, and its two sides fit where they have to.

use std::collections::HashSet;

use super::*;
use crate::interop::commands;

/// `a b c` -> `{a: b}`, from the second word on.
fn value<'t>(command: &'t str, key: &str) -> &'t str {
    let words: Vec<&str> = command.split_whitespace().collect();
    words.windows(2).find(|pair| pair[0] == key).map_or("", |pair| pair[1])
}

#[test]
fn every_combination_of_options_is_there_once() {
    let Matrix { cases, .. } = all();
    let names: HashSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    // 5 cookies x (4 sequences with, 1 without sublayer) x checksums of each encapsulation and family.
    let options = cases
        .iter()
        .filter(|case| case.expected == Expected::Passes && case.name.contains("/l2spec-"))
        .count();
    assert_eq!(options, 25 * (2 + 4 + 1 + 1));
    for name in [
        "udp4/cookie0/l2spec-default/seq-none-none/csum-off",
        "udp6/cookie4-8/l2spec-none/seq-none-none/csum-tx-off/csum-rx-on",
        "ip6/cookie8/l2spec-default/seq-both-send",
        "ip4/ids-1-and-max",
        "chain6/kernel-in-the-middle",
        "ip4/refused/source-of-another-tunnel",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn the_two_sides_of_a_case_that_passes_mirror_each_other() {
    let Matrix { cases, tunnels, .. } = all();
    for case in cases.iter().filter(|case| case.expected == Expected::Passes) {
        for wire in &case.wires {
            let [ours, theirs] =
                [0, 1].map(|end| commands::session(&wire.ends[end], &tunnels[0].ends[end], "w"));
            for (key, mirrored) in
                [("session_id", "peer_session_id"), ("cookie", "peer_cookie"), ("l2spec_type", "l2spec_type")]
            {
                assert_eq!(value(&ours, key), value(&theirs, mirrored), "{}", case.name);
                assert_eq!(value(&theirs, key), value(&ours, mirrored), "{}", case.name);
            }
        }
    }
}

#[test]
fn no_two_sessions_of_a_gateway_share_an_id_without_udp() {
    let Matrix { cases, tunnels, .. } = all();
    let mut seen = HashSet::new();
    for (case, wire) in cases.iter().flat_map(|case| case.wires.iter().map(move |wire| (case, wire))) {
        for (end, gateway) in wire.gateways.into_iter().enumerate() {
            let tunnel = &tunnels[usize::from(wire.tunnels[end])];
            if tunnel.encap == Encap::Ip {
                assert!(seen.insert((gateway, wire.ends[end].session_id)), "{}", case.name);
            }
        }
    }
}

#[test]
fn a_refused_case_differs_from_one_that_passes() {
    let Matrix { cases, tunnels, .. } = all();
    for case in cases.iter().filter(|case| case.expected != Expected::Passes) {
        let wire = &case.wires[0];
        let tunnel = |end: usize| &tunnels[usize::from(wire.tunnels[end])].ends[end];
        let [ours, theirs] = [0, 1].map(|end| {
            let text = commands::tunnel(tunnel(end), Encap::Udp, Family::V6);
            text + &commands::session(&wire.ends[end], tunnel(end), "w")
        });
        let fits = [
            ("session_id", "peer_session_id"),
            ("cookie", "peer_cookie"),
            ("l2spec_type", "l2spec_type"),
            ("local", "remote"),
            ("udp_sport", "udp_dport"),
            ("udp6_csum_tx", "udp6_csum_rx"),
        ];
        let differs = fits.iter().any(|(key, mirrored)| {
            value(&ours, key) != value(&theirs, mirrored) || value(&theirs, key) != value(&ours, mirrored)
        });
        assert!(differs || wire.ends[0].seq != wire.ends[1].seq, "{}: {ours} {theirs}", case.name);
    }
}
