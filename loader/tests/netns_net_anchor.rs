//! What the kernel does with ICMP errors about packets that it never sent, with an anchor and without.
//!
//! ```text
//!   gateway                          router
//! +----------------------+         +-------------------------------------+
//! | eth0  10.200.100.2   +---------+ west  10.200.100.1                  |
//! |       fd00:100::2    |         |       fd00:100::1                   |
//! +----------------------+         | lo    10.200.200.6, 10.200.200.10   |
//!                                  |       fd00:200::6, fd00:200::10     |
//!                                  +-------------------------------------+
//! ```
//! The router sends the errors, each with the start of a packet that a tunnel would have sent.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use loader::anchors::{Anchors, IcmpKind, Report};
use loader::netlink::{Network, NetworkOptions, PathMtu, PathMtuSource, RouteQuery};
use rustix::net::{
    AddressFamily, Protocol, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with,
};
use support::{Lab, Machine, SOON};
use tokio::sync::mpsc::Receiver;
use wire::build::{self, FrameSpec, Transport};
use wire::checksum;
use xsk::anchor::TunnelEnds;

const LOCAL: &str = "10.200.100.2";
const PEER_A: &str = "10.200.200.6";
const PEER_B: &str = "10.200.200.10";
const LOCAL_6: &str = "fd00:100::2";
const PEER_6_A: &str = "fd00:200::6";
const PEER_6_B: &str = "fd00:200::10";

struct Net {
    gateway: Machine,
    router: Machine,
    _lab: Lab,
}

impl Net {
    fn new() -> Self {
        let lab = Lab::new("netanchor");
        let net = Self { gateway: lab.machine("gw"), router: lab.machine("rt"), _lab: lab };
        net._lab.join((&net.gateway, "eth0"), (&net.router, "west"));
        for (machine, words) in [
            (&net.router, "addr add 10.200.100.1/24 dev west"),
            (&net.router, "addr add fd00:100::1/64 dev west nodad"),
            (&net.router, "addr add 10.200.200.6/32 dev lo"),
            (&net.router, "addr add 10.200.200.10/32 dev lo"),
            (&net.router, "addr add fd00:200::6/128 dev lo"),
            (&net.router, "addr add fd00:200::10/128 dev lo"),
            (&net.gateway, "addr add 10.200.100.2/24 dev eth0"),
            (&net.gateway, "addr add fd00:100::2/64 dev eth0 nodad"),
            (&net.gateway, "route add 10.200.200.6/32 via 10.200.100.1"),
            (&net.gateway, "route add 10.200.200.10/32 via 10.200.100.1"),
            (&net.gateway, "route add fd00:200::/64 via fd00:100::1"),
        ] {
            machine.ip(words);
        }
        net
    }

    /// Runs `story` inside the gateway with anchors for these tunnels.
    fn with_anchors(&self, tunnels: &[Option<TunnelEnds>], story: impl FnOnce(&mut Watch<'_>) + Send) {
        self.gateway.inside(|runtime| {
            let network = runtime.block_on(Network::open(NetworkOptions::default())).unwrap();
            let (mut anchors, reports) = Anchors::new(tunnels.len());
            runtime.block_on(async { anchors.follow(tunnels.iter().copied()) });
            for (position, _) in tunnels.iter().enumerate() {
                println!("tunnel {position}: {}", anchors.problem(position).unwrap_or("anchored or down"));
            }
            story(&mut Watch { net: self, runtime, network, anchors, reports });
        });
    }

    /// Lets the router send an ICMP error about a packet of a tunnel.
    fn send_error(&self, about: &TunnelEnds, kind: u8, code: u8, mtu: u32) {
        let message = error_about(about, kind, code, mtu);
        self.router.inside(|_| {
            let (family, protocol, port) = match about.local {
                IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 0),
                IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 0),
            };
            let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol)).unwrap();
            sendto(&socket, &message, SendFlags::empty(), &SocketAddr::new(about.local, port)).unwrap();
        });
    }
}

