//! The kernel's tables are followed: a tunnel goes down with its reason and comes up by itself.
//!
//! ```text
//!   gateway                     router
//! +----------------+          +---------------------+
//! | eth0           |          | west   10.200.100.1 |
//! |  10.200.100.2  +----------+ far    10.200.100.6 |
//! +----------------+          +---------------------+
//! ```

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::net::IpAddr;

use loader::netlink::next_hop::{DownReason, TunnelEndpoint, TunnelReadiness};
use loader::netlink::{Network, NetworkOptions, Unreachable};
use support::following::{self, Watch};
use support::{Lab, Machine, SOON};

struct Net {
    gateway: Machine,
    router: Machine,
    lab: Lab,
}

impl Net {
    fn new() -> Self {
        let lab = Lab::new("netnetwork");
        let net = Self { gateway: lab.machine("gw"), router: lab.machine("rt"), lab };
        net.join("eth0", "west");
        net.router.ip("addr add 10.200.100.1/30 dev west");
        net.router.ip("addr add 10.200.100.6/32 dev lo");
        net.address_and_route();
        net
    }

    fn join(&self, gateway: &str, router: &str) {
        self.lab.join((&self.gateway, gateway), (&self.router, router));
    }

    fn address_and_route(&self) {
        self.gateway.ip("addr add 10.200.100.2/30 dev eth0");
        self.gateway.ip("route add 10.200.100.4/30 via 10.200.100.1");
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
    TunnelEndpoint { local: ip("10.200.100.2"), remote: ip("10.200.100.6"), udp_ports: Some((5001, 6001)) }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_unresolved_next_hop_is_resolved_and_reported_with_both_addresses() {
    let net = Net::new();
    net.tell(|watch| {
        let TunnelReadiness::Up { oif, src_mac, dst_mac, mtu, .. } = watch.until_up() else { panic!() };
        let link = watch.network.with_view(|view| view.link(oif).unwrap().clone());
        assert_eq!((link.name.as_str(), link.mac, mtu), ("eth0", Some(src_mac), 1500));
        let router = net.router.ip("link show dev west");
        assert!(router.contains(&dst_mac.to_string()), "{dst_mac} in {router}");
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_address_that_goes_takes_the_tunnel_down_and_brings_it_up_when_it_returns() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.gateway.ip("addr del 10.200.100.2/30 dev eth0");
        watch.until_down(&DownReason::LocalAddressMissing { local: ip("10.200.100.2") });
        net.address_and_route();
        watch.until_up();
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_flushed_neighbour_is_resolved_again() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.gateway.ip("neigh flush dev eth0");
        watch.until("down after the flush", |ready| matches!(ready, TunnelReadiness::Down(_)));
        watch.until_up();
        let neighbour = watch.neighbour("10.200.100.1").unwrap();
        assert!(neighbour.state.is_usable() && neighbour.mac.is_some(), "{neighbour:?}");
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_next_hop_that_changes_its_ethernet_address_is_followed() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.router.ip("link set dev west address 02:00:00:00:be:ef");
        net.gateway.ip("neigh flush dev eth0");
        watch.until("the new address", |ready| {
            matches!(ready, TunnelReadiness::Up { dst_mac, .. } if dst_mac.to_string() == "02:00:00:00:be:ef")
        });
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_silent_next_hop_is_reported_and_comes_up_when_it_answers() {
    let net = Net::new();
    net.router.ip("addr del 10.200.100.1/30 dev west");
    net.tell(|watch| {
        let silent = "next hop 10.200.100.1 is not resolved (neighbour state FAILED)";
        watch.until(
            silent,
            |ready| matches!(ready, TunnelReadiness::Down(reason) if reason.to_string() == silent),
        );
        net.router.ip("addr add 10.200.100.1/30 dev west");
        watch.until_up();
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_switched_off_or_without_carrier_is_named() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.gateway.ip("link set eth0 down");
        watch.until_down(&DownReason::InterfaceDown { interface: "eth0".into() });
        net.gateway.ip("link set eth0 up");
        watch.until_down(&DownReason::NoRoute { remote: ip("10.200.100.6") });
        net.gateway.ip("route add 10.200.100.4/30 via 10.200.100.1");
        watch.until_up();
        net.router.ip("link set west down");
        watch.until_down(&DownReason::NoCarrier { interface: "eth0".into() });
        net.router.ip("link set west up");
        watch.until_up();
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_route_that_moves_to_another_interface_names_it_and_comes_back() {
    let net = Net::new();
    net.join("eth9", "east");
    net.gateway.ip("addr add 192.0.2.1/30 dev eth9");
    net.tell(|watch| {
        watch.until_up();
        net.gateway.ip("route replace 10.200.100.4/30 via 192.0.2.2");
        let remote = ip("10.200.100.6");
        watch.until_down(&DownReason::NotUnderlay { remote, interface: "eth9".into() });
        net.gateway.ip("route replace 10.200.100.4/30 via 10.200.100.1 mtu 1400");
        let ready = watch.until_up();
        assert!(matches!(ready, TunnelReadiness::Up { mtu: 1400, .. }), "{ready:?}");
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn policy_rules_and_blackholes_are_followed() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        let remote = ip("10.200.100.6");
        net.gateway.ip("rule add to 10.200.100.6 prohibit");
        watch.until_down(&DownReason::RouteRefuses { remote, refusal: Unreachable::Prohibited });
        net.gateway.ip("rule del to 10.200.100.6 prohibit");
        watch.until_up();
        net.gateway.ip("route add blackhole 10.200.100.6");
        watch.until_down(&DownReason::RouteRefuses { remote, refusal: Unreachable::Discarded });
        net.gateway.ip("route del blackhole 10.200.100.6");
        watch.until_up();
        net.gateway.ip("addr add 10.200.100.6/32 dev lo");
        watch.until_down(&DownReason::RemoteIsLocal { remote });
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_without_ethernet_neighbours_is_named() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.gateway.ip("link set eth0 arp off");
        watch.until_down(&DownReason::NoLinkLayer { interface: "eth0".into() });
        net.gateway.ip("link set eth0 arp on");
        watch.until_up();
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_remote_of_a_connected_network_is_its_own_next_hop() {
    let net = Net::new();
    net.gateway.ip("route replace 10.200.100.4/30 dev eth0");
    net.router.sysctl("ipv4.conf.all.arp_ignore", "0").unwrap();
    net.tell(|watch| {
        watch.until_up();
        assert!(watch.neighbour("10.200.100.6").is_some());
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn lost_messages_are_answered_by_reading_everything_anew() {
    let net = Net::new();
    net.gateway.inside(|runtime| {
        let options = NetworkOptions { receive_buffer_bytes: 4096, ..NetworkOptions::default() };
        let network = runtime.block_on(Network::open(options)).unwrap();
        let mut changes = network.changes();
        // Nothing reads meanwhile: the runtime has this one thread.
        for last in 1..=200 {
            net.gateway.ip(&format!("addr add 198.51.100.{last}/32 dev lo"));
        }
        let all_seen = async {
            while !network.with_view(|view| {
                let held =
                    |last| view.addresses(1).any(|address| address == IpAddr::from([198, 51, 100, last]));
                (1..=200).all(held)
            }) {
                changes.changed().await;
            }
        };
        runtime.block_on(async { tokio::time::timeout(SOON, all_seen).await }).unwrap();
        assert!(network.overruns() > 0);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_address_and_route_on_a_bridge_above_the_port_are_reported_with_both_names() {
    let net = Net::new();
    net.tell(|watch| {
        watch.until_up();
        net.gateway.ip("link add br0 type bridge");
        net.gateway.ip("link set br0 up");
        net.gateway.ip("link set eth0 master br0");
        net.gateway.ip("addr del 10.200.100.2/30 dev eth0");
        net.gateway.ip("addr add 10.200.100.2/30 dev br0");
        net.gateway.ip("route replace 10.200.100.4/30 via 10.200.100.1 dev br0");
        let remote = ip("10.200.100.6");
        watch.until_down(&DownReason::PortHidden { remote, interface: "br0".into(), port: "eth0".into() });
        net.gateway.ip("link del br0");
        net.address_and_route();
        watch.until_up();
    });
}
