//! The kernel's tables are followed over IPv6: neighbour discovery, addresses under duplicate detection, refusing routes.
//!
//! ```text
//!   gateway                        router
//! +--------------------+          +--------------------------+
//! | eth0               |          | west   2001:db8:1::1     |
//! |  2001:db8:1::2/64  +----------+  fe80::1                 |
//! +--------------------+          | lo     2001:db8:2::6/128 |
//!                                 +--------------------------+
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::net::IpAddr;

use loader::netlink::Unreachable;
use loader::netlink::next_hop::{self, DownReason, TunnelEndpoint, TunnelReadiness};
use support::following::{self, Watch};
use support::{Lab, Machine, SOON};

struct Net {
    gateway: Machine,
    router: Machine,
    lab: Lab,
}

impl Net {
    fn new() -> Self {
        let lab = Lab::new("netnetwork6");
        let net = Self { gateway: lab.machine("gw"), router: lab.machine("rt"), lab };
        net.router.sysctl("ipv6.conf.all.forwarding", "1").unwrap();
        net.lab.join((&net.gateway, "eth0"), (&net.router, "west"));
        net.router.ip("addr add 2001:db8:1::1/64 dev west");
        net.router.ip("addr add fe80::1/64 dev west");
        net.router.ip("addr add 2001:db8:2::6/128 dev lo");
        net.gateway.ip("addr add 2001:db8:1::2/64 dev eth0");
        net.gateway.ip("route add 2001:db8:2::/64 via 2001:db8:1::1");
        net
    }

