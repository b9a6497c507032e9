//! Sequence numbers between gateways, and what an observing session counts.

use std::net::UdpSocket;

use super::sites::Sites;

/// Starts gw-a and gw-b with these lines in their ends of the pseudowire, and waits for both.
fn pair(name: &str, lines: [&str; 2]) -> Sites {
    let mut sites = Sites::laid_out(name);
    for (position, lines) in lines.into_iter().enumerate() {
        let gateway = sites.start_with_session(position, lines);
        sites.gateways.push(gateway);
    }
    for position in [0, 1] {
        await_up(&sites, position);
    }
    sites
}

fn await_up(sites: &Sites, position: usize) {
    sites.await_rows(position, "session", "the pseudowire to be up", |rows| {
        rows.iter().any(|row| row["name"] == "l2tpeth0" && row["state"] == "up")
    });
}

/// A number of a gateway's end of the pseudowire.
fn number(sites: &Sites, position: usize, key: &str) -> u64 {
    sites.row(position, "session", "l2tpeth0")[key].as_u64().unwrap()
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_strict_pair_carries_a_flood_and_hears_a_peer_that_starts_again() {
    let mut sites = pair("nsstrict", ["seq = \"both\""; 2]);
    let flood =
        |sites: &Sites| sites.net.pcs[0].run(&["ping", "-f", "-q", "-c", "2000", "10.200.101.2"]).unwrap();
    let text = flood(&sites);
    assert!(text.contains(" 0% packet loss"), "{text}");
    for position in [0, 1] {
        let [discards, resyncs] = ["seq_discards", "seq_resyncs"].map(|key| number(&sites, position, key));
        assert_eq!((discards, resyncs), (0, 0));
        assert!(number(&sites, position, "rx_frames") >= 2000);
    }
    // gw-a starts again, and its numbers with it; gw-b expects one above 2000.
    let first = sites.gateways.remove(0);
    assert!(first.terminate().unwrap().success());
    let again = sites.start_with_session(0, "seq = \"both\"");
    sites.gateways.insert(0, again);
    await_up(&sites, 0);
    sites
        .lab
        .wait_until("pc1 to reach pc2 again", super::sites::SOON, || {
            sites.net.pcs[0]
                .run(&["ping", "-c", "1", "-W", "1", "10.200.101.2"])
                .map_err(|e| format!("{e:#}"))
        })
        .unwrap();
    assert_eq!(number(&sites, 1, "seq_discards"), 5, "and the sixth frame is the new beginning");
    assert_eq!(number(&sites, 1, "seq_resyncs"), 1);
    let text = flood(&sites);
    assert!(text.contains(" 0% packet loss"), "{text}");
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_session_that_demands_numbers_drops_a_peer_that_sends_none() {
    let sites = pair("nsnone", ["", "seq = \"recv\""]);
    let lost = sites.net.pcs[0].run(&["ping", "-c", "2", "-i", "0.1", "-W", "1", "10.200.101.2"]);
    assert!(lost.is_err(), "not even ARP passes");
    let row = sites.row(1, "session", "l2tpeth0");
    let missing = row["drops"]["sequence_missing"].as_u64();
    assert!(missing > Some(0) && missing == row["seq_discards"].as_u64(), "{row}");
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn an_observing_session_counts_and_drops_nothing() {
    let mut sites = Sites::laid_out("nsobserve");
    let gateway = sites.start_with_session(1, "seq_observe = true");
    sites.gateways.push(gateway);
    await_up(&sites, 1);
    // A kernel socket with the very addresses and ports of gw-a's end of the tunnel.
    let socket = sites.net.gateways[0].inside(|| UdpSocket::bind("10.200.100.2:5001")).unwrap().unwrap();
    socket.connect("10.200.100.6:6001").unwrap();
    let inner = [0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8, 0x88, 0xB5, 1, 2, 3, 4];
    // 10 and 11 do not come, 20 comes behind 21, 30 comes again; the last one has no number.
    let numbers = (0..=100_u8).filter(|n| ![10, 11, 20].contains(n)).flat_map(|n| match n {
        21 => vec![21, 20],
        30 => vec![30, 30],
        n => vec![n],
    });
    let words = numbers.map(|n| [0x40, 0, 0, n]).chain([[0; 4]]);
    for word in words {
        socket.send(&[&[0, 3, 0, 0, 0, 0, 3, 0xE8][..], &word, &inner].concat()).unwrap();
    }
    let rows = sites.await_rows(1, "session", "101 frames", |rows| {
        rows.iter().any(|row| row["name"] == "l2tpeth0" && row["rx_frames"] == 101)
    });
    let row = rows.iter().find(|row| row["name"] == "l2tpeth0").unwrap();
    let expected = serde_json::json!({"numbered": 100, "lost": 2, "reordered": 1, "duplicates": 1});
    assert_eq!((&row["observed"], &row["drops"]), (&expected, &serde_json::json!({})), "{row}");
    assert_eq!((&row["oos_packets"], &row["seq_discards"]), (&1.into(), &0.into()), "{row}");
}
