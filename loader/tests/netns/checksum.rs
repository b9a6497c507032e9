//! UDP checksums that a gateway leaves to the kernel, on the wire and at a peer that checks them.

use super::capture::{Capture, tshark};
use super::pair::{Pair, Tuning, ends, gateway_v4, gateway_v6, tunnel, udp};

/// Gateway 0 as it is demanded here, gateway 1 makes all checksums itself and takes no packet without one.
fn running(name: &str, is_v6: bool) -> Pair {
    let pair = Pair::laid_out(name, 1);
    let end = |side| if is_v6 { gateway_v6(side, 0) } else { gateway_v4(side, 0) };
    for (side, word) in [(0, "on"), (1, "off")] {
        let lines = udp(side) + if is_v6 { "" } else { "udp_csum = true\n" };
        let ports = format!("tx_checksum = \"{word}\"\n");
        let tuning = Tuning { gateway: "", ports: &ports };
        let _running = pair.start_tuned(side, &tuning, &tunnel(side, ends(side, end), &lines));
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair
}

/// The underlay port of a gateway.
fn port(pair: &Pair, side: usize) -> serde_json::Value {
    let rows = pair.rows(side, "port").unwrap();
    rows.into_iter().find(|row| row["name"] == "eth0").unwrap()
}

/// What tshark says of the UDP checksum of each packet from gateway 0 in the capture: 1 for a right one, 0 for a wrong one.
fn verdicts(capture: &Capture) -> Vec<String> {
    let options = [
        "-o",
        "udp.check_checksum:TRUE",
        "-Y",
        "udp.srcport==5001",
        "-T",
        "fields",
        "-e",
        "udp.checksum.status",
    ];
    tshark(&capture.path, &options).lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn checksums_that_the_kernel_fills_in_are_right_on_the_wire_and_at_the_peer() {
    for (name, is_v6) in [("nscsum6", true), ("nscsum4", false)] {
        let pair = running(name, is_v6);
        let (asking, summing) = (port(&pair, 0), port(&pair, 1));
        assert_eq!((&asking["tx_checksum"], &asking["tx_checksum_reason"]), (&"kernel".into(), &().into()));
        assert_eq!(asking["warnings"], serde_json::json!([]));
        assert_eq!(summing["tx_checksum"], "gateway");
        let wire = Capture::start(&pair.lab, &pair.router, "west0", "udp port 5001");
        pair.expect_pings();
        // A whole LAN packet, and one that leaves in fragments, which has its checksum from the gateway.
        for bytes in ["1472", "3000"] {
            let text = pair.ping(0, &["-s", bytes]).unwrap();
            assert!(text.contains(" 0% packet loss"), "{text}");
        }
        wire.finish(&pair.lab, 24);
        let verdicts = verdicts(&wire);
        assert!(verdicts.len() >= 12, "{verdicts:?}");
        assert!(verdicts.iter().all(|verdict| verdict == "1"), "{verdicts:?}");
        assert_eq!(pair.dropped(1, "udp_checksum"), 0);
        let counted = |side: usize, key: &str| port(&pair, side)["kernel_rings"][key].clone();
        assert_eq!(counted(0, "tx_invalid_descs"), 0);
        pair.expect_conserved();
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_veth_that_only_claims_to_fill_checksums_in_is_warned_of() {
    let pair = running("nscsumveth", true);
    pair.gateways[0].ethtool("-K eth0 tx on").unwrap();
    let warnings = port(&pair, 0)["warnings"].to_string();
    assert!(warnings.contains("ethtool -K eth0 tx off"), "{warnings}");
    // What the gateway wrote is what the other end sees: the sum of the pseudo-header alone.
    let wire = Capture::start(&pair.lab, &pair.router, "west0", "udp src port 5001");
    let _ = pair.ping(0, &[]);
    wire.finish(&pair.lab, 3);
    let verdicts = verdicts(&wire);
    assert!(verdicts.iter().all(|verdict| verdict == "0"), "{verdicts:?}");
}
