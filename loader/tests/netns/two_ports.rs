//! Two underlay ports: routes that move from one to the other under traffic, equal-cost routes, a line that goes down.

use std::collections::BTreeSet;

use netlab::Process;

use super::pair::{Pair, ends, gateway_v4, loopback_v4, loopback_v6, router_v4, router_v6, tunnel, udp};
use super::sites::SOON;

/// Echo requests of a flood, and the time between two. Units: seconds.
const FLOOD: usize = 800;
const INTERVAL_S: &str = "0.005";

/// Echo requests that may be lost with one move: half a second's.
const LOSS_PER_MOVE: usize = 100;

/// Two gateways with a tunnel over UDP between their loopbacks, up, everything by line 0.
fn running(name: &str) -> Pair {
    let pair = Pair::laid_out(name, 2);
    for side in 0..2 {
        let _running = pair.start(side, &tunnel(side, ends(side, loopback_v4), &udp(side)));
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair.expect_pings();
    pair
}

/// Makes gateway a and the router use a line for what they send to each other.
fn move_to_line(pair: &Pair, line: usize) {
    let there = format!("route replace {}/32 via {}", loopback_v4(1), router_v4(0, line));
    let back = format!("route replace {}/32 via {}", loopback_v4(0), gateway_v4(0, line));
    pair.gateways[0].ip(&there).unwrap();
    pair.router.ip(&back).unwrap();
}

/// A ping that goes on while the test changes routes.
struct Flood(Process);

impl Flood {
    fn start(pair: &Pair) -> Self {
        let count = FLOOD.to_string();
        let words = ["ping", "-i", INTERVAL_S, "-c", &count, "-W", "10", super::pair::PCS[1]];
        Self(pair.pcs[0].spawn("flood", &words).unwrap())
    }

    fn replies(&self) -> usize {
        self.0.log().lines().filter(|line| line.contains("icmp_seq=")).count()
    }

    /// Waits until as many more replies have come.
    fn await_more(&self, pair: &Pair, more: usize) {
        let wanted = self.replies() + more;
        let probe = || {
            let replies = self.replies();
            if replies >= wanted { Ok(()) } else { Err(format!("{replies} of {wanted} replies")) }
        };
        pair.lab.wait_until("the flood to go on", SOON, probe).unwrap();
    }

    /// Lost requests, after the last one.
    fn lost(&self) -> usize {
        // ping itself ends by an error only when nothing came back at all.
        self.0.wait(SOON).unwrap();
        let log = self.0.log();
        let summary = log.lines().find(|line| line.contains("packets transmitted")).expect("a summary");
        let received = summary.split(", ").nth(1).and_then(|part| part.split(' ').next()).unwrap();
        assert!(!summary.contains("duplicates"), "{summary}");
        FLOOD - received.parse::<usize>().unwrap()
    }
}

/// Frames that a gateway's port sent.
fn sent(pair: &Pair, port: &str) -> u64 {
    let rows = pair.rows(0, "port").unwrap();
    rows.iter().find(|row| row["name"] == port).unwrap()["tx_frames"].as_u64().unwrap()
}

fn await_port(pair: &Pair, port: &str) {
    pair.await_rows(0, "tunnel", &format!("the tunnel to leave by {port}"), |rows| {
        rows[0]["state"] == "up" && rows[0]["port"] == port
    });
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_route_that_moves_between_ports_under_a_flood_loses_little_and_then_nothing() {
    let pair = running("nsmove");
    let flood = Flood::start(&pair);
    let moves = [1, 0, 1];
    for line in moves {
        flood.await_more(&pair, 100);
        move_to_line(&pair, line);
        await_port(&pair, ["eth0", "eth2"][line]);
    }
    let lost = flood.lost();
    assert!(lost <= moves.len() * LOSS_PER_MOVE, "{lost} of {FLOOD} lost");
    let before = sent(&pair, "eth0");
    let text = pair.ping(0, &["-c", "200", "-i", "0.005"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    assert_eq!(sent(&pair, "eth0"), before, "all of it by the other port");
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_line_that_goes_down_is_left_for_the_other_and_taken_again_when_it_is_back() {
    let pair = running("nsline");
    let gateway = &pair.gateways[0];
    for scope in ["all", "eth0", "eth2"] {
        gateway.sysctl(&format!("ipv4.conf.{scope}.ignore_routes_with_linkdown"), "1").unwrap();
    }
    gateway.ip(&format!("route add default via {} metric 50", router_v4(0, 1))).unwrap();
    let flood = Flood::start(&pair);
    flood.await_more(&pair, 50);
    // The cable of line 0 is pulled; the router sends by line 1 from now on.
    pair.router.ip("link set west0 down").unwrap();
    pair.router.ip(&format!("route replace {}/32 via {}", loopback_v4(0), gateway_v4(0, 1))).unwrap();
    await_port(&pair, "eth2");
    flood.await_more(&pair, 100);
    pair.router.ip("link set west0 up").unwrap();
    await_port(&pair, "eth0");
    let lost = flood.lost();
    assert!(lost <= 2 * LOSS_PER_MOVE, "{lost} of {FLOOD} lost");
    pair.expect_pings();
    pair.expect_conserved();
}

/// Tunnels of gateway a to gateway b that differ in their ports.
const FLOWS: usize = 16;

/// The ports that the tunnels leave by, in their order, once all are up.
fn leaving(pair: &Pair) -> Vec<String> {
    let rows = pair.await_rows(0, "tunnel", "all tunnels to be up", |rows| {
        rows.len() == FLOWS && rows.iter().all(|row| row["state"] == "up")
    });
    rows.iter().map(|row| row["port"].as_str().unwrap().to_owned()).collect()
}

/// Equal-cost routes by both lines, and so many tunnels between the same addresses over them.
fn equal_cost(name: &str, loopback: fn(usize) -> String, router: fn(usize, usize) -> String) -> Pair {
    let pair = Pair::laid_out(name, 2);
    let hops: String = (0..2).map(|line| format!(" nexthop via {}", router(0, line))).collect();
    pair.gateways[0].ip(&format!("route add {}{hops}", loopback(1))).unwrap();
    let tunnels = (1..=FLOWS).map(|id| {
        let [local, remote] = ends(0, loopback);
        format!(
            "[tunnel.t{id}]\nlocal = \"{local}\"\nremote = \"{remote}\"\ntunnel_id = {id}\npeer_tunnel_id = {id}\n\
             udp_sport = {}\nudp_dport = 6001\n[tunnel.t{id}.session.pw{id}]\nsession_id = {id}\npeer_session_id = {id}\n",
            5000 + id
        )
    });
    let _running = pair.start(0, &tunnels.collect::<String>());
    pair
}

/// Has the gateway ask the kernel for every route again: any change of the tables makes it do so.
fn have_routes_asked_again(pair: &Pair, number: usize) {
    let unrelated = format!("198.51.100.{number}");
    pair.gateways[0].ip(&format!("route add {unrelated}/32 dev lo")).unwrap();
}

fn expect_spread(pair: &Pair, family: &str) {
    let policy =
        |value| pair.gateways[0].sysctl(&format!("{family}.fib_multipath_hash_policy"), value).unwrap();
    policy("1");
    have_routes_asked_again(pair, 1);
    let both = BTreeSet::from(["eth0".to_owned(), "eth2".to_owned()]);
    let spread = pair
        .lab
        .wait_until("tunnels to be spread over both ports", SOON, || {
            let ports = leaving(pair);
            if ports.iter().cloned().collect::<BTreeSet<_>>() == both {
                Ok(ports)
            } else {
                Err(format!("{ports:?}"))
            }
        })
        .unwrap();
    for number in 2..6 {
        have_routes_asked_again(pair, number);
        assert_eq!(leaving(pair), spread, "a flow stays where it is");
    }
    // By addresses alone: no tunnel differs from another.
    policy("0");
    have_routes_asked_again(pair, 6);
    let one = || {
        let ports: BTreeSet<_> = leaving(pair).into_iter().collect();
        if ports.len() == 1 { Ok(()) } else { Err(format!("{ports:?}")) }
    };
    pair.lab.wait_until("tunnels to be on one port", SOON, one).unwrap();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn tunnels_over_equal_cost_routes_are_spread_as_the_kernel_spreads_flows() {
    expect_spread(&equal_cost("nsecmp", loopback_v4, router_v4), "ipv4");
    expect_spread(&equal_cost("nsecmp", loopback_v6, router_v6), "ipv6");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn one_tunnel_over_equal_cost_routes_uses_one_port() {
    let pair = Pair::laid_out("nsecmpone", 2);
    pair.gateways[0].sysctl("ipv4.fib_multipath_hash_policy", "1").unwrap();
    let hops: String = (0..2).map(|line| format!(" nexthop via {}", router_v4(0, line))).collect();
    pair.gateways[0].ip(&format!("route add {}{hops}", loopback_v4(1))).unwrap();
    for side in 0..2 {
        let _running = pair.start(side, &tunnel(side, ends(side, loopback_v4), &udp(side)));
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair.expect_pings();
    let port = pair.rows(0, "tunnel").unwrap()[0]["port"].as_str().unwrap().to_owned();
    let other = if port == "eth0" { "eth2" } else { "eth0" };
    let before = [sent(&pair, &port), sent(&pair, other)];
    let text = pair.ping(0, &["-c", "300", "-i", "0.002"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    assert!(sent(&pair, &port) >= before[0] + 300);
    assert_eq!(sent(&pair, other), before[1]);
    pair.expect_conserved();
}
