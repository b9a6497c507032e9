//! Frames that span several chunks: a LAN of MTU 9000 over an underlay of 9600.
//!
//! The article's tunnels carry both encapsulations: UDP between gw-a and gw-b, IP protocol 115 between gw-b and gw-c.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use netlab::{Node, article::SITES};
use serde_json::Value;

use super::sites::{SOON, SPANWIRE, Sites};

/// MTU of the LANs. Units: bytes.
const LAN_MTU: u32 = 9000;
/// MTU of the underlay. Units: bytes.
const UNDERLAY_MTU: u32 = 9600;
/// Payload of the longest ping: the LAN's MTU less 20 bytes of IP and 8 of ICMP.
const LONGEST_PING: &str = "8972";

/// Makes every link of the network a jumbo one.
fn widen(sites: &Sites) {
    let set = |node: &Node, interface: &str, mtu| {
        node.ip(&format!("link set {interface} mtu {mtu}")).unwrap();
    };
    for (position, site) in SITES.iter().enumerate() {
        set(&sites.net.router, site.router_interface, UNDERLAY_MTU);
        set(&sites.net.gateways[position], "eth0", UNDERLAY_MTU);
        set(&sites.net.gateways[position], "eth1", LAN_MTU);
        set(&sites.net.pcs[position], "eth0", LAN_MTU);
    }
}

fn wide(name: &str) -> Sites {
    let sites = Sites::laid_out(name);
    widen(&sites);
    sites.up()
}

fn ping(sites: &Sites, from: usize, to: usize, options: &[&str]) -> String {
    let target = SITES[to].lan.to_string();
    let words = ["ping", "-q", "-M", "do", "-s", LONGEST_PING, "-W", "10", target.as_str()];
    sites.net.pcs[from].run(&[&words, options].concat()).unwrap_or_else(|error| {
        panic!("pc{} to pc{}: {error:#}\n{}", from + 1, to + 1, sites.lab.log_tails(20))
    })
}

fn expect_long_pings(sites: &Sites) {
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let text = ping(sites, from, to, &["-c", "5", "-i", "0.02"]);
        assert!(text.contains(" 0% packet loss"), "{text}");
        sites.expect_ping(from, to);
    }
}

/// Sends `len` bytes from one PC to another over TCP; they arrive as they were sent.
fn transfer(sites: &Sites, from: usize, to: usize, len: u32) {
    let address = format!("{}:5001", SITES[to].lan);
    let listener = sites.net.pcs[to].inside(|| TcpListener::bind(&address)).unwrap().unwrap();
    let mut client = sites.net.pcs[from].inside(|| TcpStream::connect(&address)).unwrap().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let sent: Vec<u8> = (0..len).map(|place| (place % 251) as u8).collect();
    let receiver = std::thread::spawn(move || {
        let mut received = Vec::new();
        server.read_to_end(&mut received).map(|_| received)
    });
    client.write_all(&sent).unwrap();
    drop(client);
    assert!(receiver.join().unwrap().unwrap() == sent, "what arrives is what was sent");
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} in {row}"))
}

