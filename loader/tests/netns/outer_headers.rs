//! What the user chose for the outer headers, as tshark finds it on the router's wire.

use std::collections::BTreeSet;

use super::capture::{Capture, tshark};
use super::pair::{Pair, ends, gateway_v4, gateway_v6, tunnel, udp};

/// Every combination of these fields in what gateway a sends over the router, while pc1 pings with class 0xBA: DSCP 46, ECT(0).
/// `lines` go into the tunnels of gateway a and b.
fn sent(
    name: &str,
    gateway: fn(usize, usize) -> String,
    lines: [&str; 2],
    fields: &[&str],
) -> BTreeSet<String> {
    let pair = Pair::laid_out(name, 1);
    for (side, lines) in lines.into_iter().enumerate() {
        let lines = format!("{}{lines}", udp(side));
        let _running = pair.start(side, &tunnel(side, ends(side, |side| gateway(side, 0)), &lines));
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair.expect_pings();
    let capture = Capture::start(&pair.lab, &pair.router, "west0", "udp src port 5001 and greater 250");
    let text = pair.ping(0, &["-Q", "0xBA", "-s", "200"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    capture.finish(&pair.lab, 3);
    let asked: Vec<_> = fields.iter().flat_map(|field| ["-e", *field]).collect();
    let first = ["-o", "udp.check_checksum:TRUE", "-T", "fields", "-E", "occurrence=f"];
    tshark(&capture.path, &[&first, asked.as_slice()].concat()).lines().map(str::to_owned).collect()
}

/// The last field is 1 for a good checksum, 3 for none, 4 for none where tshark thinks there must be one.
const V4_FIELDS: [&str; 4] = ["ip.ttl", "ip.dsfield.dscp", "ip.dsfield.ecn", "udp.checksum.status"];
const V6_FIELDS: [&str; 4] = ["ipv6.hlim", "ipv6.tclass.dscp", "ipv6.tclass.ecn", "udp.checksum.status"];

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn hops_class_and_checksum_are_as_chosen_over_ipv4() {
    let chosen = "udp_csum = true\nttl = 7\ndscp = \"copy\"\necn = \"copy\"\n";
    let sent = |lines| sent("nsouter4", gateway_v4, [lines, ""], &V4_FIELDS);
    assert_eq!(sent(chosen), ["7\t46\t2\t1".to_owned()].into());
    assert_eq!(sent("dscp = 10\n"), ["64\t10\t0\t3".to_owned()].into());
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn hops_class_and_checksum_are_as_chosen_over_ipv6() {
    let chosen = "udp6_csum_tx = false\nttl = 255\ndscp = 63\necn = \"copy\"\n";
    let sent = |lines| sent("nsouter6", gateway_v6, lines, &V6_FIELDS);
    assert_eq!(sent([chosen, "udp6_csum_rx = false\n"]), ["255\t63\t2\t4".to_owned()].into());
    assert_eq!(sent(["", ""]), ["64\t0\t0\t1".to_owned()].into());
}