    /// Follows the tunnel inside the gateway while `story` changes the world.
    fn tell(&self, story: impl FnOnce(&Watch<'_>) + Send) {
        following::tell(&self.gateway, endpoint(), story);
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn endpoint() -> TunnelEndpoint {
    TunnelEndpoint { local: ip("2001:db8:1::2"), remote: ip("2001:db8:2::6"), udp_ports: Some((5001, 6001)) }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_next_hop_is_found_by_neighbour_discovery_and_found_again_after_a_flush() {
    let net = Net::new();
    net.tell(|watch| {
        assert_eq!(watch.neighbour("2001:db8:1::1").and_then(|entry| entry.mac), None, "not asked for yet");
        let TunnelReadiness::Up { dst_mac, mtu, .. } = watch.until_up() else { panic!() };
        let router = net.router.ip("link show dev west");
        assert!(router.contains(&dst_mac.to_string()), "{dst_mac} in {router}");
        assert_eq!(mtu, 1500);
        net.gateway.ip("-6 neigh flush dev eth0");
        watch.until("down after the flush", |ready| matches!(ready, TunnelReadiness::Down(_)));
        watch.until_up();
        let entry = watch.neighbour("2001:db8:1::1").unwrap();
        assert!(entry.state.is_usable() && entry.mac.is_some(), "{entry:?}");
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_router_known_by_its_link_local_address_is_a_next_hop() {
    let net = Net::new();
    net.gateway.ip("route replace 2001:db8:2::/64 via fe80::1 dev eth0");
    net.tell(|watch| {
        watch.until_up();
        assert!(watch.neighbour("fe80::1").is_some_and(|entry| entry.mac.is_some()));
        assert_eq!(watch.neighbour("2001:db8:1::1").and_then(|entry| entry.mac), None);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_ipv6_router_for_an_ipv4_tunnel_is_resolved_in_its_own_family() {
    let net = Net::new();
    net.gateway.ip("addr add 10.200.100.2/32 dev eth0");
    net.gateway.ip("route add 10.200.100.6/32 via inet6 fe80::1 dev eth0");
    let endpoint = TunnelEndpoint { local: ip("10.200.100.2"), remote: ip("10.200.100.6"), udp_ports: None };
    net.tell(|watch| {
        let underlay = watch.underlay();
        watch.runtime.block_on(async {
            let mut changes = watch.network.changes();
            let up = async {
                while !matches!(
                    next_hop::follow(&watch.network, &endpoint, |port| port == underlay).await,
                    TunnelReadiness::Up { .. }
                ) {
                    changes.changed().await;
                }
            };
            tokio::time::timeout(SOON, up).await.unwrap();
        });
        assert!(watch.neighbour("fe80::1").is_some_and(|entry| entry.mac.is_some()));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_local_address_is_waited_for_until_duplicate_detection_has_passed() {
    let net = Net::new();
    let local = ip("2001:db8:1::2");
    net.gateway.ip("addr del 2001:db8:1::2/64 dev eth0");
    net.gateway.sysctl("ipv6.conf.eth0.accept_dad", "1").unwrap();
    net.gateway.sysctl("ipv6.conf.eth0.dad_transmits", "1").unwrap();
    net.tell(|watch| {
        watch.until_down(&DownReason::LocalAddressMissing { local });
        net.gateway.ip("addr add 2001:db8:1::2/64 dev eth0");
        watch.until_down(&DownReason::LocalAddressUnusable { local, interface: "eth0".into() });
        net.gateway.ip("route replace 2001:db8:2::/64 via 2001:db8:1::1");
        watch.until_up();
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_local_address_that_the_router_has_too_stays_unusable() {
    let net = Net::new();
    let local = ip("2001:db8:1::2");
    net.gateway.ip("addr del 2001:db8:1::2/64 dev eth0");
    net.gateway.sysctl("ipv6.conf.eth0.accept_dad", "1").unwrap();
    net.router.ip("addr add 2001:db8:1::2/64 dev west");
    net.gateway.ip("addr add 2001:db8:1::2/64 dev eth0");
    net.tell(|watch| {
        let is_failed = || net.gateway.ip("addr show dev eth0").contains("dadfailed");
        net.lab.await_that("the kernel to find the duplicate", is_failed);
        watch.until_down(&DownReason::LocalAddressUnusable { local, interface: "eth0".into() });
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn refusing_routes_are_told_apart_and_followed() {
    let net = Net::new();
    let remote = ip("2001:db8:2::6");
    net.tell(|watch| {
        watch.until_up();
        for (kind, refusal) in [
            ("blackhole", Unreachable::Discarded),
            ("prohibit", Unreachable::Prohibited),
            ("unreachable", Unreachable::Host),
        ] {
            net.gateway.ip(&format!("-6 route add {kind} 2001:db8:2::6/128"));
            watch.until_down(&DownReason::RouteRefuses { remote, refusal });
            net.gateway.ip(&format!("-6 route del {kind} 2001:db8:2::6/128"));
            watch.until_up();
        }
        net.gateway.ip("-6 route del 2001:db8:2::/64");
        watch.until_down(&DownReason::NoRoute { remote });
        net.gateway.ip("-6 route add 2001:db8:2::/64 via 2001:db8:1::1 mtu 1400");
        assert!(matches!(watch.until_up(), TunnelReadiness::Up { mtu: 1400, .. }));
        net.gateway.ip("addr add 2001:db8:2::6/128 dev lo");
        watch.until_down(&DownReason::RemoteIsLocal { remote });
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_link_that_goes_down_takes_the_address_and_the_tunnel_comes_back_with_both() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.router.ip("link set west down");
        watch.until_down(&DownReason::NoCarrier { interface: "eth0".into() });
        net.router.ip("link set west up");
        net.router.ip("addr replace 2001:db8:1::1/64 dev west");
        watch.until_up();
        net.gateway.ip("link set eth0 down");
        watch.until_down(&DownReason::LocalAddressMissing { local: ip("2001:db8:1::2") });
        net.gateway.ip("link set eth0 up");
        net.gateway.ip("addr add 2001:db8:1::2/64 dev eth0");
        net.gateway.ip("route add 2001:db8:2::/64 via 2001:db8:1::1");
        watch.until_up();
    });
}