/// Ends every gateway; each finds every chunk at its end.
fn expect_no_chunk_missing(sites: &Sites) {
    for gateway in &sites.gateways {
        gateway.terminate().unwrap();
        let log = gateway.log();
        assert!(!log.contains("missing") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn jumbo_frames_pass_whole_through_both_encapsulations() {
    let sites = wide("nsjumbo");
    for position in 0..3 {
        for port in sites.rows(position, "port").unwrap() {
            assert_eq!(
                (&port["multi_buffer"], &port["xdp_mode"]),
                (&true.into(), &"native".into()),
                "{port}"
            );
        }
    }
    expect_long_pings(&sites);
    for (from, to) in [(0, 1), (2, 1), (2, 0)] {
        transfer(&sites, from, to, 8 << 20);
    }
    sites.expect_conserved();
    for position in 0..3 {
        for port in sites.rows(position, "port").unwrap() {
            // Eight megabytes are a thousand jumbo frames.
            assert!(number(&port, "rx_chained") > 500 || number(&port, "tx_chained") > 500, "{port}");
            assert_eq!(number(&port, "rx_discarded"), 0, "{port}");
            assert_eq!(number(&port["kernel_rings"], "tx_invalid_descs"), 0, "{port}");
        }
        for session in sites.rows(position, "session").unwrap() {
            assert_eq!(session["drops"], serde_json::json!({}), "{session}");
        }
    }
    expect_no_chunk_missing(&sites);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_burst_of_jumbo_frames_costs_no_chunk() {
    let sites = wide("nsburst");
    for _ in 0..3 {
        // As fast as they come back, and 64 at a time without waiting: more than the rings take at once.
        let text = ping(&sites, 0, 2, &["-f", "-l", "64", "-c", "2000"]);
        assert!(text.contains("packets transmitted") && !text.contains(" 0 received"), "{text}");
        sites.expect_conserved();
    }
    sites.expect_ping(0, 2);
    sites.expect_conserved();
    expect_no_chunk_missing(&sites);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn an_mtu_that_grows_is_followed_without_a_restart() {
    let sites = Sites::running("nsgrow");
    sites.expect_ping(0, 1);
    assert!(sites.rows(0, "port").unwrap().iter().all(|port| port["multi_buffer"] == false));
    widen(&sites);
    for position in 0..3 {
        sites.await_rows(position, "port", "sockets for long frames", |rows| {
            rows.iter().all(|port| port["multi_buffer"] == true && port["state"] == "up")
        });
        sites.await_up(position);
    }
    // The frame memory was made for short frames: six chunks hold a long one.
    expect_long_pings(&sites);
    sites.expect_conserved();
    expect_no_chunk_missing(&sites);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_frame_too_long_for_the_far_lan_is_dropped_and_the_others_go_on() {
    let sites = wide("nsnarrow");
    sites.expect_ping(0, 1);
    sites.net.gateways[1].ip("link set eth1 mtu 1500").unwrap();
    sites.await_rows(1, "port", "the smaller MTU", |rows| rows.iter().any(|port| port["mtu"] == 1500));
    let target = SITES[1].lan.to_string();
    let words = ["ping", "-q", "-M", "do", "-s", LONGEST_PING, "-c", "3", "-i", "0.05", "-W", "1", &target];
    assert!(sites.net.pcs[0].run(&words).is_err(), "nothing of that length passes");
    sites.await_rows(1, "drop", "the drops to be counted", |rows| {
        rows.iter().any(|row| row["reason"] == "too_big" && row["frames"].as_u64() >= Some(3))
    });
    sites.expect_ping(0, 1);
    expect_long_pings_elsewhere(&sites);
    sites.expect_conserved();
    expect_no_chunk_missing(&sites);
}

/// Pairs of PCs whose LANs still have the large MTU.
fn expect_long_pings_elsewhere(sites: &Sites) {
    let text = ping(sites, 0, 2, &["-c", "3", "-i", "0.02"]);
    assert!(text.contains(" 0% packet loss"), "{text}");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_driver_that_cannot_have_long_frames_says_which_mtu_it_could() {
    let sites = Sites::laid_out("nsrefuse");
    widen(&sites);
    let path = sites.import(0);
    let text = fs::read_to_string(&path).unwrap();
    let strict = text.replacen("[port.eth1]", "[port.eth1]\nmode = \"zero-copy\"", 1);
    assert_ne!(strict, text, "the port is in the file: {text}");
    fs::write(&path, &strict).unwrap();
    let directory = sites.lab.dir().to_str().unwrap();
    let words = [SPANWIRE, "run", "--config", path.to_str().unwrap(), "--runtime-directory", directory];
    let gateway = sites.net.gateways[0].spawn("gw-a", &words).unwrap();
    assert!(!gateway.wait(SOON).unwrap().success(), "{}", gateway.log());
    let log = gateway.log();
    for part in ["`ip link set eth1 mtu 3818`", "no zero-copy mode for frames that span several chunks"] {
        assert!(log.contains(part), "{log}");
    }
}