struct Watch<'n> {
    net: &'n Net,
    runtime: &'n tokio::runtime::Runtime,
    network: Network,
    anchors: Anchors,
    reports: Receiver<Report>,
}

impl Watch<'_> {
    /// The next report; there has to be one soon.
    fn report(&mut self) -> (usize, IcmpKind, u32) {
        let report = self.runtime.block_on(async {
            tokio::time::timeout(SOON, self.reports.recv()).await.expect("a report").expect("an open channel")
        });
        (report.tunnel, IcmpKind::of(&report.error), report.error.mtu)
    }

    /// What the kernel says now about the way to a tunnel's peer.
    fn path(&self, ends: &TunnelEnds) -> PathMtu {
        self.network.forget_routes_to(ends.remote);
        let answer = self.runtime.block_on(self.network.route_lookup(query(ends))).unwrap();
        PathMtu::of(&answer, 1500, ends.local.is_ipv6())
    }

    #[track_caller]
    fn expect_path(&self, ends: &TunnelEnds, bytes: u32, source: PathMtuSource) {
        let path = self.path(ends);
        assert_eq!((path.bytes, path.source), (bytes, source), "{path:?}");
    }
}

fn ends(local: &str, remote: &str, udp_ports: Option<(u16, u16)>) -> TunnelEnds {
    TunnelEnds { local: local.parse().unwrap(), remote: remote.parse().unwrap(), udp_ports }
}

const PORTS: Option<(u16, u16)> = Some((5001, 6001));

/// What a tunnel's route is asked for.
fn query(ends: &TunnelEnds) -> RouteQuery {
    RouteQuery { local: ends.local, remote: ends.remote, udp_ports: ends.udp_ports }
}

