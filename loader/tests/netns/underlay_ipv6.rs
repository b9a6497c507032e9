//! Pseudowires over an IPv6 underlay, and IPv6 traffic of others on the same interface.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::pair::{Pair, ends, gateway_v6, tunnel, udp};

/// The gateways' addresses on their first lines, as gateway `side` sees them.
fn addresses(side: usize) -> [String; 2] {
    ends(side, |side| gateway_v6(side, 0))
}

/// Two gateways with one tunnel over IPv6 between them, up.
fn running(name: &str, lines: impl Fn(usize) -> String) -> Pair {
    let pair = Pair::laid_out(name, 1);
    for side in 0..2 {
        let _running = pair.start(side, &tunnel(side, addresses(side), &lines(side)));
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair
}

/// Frames went both ways through the only session of each gateway, and none was dropped.
fn expect_frames_both_ways(pair: &Pair) {
    for side in 0..2 {
        let session = pair.session(side);
        for key in ["rx_frames", "tx_frames"] {
            assert!(session[key].as_u64() > Some(5), "{key} of {session}");
        }
        assert_eq!(session["drops"], serde_json::json!({}), "{session}");
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn frames_pass_both_ways_over_udp_on_ipv6() {
    let pair = running("ns6udp", udp);
    pair.expect_pings();
    // A whole LAN packet: 1500 + 14 inner, 40 + 8 + 4 + 4 + 4 outer, of the line's 1600.
    let text = pair.ping(0, &["-M", "do", "-s", "1472"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    expect_frames_both_ways(&pair);
    let session = pair.session(0);
    assert_eq!((&session["overhead_bytes"], &session["inner_mtu"]), (&60.into(), &1526.into()));
    let tunnels = pair.rows(0, "tunnel").unwrap();
    assert_eq!(tunnels[0]["next_hop"], "2001:db8::1");
    assert_eq!(tunnels[0]["next_hop_mac"], pair.router.mac("west0").unwrap());
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn frames_pass_both_ways_over_protocol_115_on_ipv6() {
    let pair = running("ns6ip", |_| "encap = \"ip\"\n".to_owned());
    pair.expect_pings();
    expect_frames_both_ways(&pair);
    assert_eq!(pair.session(0)["overhead_bytes"], 48);
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn commands_of_ip_l2tp_with_ipv6_addresses_become_a_gateway() {
    let pair = Pair::laid_out("ns6import", 1);
    for side in 0..2 {
        let [local, remote] = addresses(side);
        let ports = [5001, 6001];
        let (sport, dport) = (ports[side], ports[1 - side]);
        let script = format!(
            "ip l2tp add tunnel tunnel_id 1 peer_tunnel_id 1 local {local} remote {remote} encap udp \
             udp_sport {sport} udp_dport {dport} udp6_csum_tx off udp6_csum_rx off\n\
             ip l2tp add session tunnel_id 1 session_id 7 peer_session_id 7\n\
             ip link add br0 type bridge\nip link set eth1 master br0\nip link set l2tpeth0 master br0\n\
             ip link set l2tpeth0 up\nip link set br0 up\n"
        );
        let _running = pair.start_imported(side, &script);
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair.expect_pings();
    expect_frames_both_ways(&pair);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_peer_that_sends_no_checksum_is_heard_only_where_that_is_allowed() {
    let pair = Pair::laid_out("ns6csum", 1);
    let without = |side| format!("{}udp6_csum_tx = false\n", udp(side));
    let start = |lines: &str| pair.start(1, &tunnel(1, addresses(1), lines));
    let _sender = pair.start(0, &tunnel(0, addresses(0), &without(0)));
    let strict = start(&udp(1));
    (0..2).for_each(|side| pair.await_up(side));
    assert!(pair.ping(0, &["-W", "1"]).is_err(), "nothing passes");
    assert!(pair.dropped(1, "udp_checksum_missing") > 0);
    assert_eq!(pair.session(1)["rx_frames"], 0);
    assert!(strict.terminate().unwrap().success());
    let _lenient = start(&format!("{}udp6_csum_rx = false\n", udp(1)));
    pair.await_up(1);
    pair.expect_pings();
    assert_eq!(pair.dropped(1, "udp_checksum_missing"), 0);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn underlay_traffic_of_others_over_ipv6_reaches_the_kernel() {
    let pair = running("ns6beside", udp);
    // Neighbour discovery and ICMPv6, asked for by the router, whose table is empty.
    pair.router.ip("-6 neigh flush dev west0").unwrap();
    let ping = ["ping", "-c", "3", "-i", "0.05", "-W", "10", "2001:db8::2"];
    let text = pair.router.run(&ping).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    // TCP between the very addresses of the tunnel.
    let bind = || TcpListener::bind("[2001:db8:10::2]:2022");
    let listener = pair.gateways[1].inside(bind).unwrap().unwrap();
    let connect = || TcpStream::connect("[2001:db8:10::2]:2022");
    let mut client = pair.gateways[0].inside(connect).unwrap().unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), "2001:db8::2");
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let receiver = std::thread::spawn(move || {
        let mut received = Vec::new();
        server.read_to_end(&mut received).map(|_| received)
    });
    client.write_all(&sent).unwrap();
    drop(client);
    assert_eq!(receiver.join().unwrap().unwrap(), sent);
    pair.expect_pings();
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_router_that_changes_its_ethernet_address_is_followed_over_ipv6() {
    let pair = running("ns6neigh", udp);
    pair.expect_pings();
    pair.router.ip("link set west0 address 02:00:00:00:be:ef").unwrap();
    pair.gateways[0].ip("-6 neigh flush dev eth0").unwrap();
    pair.await_rows(0, "tunnel", "the new next hop", |rows| rows[0]["next_hop_mac"] == "02:00:00:00:be:ef");
    pair.await_up(0);
    pair.expect_pings();
}
