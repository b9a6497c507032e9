//! An interface is prepared for its port, shown, and put back: on drop, and by the next start after a kill.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use loader::netlink::{Link, Network, NetworkOptions};
use loader::nic::{Change, NicError, NicKeeper, PortFacts, PortNeeds, PreparedPort};
use loader::program::AttachMode;
use support::{Namespace, Rerun, alone};
use tokio::runtime::Runtime;
use xsk::nic::Ethtool;

const GENERIC_ACCESS: PortNeeds = PortNeeds { is_access: true, mode: AttachMode::Generic };
/// What veth has switched on of what a generic access port needs off, once GRO was asked for.
const SWITCHED: [&str; 3] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-gro"];

/// A namespace with a veth pair of two queues, and a runtime directory; both gone when dropped.
struct Lab {
    gateway: Namespace,
    directory: PathBuf,
    /// Last, so that it outlives the others.
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    fn new() -> Self {
        let alone = alone();
        let gateway = Namespace::new("nic");
        gateway.ip("link add eth1 numrxqueues 2 numtxqueues 2 type veth peer name far");
        gateway.ip("link set eth1 up");
        let directory = std::env::temp_dir().join(gateway.name());
        Self { gateway, directory, _alone: alone }
    }

    fn inside(&self, work: impl FnOnce(&Self, Link) + Send) {
        self.gateway.run(|runtime| {
            Ethtool::open("eth1").unwrap().set_feature("rx-gro", true).unwrap();
            work(self, link(runtime));
        });
    }

    fn prepare(&self, link: &Link, needs: PortNeeds) -> (NicKeeper, PreparedPort) {
        let (keeper, leftovers) = NicKeeper::open(&self.directory, "gw-a").unwrap();
        assert_eq!(leftovers, []);
        let port = keeper.prepare(link, needs).unwrap();
        (keeper, port)
    }

    fn journal(&self) -> PathBuf {
        self.directory.join("gw-a.nic")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn link(runtime: &Runtime) -> Link {
    let network = runtime.block_on(Network::open(NetworkOptions::default())).unwrap();
    network.with_view(|view| view.link_by_name("eth1").unwrap().clone())
}

fn states(interface: &str) -> Vec<bool> {
    let ethtool = Ethtool::open(interface).unwrap();
    SWITCHED.iter().map(|name| ethtool.feature(name).unwrap().unwrap().active).collect()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_generic_access_port_is_prepared_shown_and_put_back() {
    Lab::new().inside(|lab, link| {
        assert_eq!(states("eth1"), [true; 3]);
        let (_keeper, port) = lab.prepare(&link, GENERIC_ACCESS);
        assert_eq!(states("eth1"), [false; 3]);
        let switched = SWITCHED.map(|name| Change { feature: name.into(), before: true, now: false });
        assert_eq!(port.changes()[..3], switched);
        assert_eq!(port.changes()[3].feature, "promiscuous");
        assert!(port.changes().iter().all(|change| !change.is_unmet()));
        let detail = lab.gateway.ip_output("-d link show dev eth1");
        assert!(detail.contains("promiscuity 1"), "{detail}");
        assert!(lab.journal().exists());
        drop(port);
        assert_eq!(states("eth1"), [true; 3]);
        assert!(lab.gateway.ip_output("-d link show dev eth1").contains("promiscuity 0"));
        assert!(!lab.journal().exists());
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_native_underlay_port_is_left_as_it_is() {
    Lab::new().inside(|lab, link| {
        let (_keeper, port) = lab.prepare(&link, PortNeeds { is_access: false, mode: AttachMode::Native });
        assert_eq!(port.changes(), []);
        assert_eq!(states("eth1"), [true; 3]);
        assert!(lab.gateway.ip_output("-d link show dev eth1").contains("promiscuity 0"));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_a_killed_gateway_left_is_put_back_by_the_next_start() {
    if Rerun::is_this() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (keeper, _) = NicKeeper::open(Path::new(&Rerun::argument()), "gw-a").unwrap();
        let _port = keeper.prepare(&link(&runtime), GENERIC_ACCESS).unwrap();
        Rerun::ready_to_be_killed();
    }
    Lab::new().inside(|lab, _link| {
        let test = "what_a_killed_gateway_left_is_put_back_by_the_next_start";
        let second = Rerun::start(&lab.gateway, test, lab.directory.to_str().unwrap());
        assert_eq!(states("eth1"), [false; 3]);
        let error = NicKeeper::open(&lab.directory, "gw-a").unwrap_err();
        assert!(matches!(error, NicError::AlreadyRunning { .. }), "{error}");
        second.kill();
        assert_eq!(states("eth1"), [false; 3]);
        let detail = lab.gateway.ip_output("-d link show dev eth1");
        assert!(detail.contains("promiscuity 0"), "the kernel ends that itself: {detail}");
        // Renamed meanwhile: it is known by its index.
        lab.gateway.ip("link set eth1 down");
        lab.gateway.ip("link set eth1 name lan0");
        let (_keeper, leftovers) = NicKeeper::open(&lab.directory, "gw-a").unwrap();
        assert_eq!(leftovers.iter().map(|left| left.feature.as_str()).collect::<Vec<_>>(), SWITCHED);
        assert_eq!(states("lan0"), [true; 3]);
        assert!(!lab.journal().exists());
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_that_is_gone_needs_nothing_put_back() {
    Lab::new().inside(|lab, link| {
        let (keeper, port) = lab.prepare(&link, GENERIC_ACCESS);
        lab.gateway.ip("link del eth1");
        drop(port);
        assert!(!lab.journal().exists());
        drop(keeper);
        assert_eq!(NicKeeper::open(&lab.directory, "gw-a").unwrap().1, []);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn facts_name_driver_queues_address_and_mtu() {
    Lab::new().inside(|lab, link| {
        let facts = PortFacts::read(&link).unwrap();
        assert_eq!((facts.interface.as_str(), facts.driver.as_str(), facts.mtu), ("eth1", "veth", 1500));
        assert_eq!((facts.rx_queues, facts.tx_queues), (2, 2));
        assert!(lab.gateway.ip_output("link show dev eth1").contains(&facts.mac.to_string()));
        let json = serde_json::to_value(&facts).unwrap();
        assert_eq!(json["mac"], facts.mac.to_string());
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn loopback_is_no_port() {
    Namespace::new("lo").run(|runtime| {
        let network = runtime.block_on(Network::open(NetworkOptions::default())).unwrap();
        let loopback = network.with_view(|view| view.link_by_name("lo").unwrap().clone());
        let error = PortFacts::read(&loopback).unwrap_err();
        assert_eq!(error.to_string(), "lo is not an Ethernet interface");
    });
}