/// An ICMP message about the packet that a tunnel would have sent.
fn error_about(about: &TunnelEnds, kind: u8, code: u8, mtu: u32) -> Vec<u8> {
    let transport = match about.udp_ports {
        Some((source, destination)) => Transport::udp_unchecked(source, destination),
        None => Transport::L2TP_IP,
    };
    let spec =
        FrameSpec { source_ip: about.local, destination_ip: about.remote, transport, ..FrameSpec::default() };
    let mut packet = [0; 256];
    let used = build::frame(&mut packet, &spec, &[&[0, 3, 0, 0, 0, 0, 3, 0xE8], &[0xA5; 64]]).unwrap();
    let mut message = vec![kind, code, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&packet[14..used]);
    if about.local.is_ipv4() {
        let sum = checksum::sum(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn too_big(watch: &Watch<'_>, about: &TunnelEnds, mtu: u32) {
    let (kind, code) = if about.local.is_ipv4() { (3, 4) } else { (2, 0) };
    watch.net.send_error(about, kind, code, mtu);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_error_about_one_tunnel_lowers_its_path_mtu_and_no_other() {
    let tunnels = [
        (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_B, None)),
        (ends(LOCAL, PEER_A, None), ends(LOCAL, PEER_B, PORTS)),
        (ends(LOCAL_6, PEER_6_A, PORTS), ends(LOCAL_6, PEER_6_B, None)),
        (ends(LOCAL_6, PEER_6_A, None), ends(LOCAL_6, PEER_6_B, PORTS)),
    ];
    for (one, other) in tunnels {
        Net::new().with_anchors(&[Some(one), Some(other)], |watch| {
            watch.expect_path(&one, 1500, PathMtuSource::Interface);
            too_big(watch, &one, 1400);
            assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1400), "{one:?}");
            watch.expect_path(&one, 1400, PathMtuSource::Icmp);
            watch.expect_path(&other, 1500, PathMtuSource::Interface);
            let expires_s = watch.path(&one).expires_s.unwrap();
            assert!((500..=600).contains(&expires_s), "{expires_s} s");
        });
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_error_is_believed_only_about_a_tunnel_that_is_there() {
    for (local, peers) in [(LOCAL, [PEER_A, PEER_B]), (LOCAL_6, [PEER_6_A, PEER_6_B])] {
        let (unknown, known) = (ends(local, peers[0], PORTS), ends(local, peers[1], PORTS));
        Net::new().with_anchors(&[None, Some(known)], |watch| {
            // No anchor; an anchor with other ports; another protocol. Errors arrive in the order in which they are sent.
            too_big(watch, &unknown, 1400);
            too_big(watch, &TunnelEnds { udp_ports: Some((5001, 6002)), ..known }, 1400);
            too_big(watch, &TunnelEnds { udp_ports: Some((5002, 6001)), ..known }, 1400);
            too_big(watch, &TunnelEnds { udp_ports: None, ..known }, 1400);
            too_big(watch, &known, 1450);
            assert_eq!(watch.report(), (1, IcmpKind::TooBig, 1450));
            watch.expect_path(&unknown, 1500, PathMtuSource::Interface);
            watch.expect_path(&known, 1450, PathMtuSource::Icmp);
        });
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_forged_mtu_counts_from_a_floor_on() {
    let tunnel = ends(LOCAL, PEER_A, PORTS);
    Net::new().with_anchors(&[Some(tunnel)], |watch| {
        too_big(watch, &tunnel, 68);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 68));
        watch.expect_path(&tunnel, 576, PathMtuSource::Icmp);
    });
    let tunnel = ends(LOCAL_6, PEER_6_A, None);
    Net::new().with_anchors(&[Some(tunnel)], |watch| {
        too_big(watch, &tunnel, 1000);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1000));
        watch.expect_path(&tunnel, 1500, PathMtuSource::Interface);
        too_big(watch, &tunnel, 1280);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1280));
        watch.expect_path(&tunnel, 1280, PathMtuSource::Icmp);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_locked_route_learns_nothing_and_is_told_as_locked() {
    let net = Net::new();
    net.gateway.ip("route change 10.200.200.6/32 via 10.200.100.1 mtu lock 1450");
    let tunnel = ends(LOCAL, PEER_A, PORTS);
    net.with_anchors(&[Some(tunnel)], |watch| {
        too_big(watch, &tunnel, 1400);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1400), "counted all the same");
        watch.expect_path(&tunnel, 1450, PathMtuSource::Route);
        assert!(watch.path(&tunnel).is_locked);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn other_errors_are_reported_and_change_no_path() {
    let net = Net::new();
    for (tunnel, errors) in [
        (
            ends(LOCAL, PEER_A, None),
            [
                (3, 1, IcmpKind::HostUnreachable),
                (3, 2, IcmpKind::ProtocolUnreachable),
                (3, 13, IcmpKind::Prohibited),
                (11, 0, IcmpKind::TimeExceeded),
            ],
        ),
        (
            ends(LOCAL_6, PEER_6_A, PORTS),
            [
                (1, 0, IcmpKind::NetUnreachable),
                (1, 4, IcmpKind::PortUnreachable),
                (3, 0, IcmpKind::TimeExceeded),
                (4, 1, IcmpKind::ProtocolUnreachable),
            ],
        ),
    ] {
        net.with_anchors(&[Some(tunnel)], |watch| {
            for (kind, code, expected) in errors {
                net.send_error(&tunnel, kind, code, 0);
                assert_eq!(watch.report().1, expected, "type {kind} code {code}");
            }
            watch.expect_path(&tunnel, 1500, PathMtuSource::Interface);
        });
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_flood_of_errors_is_reported_in_part_and_the_last_path_mtu_holds() {
    let tunnel = ends(LOCAL, PEER_A, PORTS);
    Net::new().with_anchors(&[Some(tunnel)], |watch| {
        // The runtime does not turn meanwhile: the kernel's queue takes a part of them.
        (0..200).for_each(|n| too_big(watch, &tunnel, 1499 - n));
        let first = watch.report();
        assert_eq!(first, (0, IcmpKind::TooBig, 1499));
        watch.expect_path(&tunnel, 1300, PathMtuSource::Icmp);
        let mut reports = 1;
        while self::next_within(watch, std::time::Duration::from_millis(500)) {
            reports += 1;
        }
        assert!(reports < 200, "{reports}: memory is bounded");
        // The queue is empty again, and takes the next one.
        too_big(watch, &tunnel, 1200);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1200));
    });
}

fn next_within(watch: &mut Watch<'_>, time: std::time::Duration) -> bool {
    watch.runtime.block_on(async { tokio::time::timeout(time, watch.reports.recv()).await.is_ok() })
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn data_that_reaches_the_kernel_is_neither_kept_nor_answered() {
    let net = Net::new();
    let (udp, raw) = (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_A, None));
    let received_errors = || {
        let text = net.router.ip("-s -s -j link show dev west");
        assert!(!text.is_empty());
        net.router.run(&["cat", "/proc/net/snmp"]).unwrap()
    };
    let unreachables = |text: &str| {
        // "Icmp: InMsgs InErrors InCsumErrors InDestUnreachs ..."
        let mut lines = text.lines().filter(|line| line.starts_with("Icmp:"));
        let names: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        let numbers: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        let place = names.iter().position(|name| *name == "InDestUnreachs").unwrap();
        numbers[place].parse::<u64>().unwrap()
    };
    let send = |ends: &TunnelEnds| {
        net.router.inside(|_| match ends.udp_ports {
            Some((to, from)) => {
                let socket = UdpSocket::bind(SocketAddr::new(ends.remote, from)).unwrap();
                socket.send_to(&[0xC8, 3, 0, 20], SocketAddr::new(ends.local, to)).unwrap();
            }
            None => {
                let protocol = Protocol::from_raw(std::num::NonZero::new(115).unwrap());
                let socket =
                    socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol));
                let socket = socket.unwrap();
                bind(&socket, &SocketAddr::new(ends.remote, 0)).unwrap();
                sendto(&socket, &[0; 24], SendFlags::empty(), &SocketAddr::new(ends.local, 0)).unwrap();
            }
        });
    };
    // Without anchors the kernel answers each.
    send(&udp);
    send(&raw);
    net._lab.await_that("two answers", || unreachables(&received_errors()) == 2);
    net.with_anchors(&[Some(udp), Some(raw)], |watch| {
        send(&udp);
        send(&raw);
        // A last packet to a port that nobody has: its answer comes after those that must not come.
        send(&ends(LOCAL, PEER_A, Some((5009, 6009))));
        net._lab.await_that("the third answer", || unreachables(&received_errors()) >= 3);
        assert_eq!(unreachables(&received_errors()), 3);
        for (table, address) in [("udp", "0264C80A:1389"), ("raw", "0264C80A:0073")] {
            let table = net.gateway.run(&["cat", &format!("/proc/net/{table}")]).unwrap();
            let line = table.lines().find(|line| line.contains(address)).expect("the anchor");
            assert_eq!(
                line.split_whitespace().nth(4),
                Some("00000000:00000000"),
                "nothing is queued: {line}"
            );
        }
        assert_eq!((watch.anchors.problem(0), watch.anchors.problem(1)), (None, None));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn routes_to_one_address_are_forgotten_together_as_they_share_the_path() {
    let (one, other) = (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_A, None));
    let elsewhere = ends(LOCAL, PEER_B, None);
    Net::new().with_anchors(&[Some(one), Some(other)], |watch| {
        let mtu = |watch: &Watch<'_>, ends: &TunnelEnds| {
            watch.runtime.block_on(watch.network.route_lookup(query(ends))).unwrap().mtu
        };
        assert_eq!([&one, &other, &elsewhere].map(|ends| mtu(watch, ends)), [None; 3]);
        too_big(watch, &one, 1400);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1400));
        assert_eq!(mtu(watch, &other), None, "as it was remembered");
        watch.network.forget_routes_to(one.remote);
        assert_eq!([&one, &other, &elsewhere].map(|ends| mtu(watch, ends)), [Some(1400), Some(1400), None]);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn tunnels_of_one_local_port_each_have_their_anchor() {
    let (one, other) = (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_B, Some((5001, 6002))));
    Net::new().with_anchors(&[Some(one), Some(other)], |watch| {
        assert_eq!((watch.anchors.problem(0), watch.anchors.problem(1)), (None, None));
        too_big(watch, &other, 1400);
        assert_eq!(watch.report(), (1, IcmpKind::TooBig, 1400));
        too_big(watch, &one, 1300);
        assert_eq!(watch.report(), (0, IcmpKind::TooBig, 1300));
        // Nobody else gets the port, not even by saying that it can be shared.
        let stranger =
            socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::sockopt::set_socket_reuseaddr(&stranger, true).unwrap();
        let refusal = bind(&stranger, &SocketAddr::new(LOCAL.parse().unwrap(), 5001)).unwrap_err();
        assert_eq!(refusal, rustix::io::Errno::ADDRINUSE);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_tunnel_that_comes_up_as_another_of_its_port_goes_down_has_its_anchor_at_once() {
    let (one, other) = (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_B, Some((5001, 6002))));
    for (before, after) in
        [([Some(one), None], [None, Some(other)]), ([None, Some(one)], [Some(other), None])]
    {
        Net::new().with_anchors(&before, |watch| {
            watch.runtime.block_on(async { watch.anchors.follow(after) });
            assert_eq!((watch.anchors.problem(0), watch.anchors.problem(1)), (None, None));
            too_big(watch, &other, 1400);
            assert_eq!(watch.report().2, 1400);
        });
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn every_tunnel_of_a_port_that_another_program_has_is_told_so() {
    let net = Net::new();
    let held = net.gateway.inside(|_| UdpSocket::bind((LOCAL, 5001)).unwrap());
    let (one, other) = (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_B, Some((5001, 6002))));
    net.with_anchors(&[Some(one), Some(other)], |watch| {
        let problem = watch.anchors.problem(0).expect("a problem");
        assert!(problem.contains("process") && watch.anchors.problem(1) == Some(problem), "{problem}");
    });
    drop(held);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_port_that_another_program_has_is_told_with_its_name_and_what_is_lost() {
    let net = Net::new();
    let held = net.gateway.inside(|_| UdpSocket::bind((LOCAL, 5001)).unwrap());
    let (tunnel, other) = (ends(LOCAL, PEER_A, PORTS), ends(LOCAL, PEER_B, None));
    net.with_anchors(&[Some(tunnel), Some(other)], |watch| {
        let problem = watch.anchors.problem(0).expect("a problem").to_owned();
        let expected = format!(
            "UDP port 5001 of 10.200.100.2 is in use by netns_net_ancho (process {})",
            std::process::id()
        );
        assert!(problem.starts_with(&expected), "{problem}");
        assert!(problem.contains("path MTU") && problem.contains("udp_sport"), "{problem}");
        assert_eq!(watch.anchors.problem(1), None, "the other tunnel has its own");
        too_big(watch, &other, 1400);
        assert_eq!(watch.report().0, 1);
    });
    drop(held);
    net.with_anchors(&[Some(tunnel)], |watch| assert_eq!(watch.anchors.problem(0), None));
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_anchor_goes_with_its_tunnel() {
    let tunnel = ends(LOCAL, PEER_A, PORTS);
    let net = Net::new();
    net.with_anchors(&[Some(tunnel)], |watch| {
        let is_held = || net.gateway.inside(|_| UdpSocket::bind((LOCAL, 5001)).is_err());
        assert!(is_held());
        watch.runtime.block_on(async {
            watch.anchors.follow([None]);
            tokio::task::yield_now().await;
        });
        assert!(!is_held(), "the port is free again");
        watch.runtime.block_on(async { watch.anchors.follow([Some(tunnel)]) });
        assert!(is_held());
    });
}
